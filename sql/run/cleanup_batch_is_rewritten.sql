-- Whether the table of a batch is another file than when the run was planned, or is no longer part
-- of notifications:
--
--     SELECT cleanup_batch_is_rewritten(7, 1);
--
-- VACUUM FULL, CLUSTER, TRUNCATE, a partition that was detached, a new table under the old name:
-- the places of the list say nothing any more.
CREATE OR REPLACE FUNCTION cleanup_batch_is_rewritten(
    run_id bigint,
    number bigint
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = cleanup_batch_is_rewritten.run_id
            AND b.number = cleanup_batch_is_rewritten.number
            AND CASE
                -- On Citus a worker has to be asked. It does not know where nothing is left.
                WHEN b.shard IS NOT NULL
                THEN b.file <> notification_shard_file(b.users, b.relations[1])
                ELSE b.file IS DISTINCT FROM pg_relation_filenode(b.relations[1]::regclass)
                    OR b.relations[1] NOT IN (SELECT t.relation FROM notification_tables() AS t)
            END
    );
END
$$;
COMMENT ON FUNCTION cleanup_batch_is_rewritten(bigint, bigint) IS
    'Whether the table of a batch was rewritten or replaced since the plan.';
