-- Keeps the record of a run from being removed until the end of the transaction:
--
--     SELECT keep_cleanup_run(7);
--
-- Whoever removes it meanwhile waits here, for a batch at most, and not crosswise with it: for the
-- batch, while the batch waits for the record. Nobody else waits, other batches neither.
CREATE OR REPLACE FUNCTION keep_cleanup_run(run_id bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    PERFORM
    FROM notification_cleanup_runs AS r
    WHERE r.id = keep_cleanup_run.run_id
    FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM check_run_id(keep_cleanup_run.run_id);
    END IF;
END
$$;
COMMENT ON FUNCTION keep_cleanup_run(bigint) IS
    'For cleanup_next_batch(), which is what to call: nobody can remove the record of the run '
    'until the transaction has ended.';
