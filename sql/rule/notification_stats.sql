-- Live totals, counted in one pass over the live index.
--
--     SELECT * FROM notification_stats();
CREATE OR REPLACE FUNCTION notification_stats(
    max_notifications integer DEFAULT 1000
)
RETURNS TABLE (
    total_notifications bigint,
    users_with_notifications bigint,
    users_over_limit bigint
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
AS $$
BEGIN
    IF (notification_stats.max_notifications >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid limit: max_notifications => %L',
                notification_stats.max_notifications
            ),
            HINT = 'max_notifications takes 1 or more.';
    END IF;
    PERFORM check_notification_columns();
    RETURN QUERY
    SELECT
        coalesce(sum(inbox.total), 0)::bigint,
        count(inbox.user_id),
        count(inbox.user_id) FILTER (WHERE inbox.total > notification_stats.max_notifications)
    FROM (
        -- Rows without a user are one group of their own, which counts in the total only.
        SELECT
            n.user_id,
            count(*) AS total
        FROM notifications AS n
        WHERE n.deleted_at IS NULL
        GROUP BY n.user_id
    ) AS inbox;
END
$$;
COMMENT ON FUNCTION notification_stats(integer) IS
'Live notifications, users who have any, and users with more than max_notifications of them. '
'Reads only; works on a hot standby.';
