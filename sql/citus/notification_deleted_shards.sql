-- Where the notifications lie that purge or undo comes to next: for Citus, which locks rows in one shard only.
CREATE OR REPLACE FUNCTION notification_deleted_shards(deleted_from timestamptz, deleted_before timestamptz, max_rows integer)
RETURNS TABLE (user_ids notification_user_id[], notifications bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
BEGIN
    IF notification_shards('{}') IS NULL THEN
        RETURN QUERY SELECT NULL::notification_user_id[], max_rows::bigint;
        RETURN;
    END IF;
    DO $citus$ BEGIN  -- the workers plan as the caller does
        SET LOCAL citus.propagate_set_commands = 'local';
        SET LOCAL enable_hashjoin = off; SET LOCAL random_page_cost = 0;
    END $citus$;
    RETURN QUERY
    SELECT array_agg(u.user_id), sum(u.notifications)::bigint
    FROM (
        SELECT array_agg(c.user_id) AS user_ids, array_agg(c.notifications) AS notifications
        FROM (
            SELECT n.user_id::notification_user_id, count(*) AS notifications
            FROM (
                SELECT n.user_id FROM notifications AS n WHERE n.deleted_at >= deleted_from AND n.deleted_at < deleted_before
                ORDER BY n.deleted_at LIMIT least(max_rows, 100000)
            ) AS n
            GROUP BY n.user_id
        ) AS c
    ) AS all_users
    CROSS JOIN unnest(all_users.user_ids, all_users.notifications, notification_shards(all_users.user_ids)) AS u (user_id, notifications, shard)
    GROUP BY u.shard;
END
$$;
COMMENT ON FUNCTION notification_deleted_shards(timestamptz, timestamptz, integer) IS
'Of the first max_rows notifications that were soft-deleted in that time, the users and how many they are: a row a shard where Citus distributes them, elsewhere one row with NULL for all users.';
