-- Which shard each user's notifications are in, where Citus distributes the table: a batch stays
-- within one.
--
--     SELECT notification_shards(ARRAY[42, 43]);
CREATE OR REPLACE FUNCTION notification_shards(user_ids notification_user_id[])
RETURNS bigint[]
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_shards bigint[];
BEGIN
    IF to_regclass('pg_dist_partition') IS NOT NULL THEN
        -- Text, because elsewhere there is no such function.
        EXECUTE $shards$
            SELECT ARRAY(
                SELECT get_shard_id_for_distribution_column(p.logicalrelid, u.user_id)
                FROM unnest($1) WITH ORDINALITY AS u (user_id, number)
                ORDER BY u.number
            )
            FROM pg_dist_partition AS p
            WHERE p.logicalrelid = 'notifications'::regclass
                AND p.partmethod = 'h'
        $shards$
        INTO v_shards
        USING notification_shards.user_ids;
    END IF;
    RETURN v_shards;
END
$$;
COMMENT ON FUNCTION notification_shards(notification_user_id[]) IS
'The shard of each of these users, where Citus distributes the notifications; NULL where they are '
'in one place.';
