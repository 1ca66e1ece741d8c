-- The rule: of users who are over the limit, the notifications that go.
--
--     SELECT * FROM notification_excess(ARRAY[42, 43], 100, now());
--
-- Nothing else ranks: preview and plan are both made from this. It reads these inboxes once.
CREATE OR REPLACE FUNCTION notification_excess(
    user_ids notification_user_id[],
    min_keep integer,
    as_of timestamptz
)
RETURNS TABLE (
    relation oid,
    place tid,
    id notification_id,
    user_id notification_user_id,
    created_at notification_created_at,
    newest bigint,
    is_last boolean
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- For a few users, a generic plan would read the whole table.
SET plan_cache_mode = force_custom_plan
-- An index scan would fetch the rows user by user, each page many times over. A few users' rows are
-- fetched page by page through a bitmap, those of many by reading the table.
SET enable_indexscan = off
-- A created_at without time zone is read as UTC, whatever the caller's zone.
SET timezone = 'UTC'
AS $$
BEGIN
    RETURN QUERY
    WITH ranked AS (
        SELECT
            n.tableoid AS relation,
            n.ctid AS place,
            n.id,
            n.user_id,
            n.created_at,
            row_number() OVER inbox AS newest,
            lead(true) OVER inbox IS NULL AS is_last
        FROM notifications AS n
        WHERE n.user_id = ANY (notification_excess.user_ids)
            AND n.deleted_at IS NULL
            AND n.status = 'read'
            AND n.created_at <= notification_excess.as_of
            AND n.id IS NOT NULL
        WINDOW inbox AS (
            PARTITION BY n.user_id
            ORDER BY n.created_at DESC, n.id DESC
        )
    )
    SELECT
        r.relation,
        r.place,
        r.id::notification_id,
        r.user_id::notification_user_id,
        r.created_at::notification_created_at,
        r.newest,
        r.is_last
    FROM ranked AS r
    WHERE r.newest > notification_excess.min_keep;
END
$$;
COMMENT ON FUNCTION notification_excess(notification_user_id[], integer, timestamptz) IS
    'The notifications of these users that go: read, live, not of the future, and not among the '
    'min_keep newest such of their user. Of each: the table (tableoid) and the place in it (ctid), '
    'its rank, newest first, and whether it is the last of its user.';
