-- Written by sql/snapshot.sh: edit sql/, never this copy.

-- +goose Up
-- SET search_path FROM CURRENT then pins the schema that goose installs into, and temporary objects last.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- frozen copy of sql/cleanup_notifications_in_batches.sql
-- The job for pg_cron and for a backlog of any size: cleanup_notifications() batch by batch, a COMMIT after each.
--
--     CALL cleanup_notifications_in_batches();
--     CALL cleanup_notifications_in_batches(batch_size => 50000, time_limit => '2 hours');

-- +goose StatementBegin
CREATE OR REPLACE PROCEDURE cleanup_notifications_in_batches(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100,
    batch_size integer DEFAULT 10000,
    time_limit interval DEFAULT NULL
)
LANGUAGE plpgsql
SECURITY INVOKER
AS $$
DECLARE
    v_run record;
    v_batch record;
    v_users integer := 0;
    v_elapsed interval;
BEGIN
    -- A procedure that commits may carry no SET clause, and a local setting ends with its transaction.
    PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);

    BEGIN
        COMMIT;  -- never succeeds here, but the message tells whether it could outside of this block
    EXCEPTION
        WHEN invalid_transaction_termination THEN
            IF SQLERRM = 'invalid transaction termination' THEN
                RAISE EXCEPTION USING
                    ERRCODE = 'invalid_transaction_termination',
                    MESSAGE = 'cleanup_notifications_in_batches() commits, so it cannot run inside a transaction',
                    HINT = 'CALL it alone: outside of BEGIN, not from a function, and as the only statement of its string. Inside a transaction use SELECT * FROM cleanup_notifications().';
            END IF;
    END;

    IF (batch_size >= 1 AND coalesce(time_limit, interval '1 second') > interval '0') IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid limits: batch_size => %L, time_limit => %L', batch_size, time_limit),
            HINT = 'batch_size takes 1 or more, time_limit a positive interval or NULL.';
    END IF;

    -- With nobody to clean this opens a run; it is closed again below.
    SELECT * INTO v_run FROM cleanup_notifications(max_notifications, min_keep, '{}');
    UPDATE notification_cleanup_runs SET finished_at = NULL WHERE id = v_run.id;

    FOR v_batch IN
        SELECT
            array_agg(inbox.user_id) AS user_ids,
            sum(count(*)) OVER () AS users_found
        FROM (
            -- Whole users, so a batch is only about batch_size; a user with nothing to delete counts as one.
            SELECT
                p.user_id,
                div(sum(greatest(p.deletable_notifications, 1)) OVER (ORDER BY p.deletable_notifications DESC, p.user_id)
                    - greatest(p.deletable_notifications, 1), batch_size) AS batch
            FROM preview_notification_cleanup(max_notifications, min_keep) AS p
        ) AS inbox
        GROUP BY inbox.batch
        ORDER BY inbox.batch
    LOOP
        COMMIT;
        PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);
        SELECT * INTO v_run FROM cleanup_notifications(max_notifications, min_keep, v_batch.user_ids, v_run.id);
        v_users := v_users + cardinality(v_batch.user_ids);
        v_elapsed := clock_timestamp() - v_run.started_at;
        RAISE NOTICE 'run %: % of % users done, % notifications deleted, % elapsed',
            v_run.id, v_users, v_batch.users_found, v_run.notifications_deleted, v_elapsed;
        EXIT WHEN v_elapsed >= time_limit;
    END LOOP;

    UPDATE notification_cleanup_runs SET finished_at = clock_timestamp() WHERE id = v_run.id;
END
$$;
-- +goose StatementEnd

-- Writes the schema into the body: a caller's search_path must not decide what the procedure calls.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE replace(
        pg_get_functiondef('cleanup_notifications_in_batches(integer, integer, integer, interval)'::regprocedure),
        '''schema of this procedure''',
        quote_literal(quote_ident(current_schema()) || ', pg_temp')
    );
END
$$;
-- +goose StatementEnd

COMMENT ON PROCEDURE cleanup_notifications_in_batches(integer, integer, integer, interval) IS
'cleanup_notifications() for whole users in batches of about batch_size notifications, with a COMMIT and a NOTICE of progress after each; stops after the batch that crosses time_limit.
CALL it alone, not inside a transaction. One row of notification_cleanup_runs grows with each commit; finished_at stays NULL if the call is killed, and the next run goes on.';
REVOKE ALL ON PROCEDURE cleanup_notifications_in_batches(integer, integer, integer, interval) FROM PUBLIC;
-- end of sql/cleanup_notifications_in_batches.sql

-- frozen copy of sql/notification_cleanup_health.sql
-- What a monitor asks, in one row.
--
--     SELECT * FROM notification_cleanup_health;

CREATE OR REPLACE VIEW notification_cleanup_health AS
SELECT
    last_run.finished_at AS last_finished_at,
    CASE
        WHEN last_run.id IS NULL THEN 'never ran'
        WHEN last_run.notifications_skipped > 0 THEN 'left locked notifications'
        WHEN last_run.notifications_deleted > 0 THEN 'deleted'
        ELSE 'nothing to delete'
    END AS last_outcome,
    floor(extract(epoch FROM clock_timestamp() - last_run.finished_at) / 60)::bigint AS minutes_since_last_finished,
    last_run.users_still_over_limit,
    (SELECT count(*) FROM notification_cleanup_runs AS r WHERE r.finished_at IS NULL) AS runs_unfinished
FROM (VALUES (1)) AS one_row
LEFT JOIN LATERAL (
    SELECT *
    FROM notification_cleanup_runs AS r
    WHERE r.finished_at IS NOT NULL
    ORDER BY r.finished_at DESC
    LIMIT 1
) AS last_run ON true;

COMMENT ON VIEW notification_cleanup_health IS 'One row for a monitor: the last finished cleanup run, how long ago it was, and the runs that never finished.';
COMMENT ON COLUMN notification_cleanup_health.last_finished_at IS 'When the last finished run ended; NULL if none ever did.';
COMMENT ON COLUMN notification_cleanup_health.last_outcome IS 'Of that run: deleted, nothing to delete, left locked notifications; or never ran.';
COMMENT ON COLUMN notification_cleanup_health.minutes_since_last_finished IS 'Whole minutes since last_finished_at.';
COMMENT ON COLUMN notification_cleanup_health.users_still_over_limit IS 'Users whom that run left over the limit.';
COMMENT ON COLUMN notification_cleanup_health.runs_unfinished IS 'Runs without an end: running now, or stopped or killed before it.';
REVOKE ALL ON notification_cleanup_health FROM PUBLIC;
-- end of sql/notification_cleanup_health.sql

-- frozen copy of sql/purge_notifications.sql
-- The end of the life cycle: deletes notifications for good that were soft-deleted longer than retention ago,
-- oldest first, at most max_rows a call, and returns how many. Call it until it returns 0.
--
--     SELECT purge_notifications('30 days', 10000);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION purge_notifications(
    retention interval DEFAULT '30 days',
    max_rows integer DEFAULT 10000
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_purged bigint;
BEGIN
    IF (retention > interval '0' AND now() - retention < now() AND max_rows >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid limits: retention => %L, max_rows => %L', retention, max_rows),
            HINT = 'retention takes a positive interval, max_rows 1 or more.';
    END IF;

    WITH expired AS (
        SELECT n.id
        FROM notifications AS n
        WHERE n.deleted_at < now() - retention
        ORDER BY n.deleted_at
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    ),
    purged AS (
        DELETE FROM notifications AS n
        -- By the primary key: an array, because a join could read the whole table, and IS TRUE, because the index on
        -- deleted_at would lead to the rows of a whole run for each row.
        WHERE n.id = ANY (ARRAY(SELECT expired.id FROM expired))
            AND (n.deleted_at < now() - retention) IS TRUE
        RETURNING n.id
    )
    SELECT count(*) INTO v_purged
    FROM purged;

    RETURN v_purged;
END
$$;
-- +goose StatementEnd

COMMENT ON FUNCTION purge_notifications(interval, integer) IS
'Deletes for good, oldest first, up to max_rows notifications that were soft-deleted longer than retention ago, and returns how many; never a live one, and never waits for a row lock. What is purged cannot be restored.';
REVOKE ALL ON FUNCTION purge_notifications(interval, integer) FROM PUBLIC;
-- end of sql/purge_notifications.sql

-- frozen copy of sql/restore_notifications.sql
-- Undo: makes the notifications that one run deleted live again, and returns how many.
--
--     SELECT restore_notifications(7);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION restore_notifications(
    run_id bigint
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_started_at timestamptz;
    v_restored bigint;
BEGIN
    SELECT r.started_at INTO v_started_at
    FROM notification_cleanup_runs AS r
    WHERE r.id = run_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('no cleanup run %s', coalesce(run_id::text, 'NULL')),
            HINT = 'run_id takes an id of notification_cleanup_runs.';
    END IF;

    -- No other run and no user deleted at this very moment: started_at is unique, and read from the clock.
    WITH restored AS (
        UPDATE notifications AS n
        SET deleted_at = NULL
        WHERE n.deleted_at = v_started_at
        RETURNING n.deleted_at
    )
    SELECT count(*) INTO v_restored
    FROM restored
    WHERE restored.deleted_at IS NULL;

    UPDATE notification_cleanup_runs AS r
    SET notifications_restored = r.notifications_restored + v_restored
    WHERE r.id = run_id;

    RETURN v_restored;
END
$$;
-- +goose StatementEnd

COMMENT ON FUNCTION restore_notifications(bigint) IS
'Undoes one run of notification_cleanup_runs: clears deleted_at on exactly the rows it deleted that are still there, and returns how many. Raise max_notifications first, or the next run deletes them again.';
REVOKE ALL ON FUNCTION restore_notifications(bigint) FROM PUBLIC;
-- end of sql/restore_notifications.sql

-- +goose Down
-- SET search_path FROM CURRENT then pins the schema that goose installs into, and temporary objects last.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
DROP PROCEDURE cleanup_notifications_in_batches;
DROP VIEW notification_cleanup_health;
DROP FUNCTION purge_notifications;
DROP FUNCTION restore_notifications;
