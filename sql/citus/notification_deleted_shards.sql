-- Where the notifications lie that purge or undo comes to next, for Citus, which locks rows in one
-- shard only:
--
--     SELECT * FROM notification_deleted_shards('-infinity', now() - interval '30 days', 10000);
CREATE OR REPLACE FUNCTION notification_deleted_shards(
    deleted_from timestamptz,
    deleted_before timestamptz,
    max_rows integer
)
RETURNS TABLE (
    user_ids notification_user_id[],
    notifications bigint
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_users notification_user_id[];
    v_notifications bigint[];
BEGIN
    IF notification_shards('{}') IS NULL THEN
        RETURN QUERY
        SELECT
            NULL::notification_user_id[],
            notification_deleted_shards.max_rows::bigint;
        RETURN;
    END IF;

    DO $citus$
    BEGIN
        -- The workers plan as the caller does.
        SET LOCAL citus.propagate_set_commands = 'local';
        SET LOCAL enable_hashjoin = off;
        SET LOCAL random_page_cost = 0;
    END
    $citus$;
    WITH oldest AS (
        SELECT n.user_id
        FROM notifications AS n
        WHERE n.deleted_at >= notification_deleted_shards.deleted_from
            AND n.deleted_at < notification_deleted_shards.deleted_before
        ORDER BY n.deleted_at
        LIMIT least(notification_deleted_shards.max_rows, 100000)
    ),
    inboxes AS (
        SELECT
            o.user_id::notification_user_id AS user_id,
            count(*) AS notifications
        FROM oldest AS o
        GROUP BY o.user_id
    )
    SELECT
        array_agg(i.user_id),
        array_agg(i.notifications)
    INTO
        v_users,
        v_notifications
    FROM inboxes AS i;

    RETURN QUERY
    SELECT
        array_agg(u.user_id),
        sum(u.notifications)::bigint
    FROM unnest(v_users, v_notifications, notification_shards(v_users))
        AS u (user_id, notifications, shard)
    GROUP BY u.shard;
END
$$;
COMMENT ON FUNCTION notification_deleted_shards(timestamptz, timestamptz, integer) IS
'Of the first max_rows notifications that were soft-deleted in that time, the users and how many '
'they are: a row a shard where Citus distributes them, elsewhere one row with NULL for all users.';
