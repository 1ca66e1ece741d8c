-- Waits until a batch of the run may begin, until the deadline at most:
--
--     SELECT await_cleanup_pace(7, clock_timestamp() + interval '1 second');
--
-- It holds no lock meanwhile, and a notice tells what it waits for.
CREATE OR REPLACE FUNCTION await_cleanup_pace(
    run_id bigint,
    deadline timestamptz
)
RETURNS text
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_open notification_cleanup_open_runs;
    v_reason text;
    v_result text;
    v_told boolean := false;
    v_suspension text;
BEGIN
    LOOP
        SELECT o.*
        INTO v_open
        FROM notification_cleanup_open_runs AS o
        WHERE o.run_id = await_cleanup_pace.run_id
            -- A run of which only the end is left need not wait for it.
            AND EXISTS (
                SELECT
                FROM notification_cleanup_batches AS b
                WHERE b.run_id = o.run_id
                    AND b.done_at IS NULL
            );
        IF v_open.stopped_at IS NOT NULL THEN
            RAISE NOTICE
                'run %: stopped by stop_notification_cleanup(), the next call of the job continues '
                'it',
                await_cleanup_pace.run_id;
            v_result := 'stopped';
            EXIT;
        END IF;
        v_suspension := cleanup_suspension();
        IF v_open.run_id IS NOT NULL AND v_suspension IS NOT NULL THEN
            RAISE NOTICE 'run %: suspended %', await_cleanup_pace.run_id, v_suspension;
            v_result := 'stopped';
            EXIT;
        END IF;

        v_reason := NULL;
        -- Outside of these spans the clock was set back since they were noted.
        IF clock_timestamp() BETWEEN v_open.resting_since AND v_open.rest_until THEN
            v_reason := format(
                'resting for %s seconds, pause_factor is %s',
                round(extract(epoch FROM v_open.rest_until - clock_timestamp()), 1),
                v_open.pause_factor
            );
        ELSIF v_open.replicas_mark IS NOT NULL
            AND clock_timestamp() NOT BETWEEN
                v_open.replicas_due - v_open.max_replica_lag AND v_open.replicas_due
        THEN
            SELECT format(
                '%s is %s behind, and more than max_replica_lag, %s',
                r.replica,
                pg_size_pretty(pg_current_wal_flush_lsn() - r.lsn),
                v_open.max_replica_lag
            )
            INTO v_reason
            FROM notification_replicas() AS r
            WHERE r.lsn < v_open.replicas_mark
            ORDER BY r.lsn
            LIMIT 1;
        END IF;
        v_result := CASE WHEN v_reason IS NULL THEN 'begin' ELSE 'wait' END;
        EXIT WHEN v_result = 'begin' OR clock_timestamp() > await_cleanup_pace.deadline;

        IF NOT v_told THEN
            RAISE NOTICE 'run %: waiting, %', await_cleanup_pace.run_id, v_reason;
            v_told := true;
        END IF;
        PERFORM pg_sleep(double precision '0.05');
    END LOOP;
    RETURN v_result;
END
$$;
COMMENT ON FUNCTION await_cleanup_pace(bigint, timestamptz) IS
    'For cleanup_next_batch(): begin, when a batch of the run may begin; wait, when the deadline '
    'has passed before, for the reason that a notice gave; stopped, when somebody has stopped the '
    'run, or suspended all.';
