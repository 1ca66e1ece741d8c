-- The file of the shard in which the notifications of these users lie, which share it, as its worker
-- knows it. NULL where none of them is left:
--
--     SELECT notification_shard_file(ARRAY[42, 43]);
CREATE OR REPLACE FUNCTION notification_shard_file(user_ids notification_user_id[])
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
        LIMIT 1
    );
END
$$;
COMMENT ON FUNCTION notification_shard_file(notification_user_id[]) IS
    'The file of the shard of Citus in which the notifications of these users lie, NULL where there '
    'are none.';
