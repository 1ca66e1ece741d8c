-- The file of the table on a worker of Citus in which notifications of these users lie, who share a
-- shard: of this one, or, where it has none of them, of another one. NULL where none is left:
--
--     SELECT notification_shard_file(ARRAY[42, 43], 16384);
CREATE OR REPLACE FUNCTION notification_shard_file(
    user_ids notification_user_id[],
    relation oid
)
RETURNS oid
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN (
        SELECT pg_relation_filenode(n.tableoid)
        FROM notifications AS n
        WHERE n.user_id = ANY (notification_shard_file.user_ids)
        ORDER BY n.tableoid = notification_shard_file.relation DESC
        LIMIT 1
    );
END
$$;
COMMENT ON FUNCTION notification_shard_file(notification_user_id[], oid) IS
    'The file of this table on a worker of Citus, or of the one in which notifications of these '
    'users lie now; NULL where there are none.';
