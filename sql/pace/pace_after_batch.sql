-- Notes after a batch until when the run rests, and from when on replicas are too far behind:
--
--     SELECT pace_after_batch(7, interval '0.2 seconds');
CREATE OR REPLACE FUNCTION pace_after_batch(
    run_id bigint,
    took interval
)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_mark pg_lsn;
    -- One that seems to have taken longer has seen the clock being set forward.
    v_longest_batch CONSTANT interval := interval '10 minutes';
BEGIN
    UPDATE notification_cleanup_open_runs AS o
    SET
        resting_since = CASE
            WHEN v_now BETWEEN o.resting_since AND o.rest_until THEN o.resting_since
            ELSE v_now
        END,
        rest_until = greatest(
            v_now + o.pause_factor * least(pace_after_batch.took, v_longest_batch),
            CASE WHEN v_now BETWEEN o.resting_since AND o.rest_until THEN o.rest_until END
        )
    WHERE o.run_id = pace_after_batch.run_id
        AND o.pause_factor > double precision '0';

    -- One mark at a time is enough: when all replicas have passed it, the next one is set.
    -- A role that may not see them can still do a batch of a run that does not wait for them.
    SELECT o.replicas_mark
    INTO v_mark
    FROM notification_cleanup_open_runs AS o
    WHERE o.run_id = pace_after_batch.run_id;
    IF v_mark IS NOT NULL AND NOT EXISTS (
        SELECT
        FROM notification_replicas() AS r
        WHERE r.lsn < v_mark
    ) THEN
        UPDATE notification_cleanup_open_runs AS o
        SET
            replicas_mark = pg_current_wal_flush_lsn(),
            replicas_due = v_now + o.max_replica_lag
        WHERE o.run_id = pace_after_batch.run_id;
    END IF;
END
$$;
COMMENT ON FUNCTION pace_after_batch(bigint, interval) IS
    'For record_cleanup_batch(): applies pause_factor and max_replica_lag of the run after a batch '
    'that took so long.';
