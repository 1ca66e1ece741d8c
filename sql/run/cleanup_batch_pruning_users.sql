-- The users of a batch, where naming them leaves out other partitions or shards:
--
--     SELECT cleanup_batch_pruning_users(7, 1);
CREATE OR REPLACE FUNCTION cleanup_batch_pruning_users(
    run_id bigint,
    number bigint
)
RETURNS notification_user_id[]
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN (
        -- Elsewhere it is left out: the planner compares each of 10,000 users with its statistics.
        SELECT ARRAY(SELECT DISTINCT listed.user_id FROM unnest(b.users) AS listed (user_id))
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = cleanup_batch_pruning_users.run_id
            AND b.number = cleanup_batch_pruning_users.number
            AND (
                b.shard IS NOT NULL
                OR EXISTS (
                    SELECT
                    FROM pg_class AS c
                    WHERE c.oid = b.relations[1]
                        AND c.relispartition
                )
            )
    );
END
$$;
COMMENT ON FUNCTION cleanup_batch_pruning_users(bigint, bigint) IS
    'The users of a batch of a partitioned or distributed table; NULL for any other table.';
