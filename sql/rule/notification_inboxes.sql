-- The ranking, by one pass over these inboxes: all of each, or, to delete, what may go at all, and on which page it lies.
-- Apart from the rule, because Citus ranks in all shards at once only what nothing else is joined to.
CREATE OR REPLACE FUNCTION notification_inboxes(user_ids notification_user_id[], min_keep integer, as_of timestamptz, to_delete boolean)
RETURNS TABLE (user_id notification_user_id, unread bigint, deletable bigint, cutoff_at notification_created_at, cutoff_id notification_id, pages bigint[])
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET row_security = off
SET jit = off SET plan_cache_mode = force_custom_plan  -- for a few users, a generic plan would read the whole table
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        ranked.user_id::notification_user_id,
        count(*) FILTER (WHERE ranked.status = 'unread') AS unread,
        count(*) FILTER (WHERE ranked.deletable AND ranked.newest > min_keep) AS deletable,
        (array_agg(ranked.created_at) FILTER (WHERE ranked.deletable AND ranked.newest - 1 = min_keep))[1]::notification_created_at AS cutoff_at,
        (array_agg(ranked.id) FILTER (WHERE ranked.deletable AND ranked.newest - 1 = min_keep))[1]::notification_id AS cutoff_id,
        -- From the bytes of the ctid: from its text costs five times as much.
        array_agg((get_byte(ranked.place, 0)::bigint << 24) + (get_byte(ranked.place, 1) << 16) + (get_byte(ranked.place, 2) << 8)
            + get_byte(ranked.place, 3)) FILTER (WHERE to_delete AND ranked.newest > min_keep) AS pages
    FROM (
        SELECT live.*, tidsend(live.ctid) AS place,
            row_number() OVER (PARTITION BY live.user_id, live.deletable ORDER BY live.created_at DESC, live.id DESC) AS newest
        FROM (
            SELECT n.ctid, n.user_id, n.status, n.created_at, n.id, (n.status = 'read' AND n.created_at <= as_of) IS TRUE AS deletable
            FROM notifications AS n
            WHERE n.user_id = ANY (user_ids) AND n.deleted_at IS NULL
        ) AS live
        WHERE live.deletable OR NOT to_delete
    ) AS ranked
    GROUP BY ranked.user_id;
END
$$;
COMMENT ON FUNCTION notification_inboxes(notification_user_id[], integer, timestamptz, boolean) IS
'The ranking of notification_excess(): of each of these users, what it returns of him.';
REVOKE ALL ON FUNCTION notification_inboxes(notification_user_id[], integer, timestamptz, boolean) FROM PUBLIC;
