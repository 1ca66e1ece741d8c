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
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_users notification_user_id[];
    v_totals bigint[];
    v_unread_users notification_user_id[];
    v_unread bigint[];
BEGIN
    PERFORM check_cleanup_limits(
        preview_notification_cleanup.max_notifications,
        preview_notification_cleanup.min_keep
    );
    SELECT
        array_agg(c.user_id),
        array_agg(c.total)
    INTO
        v_users,
        v_totals
    FROM notification_crowds(preview_notification_cleanup.max_notifications, NULL) AS c;

    -- A statement of its own: Citus would send the other one, with our functions in it, to workers
    -- that do not have them.
    SELECT
        array_agg(inbox.user_id::notification_user_id),
        array_agg(inbox.unread)
    INTO
        v_unread_users,
        v_unread
    FROM (
        SELECT
            n.user_id,
            count(*) AS unread
        FROM notifications AS n
        WHERE n.user_id = ANY (v_users)
            AND n.deleted_at IS NULL
            AND n.status = 'unread'
        GROUP BY n.user_id
    ) AS inbox;

    RETURN QUERY
    WITH excess AS (
        SELECT
            e.user_id,
            count(*) AS notifications
        FROM notification_excess(
            v_users,
            preview_notification_cleanup.min_keep,
            statement_timestamp()
        ) AS e
        GROUP BY e.user_id
    )
    SELECT
        c.user_id,
        c.total,
        coalesce(u.unread, 0),
        coalesce(e.notifications, 0)
    FROM unnest(v_users, v_totals) AS c (user_id, total)
    LEFT JOIN unnest(v_unread_users, v_unread) AS u (user_id, unread) ON u.user_id = c.user_id
    LEFT JOIN excess AS e ON e.user_id = c.user_id
    ORDER BY
        coalesce(e.notifications, 0) DESC,
        c.user_id;
END
$$;
COMMENT ON FUNCTION preview_notification_cleanup(integer, integer) IS
'Dry run of cleanup_notifications() with the same limits: each user over the limit, with the live, '
'unread and deletable notifications. Reads only; works on a hot standby.';
