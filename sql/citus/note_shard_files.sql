-- Notes for each batch of a run in which file it lies on its worker, so that a rewrite is noticed:
--
--     SELECT note_shard_files(7);
--
-- Elsewhere than on Citus the plan knows the files itself.
CREATE OR REPLACE FUNCTION note_shard_files(run_id bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_shard bigint;
    v_relation oid;
    v_users notification_user_id[];
    v_file oid;
BEGIN
    -- A shard of a partitioned table is several tables.
    FOR v_shard, v_relation, v_users IN
        SELECT DISTINCT ON (b.shard, b.relations[1])
            b.shard,
            b.relations[1],
            b.users[1:1]
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = note_shard_files.run_id
            AND b.shard IS NOT NULL
        ORDER BY b.shard, b.relations[1]
    LOOP
        v_file := notification_shard_file(v_users, v_relation);
        UPDATE notification_cleanup_batches AS b
        SET file = v_file
        WHERE b.run_id = note_shard_files.run_id
            AND b.shard = v_shard
            AND b.relations[1] = v_relation;
    END LOOP;
END
$$;
COMMENT ON FUNCTION note_shard_files(bigint) IS
    'For open_notification_cleanup(): notes the files of the tables on the workers of Citus in '
    'which the batches of a run lie.';
