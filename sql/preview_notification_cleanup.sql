-- The dry run: what cleanup_notifications() would delete, a row for each user over the limit, the most first.
--
--     SELECT * FROM preview_notification_cleanup();
--     SELECT count(*), sum(deletable_notifications) FROM preview_notification_cleanup(500, 50);

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
SECURITY INVOKER
SET search_path FROM CURRENT
SET row_security = off
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
DECLARE
    v_user_ids notification_user_id[];
BEGIN
    IF (max_notifications >= 1 AND min_keep BETWEEN 0 AND max_notifications) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid limits: max_notifications => %L, min_keep => %L', max_notifications, min_keep),
            HINT = 'max_notifications takes 1 or more, min_keep 0 to max_notifications.';
    END IF;

    -- Find, by one index-only pass; then read the inboxes found and no other row. EXECUTE, because PL/pgSQL gives parallel
    -- workers to no other query that it takes a value from.
    EXECUTE $find$
        SELECT ARRAY(
            SELECT n.user_id::notification_user_id
            FROM notifications AS n
            WHERE n.deleted_at IS NULL
                AND n.user_id IS NOT NULL
            GROUP BY n.user_id
            HAVING count(*) > $1
        )
    $find$ INTO v_user_ids USING max_notifications;

    RETURN QUERY
    SELECT
        n.user_id::notification_user_id,
        count(*),
        count(*) FILTER (WHERE n.status = 'unread'),
        greatest(count(*) FILTER (WHERE n.status = 'read' AND n.created_at <= statement_timestamp()) - min_keep, 0) AS deletable
    FROM notifications AS n
    WHERE n.user_id = ANY (v_user_ids)
        AND n.deleted_at IS NULL
    GROUP BY n.user_id
    ORDER BY deletable DESC, n.user_id;
END
$$;

COMMENT ON FUNCTION preview_notification_cleanup(integer, integer) IS
'Dry run of cleanup_notifications() with the same limits: each user over the limit, with the live, unread and deletable notifications. Reads only; works on a hot standby.';
REVOKE ALL ON FUNCTION preview_notification_cleanup(integer, integer) FROM PUBLIC;
