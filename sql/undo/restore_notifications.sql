-- Undo of one run in one transaction.
--
--     SELECT restore_notifications(7);
CREATE OR REPLACE FUNCTION restore_notifications(
    run_id bigint
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_restored bigint := 0::bigint;
    v_batch bigint := 0::bigint;
BEGIN
    -- The calls that follow the first are for what another session held.
    WHILE v_batch IS NOT NULL LOOP
        v_restored := v_restored + v_batch;
        v_batch := restore_next_batch(restore_notifications.run_id, 100000);
    END LOOP;
    RETURN v_restored;
END
$$;
COMMENT ON FUNCTION restore_notifications(bigint) IS
'Undoes one run of notification_cleanup_runs: gives up the batches it has left, after waiting for '
'those in flight, clears deleted_at on exactly the rows it deleted that are still there, and '
'returns how many. Raise max_notifications first, or the next run deletes them again.
On a table in use call restore_next_batch() instead: this holds what it restores until its end.';
