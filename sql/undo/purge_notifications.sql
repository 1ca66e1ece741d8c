-- The end of the life cycle. Call it until it returns 0.
--
--     SELECT purge_notifications(retention => '30 days', max_rows => 10000);
CREATE OR REPLACE FUNCTION purge_notifications(
    retention interval DEFAULT '30 days',
    max_rows integer DEFAULT 10000
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN coalesce(
        purge_next_batch(purge_notifications.retention, purge_notifications.max_rows),
        0
    );
END
$$;
COMMENT ON FUNCTION purge_notifications(interval, integer) IS
    'Deletes for good, oldest first, up to max_rows notifications that were soft-deleted longer '
    'than retention ago, and returns how many; never a live one, and never waits for a row lock. '
    'It steps over what a foreign key or a trigger refuses, with a warning and a row in '
    'notification_cleanup_refused. What is purged cannot be restored.';
