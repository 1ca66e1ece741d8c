-- The end of the life cycle. Call it until it returns 0.
--
--     SELECT purge_notifications(retention => '30 days', max_rows => 10000);
CREATE OR REPLACE FUNCTION purge_notifications(
    retention interval DEFAULT '30 days',
    max_rows integer DEFAULT 10000
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET plan_cache_mode = force_custom_plan
-- The plan is to find by the index on deleted_at, and then to delete by the place (ctid), in the
-- one partition that can have the row: not to hash or sort the whole table for a batch of it.
SET enable_hashjoin = off
SET enable_sort = off
SET random_page_cost = 0
AS $$
DECLARE
    v_purged bigint := 0::bigint;
    v_users notification_user_id[];
    v_rows bigint;
BEGIN
    IF (
        purge_notifications.retention > interval '0'
        AND now() - purge_notifications.retention < now()
        AND purge_notifications.max_rows >= 1
    ) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid limits: retention => %L, max_rows => %L',
                purge_notifications.retention,
                purge_notifications.max_rows
            ),
            HINT = 'retention takes a positive interval, max_rows 1 or more.';
    END IF;
    PERFORM check_notification_columns();
    FOR v_users, v_rows IN
        SELECT
            s.user_ids,
            s.notifications
        FROM notification_deleted_shards(
            '-infinity',
            now() - purge_notifications.retention,
            purge_notifications.max_rows
        ) AS s
    LOOP
        WITH expired AS MATERIALIZED (
            SELECT
                n.tableoid AS relation,
                n.ctid AS place,
                n.id,
                n.user_id,
                n.created_at,
                n.deleted_at
            FROM notifications AS n
            WHERE n.deleted_at < now() - purge_notifications.retention
                AND (v_users IS NULL OR n.user_id = ANY (v_users))
            ORDER BY n.deleted_at
            LIMIT v_rows
            FOR UPDATE SKIP LOCKED
        )
        -- Relation, place and id together are the row that was locked: an id may stand in several
        -- partitions. IS TRUE hides the condition from the index on deleted_at, which would be read
        -- once for each row.
        DELETE FROM notifications AS n
        USING expired
        WHERE n.tableoid = expired.relation
            AND n.ctid = expired.place
            AND n.id = expired.id
            AND (n.deleted_at = expired.deleted_at) IS TRUE
            AND (v_users IS NULL OR n.user_id = ANY (v_users))
            AND (n.user_id = expired.user_id OR n.user_id IS NULL)
            AND (n.created_at = expired.created_at OR n.created_at IS NULL);
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_purged := v_purged + v_rows;
    END LOOP;
    RETURN v_purged;
END
$$;
COMMENT ON FUNCTION purge_notifications(interval, integer) IS
'Deletes for good, oldest first, up to max_rows notifications that were soft-deleted longer than '
'retention ago, and returns how many; never a live one, and never waits for a row lock. What is '
'purged cannot be restored.';
