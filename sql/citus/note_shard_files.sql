-- Notes for each batch of a run in which file its shard is, so that a rewrite is noticed:
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
    v_users notification_user_id[];
BEGIN
    FOR v_shard, v_users IN
        SELECT DISTINCT ON (b.shard)
            b.shard,
            b.users
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = note_shard_files.run_id
            AND b.shard IS NOT NULL
        ORDER BY b.shard
    LOOP
        UPDATE notification_cleanup_batches AS b
        SET file = notification_shard_file(v_users)
        WHERE b.run_id = note_shard_files.run_id
            AND b.shard = v_shard;
    END LOOP;
END
$$;
COMMENT ON FUNCTION note_shard_files(bigint) IS
    'For open_notification_cleanup(): notes the files of the shards of Citus in which the batches of '
    'a run lie.';
