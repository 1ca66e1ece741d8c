-- Marks a batch as done, and adds what it did to the record of its run:
--
--     SELECT record_cleanup_batch(7, 1, 9998, '{3,4}', '{4}', interval '0.2 seconds');
CREATE OR REPLACE FUNCTION record_cleanup_batch(
    run_id bigint,
    number bigint,
    deleted bigint,
    missed bigint[],  -- positions in the list; NULL: none
    kept bigint[],    -- those of them that a trigger kept; NULL: none
    took interval
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_deleted bigint := record_cleanup_batch.deleted;
    v_skipped bigint := 0::bigint;
    v_changed bigint := 0::bigint;
    v_users_left notification_user_id[] := ARRAY[]::notification_user_id[];
    v_rewritten boolean := false;
    v_shortfall record;
BEGIN
    IF record_cleanup_batch.missed IS NOT NULL THEN
        SELECT s.*
        INTO v_shortfall
        FROM explain_cleanup_shortfall(
            record_cleanup_batch.run_id,
            record_cleanup_batch.number,
            record_cleanup_batch.missed,
            record_cleanup_batch.kept
        ) AS s;
        v_deleted := v_deleted + v_shortfall.deleted_before;
        v_skipped := v_shortfall.skipped;
        v_changed := cardinality(v_shortfall.users_left) - v_skipped;
        v_users_left := v_shortfall.users_left;
        v_rewritten := cleanup_batch_is_rewritten(
            record_cleanup_batch.run_id,
            record_cleanup_batch.number
        );
    END IF;

    UPDATE notification_cleanup_batches AS b
    SET
        done_at = clock_timestamp(),
        users_left = v_users_left
    WHERE b.run_id = record_cleanup_batch.run_id
        AND b.number = record_cleanup_batch.number;

    -- Last what all workers write, so that one waits for another no longer than a COMMIT takes.
    PERFORM pace_after_batch(record_cleanup_batch.run_id, record_cleanup_batch.took);
    IF v_rewritten THEN
        UPDATE notification_cleanup_open_runs AS o
        SET rewritten = true
        WHERE o.run_id = record_cleanup_batch.run_id;
    END IF;
    UPDATE notification_cleanup_runs AS r
    SET
        notifications_deleted = r.notifications_deleted + v_deleted,
        notifications_skipped = r.notifications_skipped + v_skipped,
        notifications_changed = r.notifications_changed + v_changed
    WHERE r.id = record_cleanup_batch.run_id;
    RETURN v_deleted;
END
$$;
COMMENT ON FUNCTION
    record_cleanup_batch(bigint, bigint, bigint, bigint[], bigint[], interval)
IS
    'For cleanup_next_batch(), which is what to call: marks the batch as done, adds its counts to '
    'the record of the run, and returns how many notifications it deleted.';
