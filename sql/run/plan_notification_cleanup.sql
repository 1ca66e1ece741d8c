-- Opens a run for cleanup_next_batch(), or returns one that has not ended: SELECT * FROM plan_notification_cleanup(batch_size => 3000);
CREATE OR REPLACE FUNCTION plan_notification_cleanup(
    max_notifications integer DEFAULT 1000, min_keep integer DEFAULT 100, batch_size integer DEFAULT 10000,
    pause_factor double precision DEFAULT 0, max_replica_lag interval DEFAULT NULL
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_left_over notification_cleanup_runs;
    v_without_index text;
BEGIN
    IF (batch_size >= 1 AND pause_factor BETWEEN 0 AND 1000 AND coalesce(max_replica_lag > interval '0', true)) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            HINT = 'batch_size takes 1 or more, pause_factor 0 to 1000, max_replica_lag a positive interval, or NULL for none.',
            MESSAGE = format('invalid limits: batch_size => %L, pause_factor => %L, max_replica_lag => %L', batch_size, pause_factor, max_replica_lag);
    ELSIF max_replica_lag IS NOT NULL THEN
        PERFORM notification_replicas();  -- refuses whom it may not show them
    END IF;
    -- One plan at a time: who comes second finds the run of the first.
    PERFORM pg_advisory_xact_lock('pg_class'::regclass::oid::integer, 'notification_cleanup_runs'::regclass::oid::integer);
    FOR v_left_over IN
        SELECT * FROM notification_cleanup_runs AS r
        WHERE r.finished_at IS NULL AND EXISTS (SELECT FROM notification_cleanup_batches AS b WHERE b.run_id = r.id)
        ORDER BY r.started_at FOR KEY SHARE
    LOOP
        IF v_left_over.started_at < clock_timestamp() - interval '36 hours' THEN
            PERFORM end_notification_cleanup(v_left_over.id, false);
        ELSIF (v_left_over.max_notifications, v_left_over.min_keep) = (plan_notification_cleanup.max_notifications, plan_notification_cleanup.min_keep) THEN
            v_run := v_left_over;
            EXIT;
        END IF;
    END LOOP;
    IF v_run.id IS NULL THEN
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
        v_run := open_notification_cleanup(max_notifications, min_keep, batch_size, NULL);
    END IF;
    DELETE FROM notification_cleanup_positions AS p
    WHERE p.run_id = v_run.id OR NOT EXISTS (SELECT FROM notification_cleanup_throttles AS t WHERE t.run_id = p.run_id);
    IF v_run.finished_at IS NULL THEN  -- how fast it goes, and that it goes, is up to its last caller
        INSERT INTO notification_cleanup_throttles AS t (run_id, pause_factor, max_replica_lag)
        VALUES (v_run.id, plan_notification_cleanup.pause_factor, plan_notification_cleanup.max_replica_lag)
        ON CONFLICT (run_id) DO UPDATE
        SET pause_factor = excluded.pause_factor, max_replica_lag = excluded.max_replica_lag, rest_until = NULL, stopped_at = NULL;
        INSERT INTO notification_cleanup_positions (run_id, at, lsn)
        SELECT v_run.id, '-infinity', pg_current_wal_flush_lsn() WHERE max_replica_lag IS NOT NULL;
    END IF;
    RETURN v_run;
END
$$;
COMMENT ON FUNCTION plan_notification_cleanup(integer, integer, integer, double precision, interval) IS
'Opens a run in batches of about batch_size notifications, for cleanup_next_batch(id), and returns its record; it has ended already where there is nothing to delete.
Returns instead a run with the same limits that has not ended, if there is one: do its batches, then plan again. One that is older than 36 hours is given up.
pause_factor: after each batch rest so many times as long as it took. max_replica_lag: before each batch wait until no standby, no logical slot and no slot of a standby that is away is further behind; needs pg_read_all_stats. Of several callers of one run the last one''s count.';
REVOKE ALL ON FUNCTION plan_notification_cleanup(integer, integer, integer, double precision, interval) FROM PUBLIC;
