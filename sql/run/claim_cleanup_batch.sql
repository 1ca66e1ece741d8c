-- Claims a batch that nobody has, and locks it until the end of the transaction:
--
--     SELECT claim_cleanup_batch(7, clock_timestamp() + interval '1 second');
--
-- Any number of sessions may work on a run. While others hold all that is left, it waits for one of
-- them until the deadline, and holds nothing meanwhile.
CREATE OR REPLACE FUNCTION claim_cleanup_batch(
    run_id bigint,
    deadline timestamptz,
    OUT number bigint,
    OUT attempts integer,
    OUT all_done boolean
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    LOOP
        SELECT
            b.number,
            b.attempts
        INTO
            claim_cleanup_batch.number,
            claim_cleanup_batch.attempts
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = claim_cleanup_batch.run_id
            AND b.done_at IS NULL
        ORDER BY b.attempts, b.number
        LIMIT 1
        FOR UPDATE SKIP LOCKED;
        claim_cleanup_batch.all_done := NOT FOUND AND NOT EXISTS (
            SELECT
            FROM notification_cleanup_batches AS b
            WHERE b.run_id = claim_cleanup_batch.run_id
                AND b.done_at IS NULL
        );
        EXIT WHEN claim_cleanup_batch.number IS NOT NULL
            OR claim_cleanup_batch.all_done
            OR clock_timestamp() >= claim_cleanup_batch.deadline;
        PERFORM pg_sleep(double precision '0.05');
    END LOOP;
END
$$;
COMMENT ON FUNCTION claim_cleanup_batch(bigint, timestamptz) IS
    'For cleanup_next_batch(), which is what to call: a batch of the run, how often it has given '
    'way, or whether none is left; number NULL and all_done false: others hold all that is left.';
