-- Opens a run for cleanup_next_batch(), or returns one that has not ended: SELECT * FROM plan_notification_cleanup(batch_size => 3000);
CREATE OR REPLACE FUNCTION plan_notification_cleanup(
    max_notifications integer DEFAULT 1000, min_keep integer DEFAULT 100, batch_size integer DEFAULT 10000
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_without_index text;
BEGIN
    IF (batch_size >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'batch_size takes 1 or more.',
            MESSAGE = format('invalid limit: batch_size => %L', batch_size);
    END IF;
    -- One plan at a time: who comes second finds the run of the first.
    PERFORM pg_advisory_xact_lock('pg_class'::regclass::oid::integer, 'notification_cleanup_runs'::regclass::oid::integer);
    FOR v_run IN
        SELECT * FROM notification_cleanup_runs AS r
        WHERE r.finished_at IS NULL AND EXISTS (SELECT FROM notification_cleanup_batches AS b WHERE b.run_id = r.id)
        ORDER BY r.started_at FOR KEY SHARE
    LOOP
        IF v_run.started_at < clock_timestamp() - interval '36 hours' THEN
            PERFORM end_notification_cleanup(v_run.id, false);
        ELSIF (v_run.max_notifications, v_run.min_keep) = (plan_notification_cleanup.max_notifications, plan_notification_cleanup.min_keep) THEN
            RETURN v_run;
        END IF;
    END LOOP;
    SELECT string_agg(DISTINCT i.relation::text, ', ') INTO v_without_index
    FROM notification_cleanup_indexes() AS i
    WHERE i.purpose IS NOT NULL AND i.index IS NULL AND (  -- which is not asked where ours are valid: each partition has them then
        SELECT count(*) FROM pg_index AS x WHERE x.indrelid = 'notifications'::regclass AND x.indisvalid
            AND x.indexrelid IN (to_regclass('notifications_live_idx'), to_regclass('notifications_deleted_idx'))
    ) < 2;
    IF v_without_index IS NOT NULL THEN
        RAISE WARNING USING MESSAGE = 'no valid index serves the cleanup on ' || v_without_index,
            HINT = 'notification-cleanup migrate up builds it, or prints what the table behind a view lacks. In psql: SELECT * FROM notification_cleanup_indexes().';
    END IF;
    RETURN open_notification_cleanup(max_notifications, min_keep, batch_size, NULL);
END
$$;
COMMENT ON FUNCTION plan_notification_cleanup(integer, integer, integer) IS
'Opens a run in batches of about batch_size notifications, for cleanup_next_batch(id), and returns its record; it has ended already where there is nothing to delete.
Returns instead a run with the same limits that has not ended, if there is one: do its batches, then plan again. One that is older than 36 hours is given up.';
REVOKE ALL ON FUNCTION plan_notification_cleanup(integer, integer, integer) FROM PUBLIC;
