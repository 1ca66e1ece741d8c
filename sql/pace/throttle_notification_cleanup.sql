-- Waits until a batch of the run may begin, but a second at most, with no lock on anything but its own notes.
CREATE OR REPLACE FUNCTION throttle_notification_cleanup(run_id bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_throttle notification_cleanup_throttles;
    v_reason text;
    v_told boolean := false;
    v_called_at CONSTANT timestamptz := clock_timestamp();
BEGIN
    LOOP
        SELECT t.* INTO v_throttle FROM notification_cleanup_throttles AS t
        WHERE t.run_id = throttle_notification_cleanup.run_id AND EXISTS (SELECT FROM notification_cleanup_batches AS b WHERE b.run_id = t.run_id AND NOT b.done);
        IF v_throttle.stopped_at IS NOT NULL THEN
            RAISE NOTICE 'run %: stopped by stop_notification_cleanup(), the next call of the job goes on from here', run_id;
            RETURN NULL;
        ELSIF v_throttle.rest_until > clock_timestamp() THEN
            v_reason := format('resting for %s seconds, pause_factor is %s', round(extract(epoch FROM v_throttle.rest_until - clock_timestamp())::numeric, 1), v_throttle.pause_factor);
        ELSIF v_throttle.max_replica_lag IS NOT NULL THEN
            -- A replica is so far behind if it has not come to where the primary was that long ago, or when the run was planned.
            INSERT INTO notification_cleanup_positions (run_id, at, lsn)
            SELECT v_throttle.run_id, clock_timestamp(), pg_current_wal_flush_lsn()
            WHERE clock_timestamp() - least(v_throttle.max_replica_lag / 10, interval '1 second') > (
                SELECT p.at FROM notification_cleanup_positions AS p WHERE p.run_id = v_throttle.run_id ORDER BY p.lsn DESC, p.at DESC LIMIT 1
            );
            SELECT format('%s is %s behind, and more than max_replica_lag, %s', r.replica, pg_size_pretty(pg_current_wal_flush_lsn() - r.lsn), v_throttle.max_replica_lag)
            INTO v_reason
            FROM notification_replicas() AS r
            WHERE (SELECT p.at FROM notification_cleanup_positions AS p WHERE p.run_id = v_throttle.run_id AND p.lsn > r.lsn ORDER BY p.lsn, p.at LIMIT 1)
                < clock_timestamp() - v_throttle.max_replica_lag
            ORDER BY r.lsn LIMIT 1;
        END IF;
        EXIT WHEN v_reason IS NULL OR clock_timestamp() > v_called_at + interval '0.9 seconds';
        IF NOT v_told THEN RAISE NOTICE 'run %: waiting, %', run_id, v_reason; END IF;
        v_told := true;
        v_reason := NULL;
        PERFORM pg_sleep(0.05);
    END LOOP;
    RETURN v_reason IS NULL;
END
$$;
COMMENT ON FUNCTION throttle_notification_cleanup(bigint) IS
'Flow control, for cleanup_next_batch(): true when a batch may begin, false after a second of waiting, for the reason that it gave in a notice, NULL when the run was stopped.';
REVOKE ALL ON FUNCTION throttle_notification_cleanup(bigint) FROM PUBLIC;
