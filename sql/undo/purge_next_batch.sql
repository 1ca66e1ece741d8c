-- Purge in batches: call it until it is NULL.
--
--     SELECT purge_next_batch(retention => '30 days', max_rows => 10000);
CREATE OR REPLACE FUNCTION purge_next_batch(
    retention interval DEFAULT '30 days',
    max_rows integer DEFAULT 10000
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- The plan is to find by the index on deleted_at: not to sort the whole table for a batch of it.
SET plan_cache_mode = force_custom_plan
SET enable_sort = off
AS $$
DECLARE
    v_max_attempts CONSTANT integer := 60;
    v_attempts integer := 0;
    v_before timestamptz;
    v_refused text[];
    v_refused_now bigint := 0::bigint;
    v_users notification_user_id[];
    v_rows bigint;
    v_list record;
    v_result record;
    v_purged bigint := 0::bigint;
BEGIN
    IF (
        purge_next_batch.retention > interval '0'
        AND now() - purge_next_batch.retention < now()
        AND purge_next_batch.max_rows >= 1
    ) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid limits: retention => %L, max_rows => %L',
                purge_next_batch.retention,
                purge_next_batch.max_rows
            ),
            HINT = 'retention takes a positive interval, max_rows 1 or more.';
    END IF;
    PERFORM check_notification_columns();
    PERFORM check_delete_rules();
    v_before := now() - purge_next_batch.retention;
    v_refused := refused_notifications('purge', '-infinity', v_before);
    FOR v_users, v_rows IN
        SELECT
            s.user_ids,
            s.notifications
        FROM notification_deleted_shards(
            '-infinity',
            v_before,
            least(purge_next_batch.max_rows, 1000000)  -- an array takes no more of them
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
            WHERE n.deleted_at < v_before
                -- IS NOT TRUE lets the server hash the list.
                AND (
                    v_refused IS NULL
                    OR (concat_ws(' ', n.tableoid, n.ctid, n.id) = ANY (v_refused)) IS NOT TRUE
                )
                AND (v_users IS NULL OR n.user_id = ANY (v_users))
            ORDER BY n.deleted_at
            LIMIT v_rows
            FOR UPDATE SKIP LOCKED
        )
        SELECT
            array_agg(e.relation) AS relations,
            array_agg(e.place) AS places,
            array_agg(e.id::notification_id) AS ids,
            array_agg(e.user_id::notification_user_id) AS users,
            array_agg(e.created_at::notification_created_at) AS created_ats,
            array_agg(e.deleted_at) AS deleted_ats
        INTO v_list
        -- The newest first, so that in parts, too, an answer goes before its question.
        FROM (
            SELECT expired.*
            FROM expired
            ORDER BY
                expired.created_at DESC NULLS LAST,
                expired.id DESC
        ) AS e;
        CONTINUE WHEN v_list.places IS NULL;

        v_result := restore_or_purge(
            'purge',
            v_max_attempts - v_attempts,
            v_list.relations,
            v_list.places,
            v_list.ids,
            v_list.users,
            v_list.created_ats,
            v_list.deleted_ats
        );
        v_purged := v_purged + v_result.done;
        v_attempts := v_attempts + v_result.attempts;
        v_refused_now := v_refused_now + v_result.refused;
    END LOOP;
    PERFORM warn_of_refused('purge', v_refused_now);
    IF v_attempts = 0 THEN
        RETURN NULL;
    END IF;
    RETURN v_purged;
END
$$;
COMMENT ON FUNCTION purge_next_batch(interval, integer) IS
    'Deletes for good, oldest first, up to max_rows notifications that were soft-deleted longer '
    'than retention ago, and returns how many. Call it until it is NULL, each time in a '
    'transaction of its own: 0 means that all it tried refused, which it has noted in '
    'notification_cleanup_refused, and that the next call goes on behind these.';
