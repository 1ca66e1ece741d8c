-- Ends a suspension. The next call of the job goes on with what was left:
--
--     SELECT resume_notification_cleanup();
CREATE OR REPLACE FUNCTION resume_notification_cleanup()
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    PERFORM check_calling_schema();
    DELETE FROM notification_cleanup_suspension AS s;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION resume_notification_cleanup() IS
    'Ends what suspend_notification_cleanup() began. Returns whether the job was suspended.';
