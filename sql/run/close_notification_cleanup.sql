-- Closes a run that has no batch left:
--
--     SELECT close_notification_cleanup(7);
CREATE OR REPLACE FUNCTION close_notification_cleanup(run_id bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    -- One session only: a claim can lock in vain a batch that was just done, and two sessions that
    -- both closed the run would wait for what the other has locked so.
    PERFORM
    FROM notification_cleanup_runs AS r
    WHERE r.id = close_notification_cleanup.run_id
    FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF settle_notification_cleanup(close_notification_cleanup.run_id) THEN
        UPDATE notification_cleanup_runs AS r
        SET finished_at = clock_timestamp()
        WHERE r.id = close_notification_cleanup.run_id;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION close_notification_cleanup(bigint) IS
    'For cleanup_next_batch(): closes a run of which all batches are done. False: another session '
    'is at it.';
