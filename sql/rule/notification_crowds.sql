-- The users over the limit, each with the number of their live notifications:
--
--     SELECT * FROM notification_crowds(1000, NULL);
--
-- One index-only pass over the live index. Nothing else in the product finds who is over.
CREATE OR REPLACE FUNCTION notification_crowds(
    max_notifications integer,
    user_ids notification_user_id[]  -- NULL: everybody
)
RETURNS TABLE (
    user_id notification_user_id,
    total bigint
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    PERFORM check_notification_columns();
    RETURN QUERY
    SELECT
        n.user_id::notification_user_id,
        count(*) AS total
    FROM notifications AS n
    WHERE n.deleted_at IS NULL
        AND n.user_id IS NOT NULL
        AND (
            notification_crowds.user_ids IS NULL
            OR n.user_id = ANY (notification_crowds.user_ids)
        )
    GROUP BY n.user_id
    HAVING count(*) > notification_crowds.max_notifications;
END
$$;
COMMENT ON FUNCTION notification_crowds(integer, notification_user_id[]) IS
    'The users (of user_ids, unless that is NULL) with more than max_notifications live '
    'notifications, and how many each has.';
