-- The dry run: a row for each user over the limit, the one with the most to delete first.
--
--     SELECT * FROM preview_notification_cleanup(max_notifications => 500, min_keep => 50);
CREATE OR REPLACE FUNCTION preview_notification_cleanup(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100
)
RETURNS TABLE (
    user_id notification_user_id,
    total_notifications bigint,
    unread_notifications bigint,
    deletable_notifications bigint
)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT
    e.user_id,
    e.total,
    e.unread,
    e.deletable
FROM notification_excess(
    preview_notification_cleanup.max_notifications,
    preview_notification_cleanup.min_keep,
    NULL,
    statement_timestamp(),
    false
) AS e
$$;
COMMENT ON FUNCTION preview_notification_cleanup(integer, integer) IS
'Dry run of cleanup_notifications() with the same limits: each user over the limit, with the live, '
'unread and deletable notifications. Reads only; works on a hot standby.';
REVOKE ALL ON FUNCTION preview_notification_cleanup(integer, integer) FROM PUBLIC;
