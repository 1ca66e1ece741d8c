-- Stops a run that is under way, whoever works on it.
--
--     SELECT stop_notification_cleanup(7);
CREATE OR REPLACE FUNCTION stop_notification_cleanup(
    run_id bigint
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    PERFORM check_calling_schema();
    PERFORM check_run_id(stop_notification_cleanup.run_id);
    UPDATE notification_cleanup_open_runs AS o
    SET stopped_at = clock_timestamp()
    WHERE o.run_id = stop_notification_cleanup.run_id;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION stop_notification_cleanup(bigint) IS
'Lets every session that works on a run end after its batch, with a notice; what they deleted '
'stays. Returns whether the run had anything left.
The next call of the job with the same limits goes on with it. Not for cleanup_notifications(), '
'which is one statement: cancel that.';
