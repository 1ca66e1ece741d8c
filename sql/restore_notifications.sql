-- Undo of one run: SELECT restore_notifications(7);
CREATE OR REPLACE FUNCTION restore_notifications(run_id bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_started_at timestamptz;
    v_restored bigint;
BEGIN
    SELECT r.started_at INTO v_started_at FROM notification_cleanup_runs AS r WHERE r.id = run_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'run_id takes an id of notification_cleanup_runs.',
            MESSAGE = format('no cleanup run %s', coalesce(run_id::text, 'NULL'));
    END IF;
    PERFORM end_notification_cleanup(run_id, false);
    -- No other run and no user deleted at this very moment: started_at is unique, and read from the clock.
    WITH restored AS (
        UPDATE notifications AS n SET deleted_at = NULL WHERE n.deleted_at = v_started_at RETURNING n.deleted_at
    )
    SELECT count(*) INTO v_restored FROM restored WHERE restored.deleted_at IS NULL;
    UPDATE notification_cleanup_runs AS r SET notifications_restored = r.notifications_restored + v_restored WHERE r.id = run_id;
    RETURN v_restored;
END
$$;
COMMENT ON FUNCTION restore_notifications(bigint) IS
'Undoes one run of notification_cleanup_runs: gives up the batches it has left, after waiting for those in flight, clears deleted_at on exactly the rows it deleted that are still there, and returns how many. Raise max_notifications first, or the next run deletes them again.';
REVOKE ALL ON FUNCTION restore_notifications(bigint) FROM PUBLIC;
