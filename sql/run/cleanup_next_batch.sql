-- Does one batch of a run, or closes it. Call it until it returns NULL, each time in a transaction
-- of its own; any number of sessions may:
--
--     SELECT cleanup_next_batch(7);
CREATE OR REPLACE FUNCTION cleanup_next_batch(run_id bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    -- A call that has to wait returns within a second, so that whoever calls can say so or stop.
    v_deadline CONSTANT timestamptz := clock_timestamp() + interval '0.9 seconds';
    -- So often a batch gives way; then it waits as long as the caller's own lock_timeout allows.
    v_last_attempt CONSTANT integer := 5;
    v_nothing CONSTANT bigint := 0::bigint;
    v_batch record;
    v_claimed_at timestamptz;
    v_sweep record;
BEGIN
    PERFORM check_run_id(cleanup_next_batch.run_id);
    PERFORM check_notification_columns();
    IF cleanup_run_is_rewritten(cleanup_next_batch.run_id) THEN
        PERFORM give_up_notification_cleanup(cleanup_next_batch.run_id);
        RETURN NULL;
    END IF;
    CASE await_cleanup_pace(cleanup_next_batch.run_id, v_deadline)
        WHEN 'begin' THEN NULL;
        WHEN 'wait' THEN RETURN v_nothing;
        WHEN 'stopped' THEN RETURN NULL;
    END CASE;

    PERFORM keep_cleanup_run(cleanup_next_batch.run_id);
    v_batch := claim_cleanup_batch(cleanup_next_batch.run_id, v_deadline);
    IF v_batch.all_done THEN
        RETURN CASE
            WHEN close_notification_cleanup(cleanup_next_batch.run_id) THEN NULL
            ELSE v_nothing  -- another session is about to
        END;
    ELSIF v_batch.number IS NULL THEN
        RETURN v_nothing;
    END IF;

    -- Those who were in the way get on meanwhile.
    PERFORM pg_sleep(double precision '0.1' * v_batch.attempts::double precision);
    v_claimed_at := clock_timestamp();
    BEGIN
        v_sweep := sweep_cleanup_batch(
            cleanup_next_batch.run_id,
            v_batch.number,
            CASE
                -- SKIP LOCKED can wait all the same, for a row that is updated twice while it
                -- looks, and so can a trigger of the application. The batch gives way then, long
                -- before deadlock_timeout lets the server choose a victim.
                WHEN v_batch.attempts < v_last_attempt THEN '100ms'
                ELSE current_setting('lock_timeout')
            END
        );
    EXCEPTION
        -- A serialization failure: the row has moved to another partition.
        WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
            IF v_batch.attempts >= v_last_attempt THEN
                RAISE;
            END IF;
            UPDATE notification_cleanup_batches AS b
            SET attempts = b.attempts + 1
            WHERE b.run_id = cleanup_next_batch.run_id
                AND b.number = v_batch.number;
            RETURN v_nothing;
    END;
    RETURN record_cleanup_batch(
        cleanup_next_batch.run_id,
        v_batch.number,
        v_sweep.deleted,
        v_sweep.missed,
        v_sweep.kept,
        clock_timestamp() - v_claimed_at
    );
END
$$;
COMMENT ON FUNCTION cleanup_next_batch(bigint) IS
    'Does one batch of a run of plan_notification_cleanup(), and returns how many notifications it '
    'deleted; skips rows that somebody holds. Call it until it is NULL, each time in a transaction '
    'of its own: the run has ended then, or was stopped or given up. 0 also means that others are '
    'at work on all that is left, that the batch gave way to the application and comes again, or '
    'that it is not yet time for one: a notice says why.';
