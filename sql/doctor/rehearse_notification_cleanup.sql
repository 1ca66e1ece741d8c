-- What would fail at night, found by doing it to one notification and taking it back:
--
--     SELECT * FROM rehearse_notification_cleanup();
--
-- No list of checks foresees every trigger, rule, constraint, policy, publication and right. All
-- that stays is dead rows and what the application's triggers do outside of the database or with
-- sequences. To switch it off for a database:
--
--     ALTER DATABASE mine SET notification_cleanup.rehearsal = off;
CREATE OR REPLACE FUNCTION rehearse_notification_cleanup()
RETURNS TABLE (
    step text,
    outcome text,
    sqlstate text,
    message text,
    detail text,
    advice text
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_batches notification_cleanup_batches[];
    v_batch notification_cleanup_batches;
    v_obstacle text;  -- to all that is still to be tried
    v_may boolean;
BEGIN
    v_obstacle := CASE
        WHEN current_setting('notification_cleanup.rehearsal', true) IN ('off', 'false', 'no', '0')
            THEN 'notification_cleanup.rehearsal is off'
        WHEN pg_is_in_recovery()
            THEN 'nothing can be written on a standby'
        WHEN current_setting('transaction_read_only')::boolean
            THEN 'nothing can be written in a read-only transaction'
    END;
    IF v_obstacle IS NULL THEN
        v_batches := ARRAY(
            SELECT f
            FROM find_notifications_to_rehearse(6) AS f
        );
        IF cardinality(v_batches) = 0 THEN
            -- The statements alone, with an empty list, which Citus could not route.
            v_batches := ARRAY[
                ROW(
                    NULL, 1, 0, NULL, now(), now(), NULL, NULL,
                    '{}', '{}', '{}', '{}', '{}', NULL, NULL, NULL
                )::notification_cleanup_batches
            ];
            IF notification_shards('{}') IS NOT NULL THEN
                v_obstacle := 'no read notification was found to try it with';
            END IF;
        END IF;
    END IF;

    FOREACH rehearse_notification_cleanup.step IN ARRAY
        ARRAY['soft-delete', 'restore', 'purge']
    LOOP
        v_may := CASE rehearse_notification_cleanup.step
            WHEN 'soft-delete' THEN
                has_column_privilege('notifications', 'deleted_at', 'UPDATE')
                AND has_column_privilege('notification_cleanup_runs', 'id', 'INSERT')
            WHEN 'restore' THEN
                has_column_privilege(
                    'notification_cleanup_runs',
                    'notifications_restored',
                    'UPDATE'
                )
            WHEN 'purge' THEN has_table_privilege('notifications', 'DELETE')
        END;
        IF rehearse_notification_cleanup.step = 'purge' THEN
            v_obstacle := coalesce(v_obstacle, (
                SELECT 'it would read all of ' || string_agg(k.relation::text, ', ')
                FROM notification_foreign_keys() AS k
                WHERE NOT k.has_index
                    AND k.pages >= 1000
            ));
        END IF;
        IF v_obstacle IS NOT NULL OR NOT v_may THEN
            RETURN QUERY
            SELECT
                rehearse_notification_cleanup.step,
                'not tried',
                NULL,
                coalesce(v_obstacle, 'this role may not do it'),
                NULL,
                NULL;
            CONTINUE;
        END IF;

        FOREACH v_batch IN ARRAY v_batches LOOP
            SELECT r.*
            INTO
                rehearse_notification_cleanup.outcome,
                rehearse_notification_cleanup.sqlstate,
                rehearse_notification_cleanup.message,
                rehearse_notification_cleanup.detail,
                rehearse_notification_cleanup.advice
            FROM rehearse_cleanup_step(rehearse_notification_cleanup.step, v_batch) AS r;
            -- None of these says anything of other notifications.
            EXIT WHEN rehearse_notification_cleanup.outcome NOT IN ('held', 'kept', 'refused');
        END LOOP;
        RETURN NEXT;
        IF rehearse_notification_cleanup.step = 'soft-delete'
            AND rehearse_notification_cleanup.outcome NOT IN ('works', 'accepted')
        THEN
            v_obstacle := 'it begins with a soft-delete';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION rehearse_notification_cleanup() IS
'Does to a notification what a run, an undo and a purge would do, and takes all of it back. A row '
'a step, with its outcome: works; fails, as it would at night; kept, where a trigger or rule keeps '
'each notification that was tried as it is; refused, where undo or purge would step over each; '
'held by other sessions; accepted by the server, where no notification was found to try it with; '
'or not tried, which message explains. It looks at a few pages of the table, waits 100 ms for a '
'lock at most, and leaves nothing but dead rows and what triggers do outside of the database or '
'with sequences. Not tried where notification_cleanup.rehearsal is off, on a standby, or without '
'the rights.';
