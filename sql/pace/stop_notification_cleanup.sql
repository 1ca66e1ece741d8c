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
    IF NOT EXISTS (
        SELECT
        FROM notification_cleanup_runs AS r
        WHERE r.id = stop_notification_cleanup.run_id
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'no cleanup run %s',
                coalesce(stop_notification_cleanup.run_id::text, 'NULL')
            ),
            HINT = 'run_id takes an id of notification_cleanup_runs.';
    END IF;
    UPDATE notification_cleanup_throttles AS t
    SET stopped_at = clock_timestamp()
    WHERE t.run_id = stop_notification_cleanup.run_id;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION stop_notification_cleanup(bigint) IS
'Lets every session that works on a run end after its batch, with a notice; what they deleted '
'stays. Returns whether the run had anything left.
The next call of the job with the same limits goes on with it. Not for cleanup_notifications(), '
'which is one statement: cancel that.';
REVOKE ALL ON FUNCTION stop_notification_cleanup(bigint) FROM PUBLIC;
