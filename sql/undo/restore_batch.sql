-- Undoes the next notifications of a run, in at most max_attempts subtransactions:
--
--     SELECT * FROM restore_batch(7, 10000, 60);
CREATE OR REPLACE FUNCTION restore_batch(
    run_id bigint,
    batch_size integer,
    max_attempts integer,
    OUT restored bigint,  -- NULL: nothing is left but what refuses
    OUT attempts integer
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- The plan is to find by the index on deleted_at: not to read the whole table for a batch of it.
SET plan_cache_mode = force_custom_plan
SET random_page_cost = 0
AS $$
DECLARE
    v_started_at timestamptz;
    v_refused text[];
    v_refused_now bigint := 0::bigint;
    v_users notification_user_id[];
    v_rows bigint;
    v_list record;
    v_result record;
    v_held record;
BEGIN
    SELECT r.started_at
    INTO STRICT v_started_at
    FROM notification_cleanup_runs AS r
    WHERE r.id = restore_batch.run_id;
    restore_batch.restored := 0;
    restore_batch.attempts := 0;
    LOOP
        v_refused := refused_notifications('restore', v_started_at, v_started_at);
        FOR v_users, v_rows IN
            SELECT
                s.user_ids,
                s.notifications
            FROM notification_deleted_shards(
                v_started_at,
                v_started_at + interval '1 microsecond',
                restore_batch.batch_size
            ) AS s
        LOOP
            -- No other run and no user deleted at this very moment: started_at is unique, and read
            -- from the clock.
            WITH locked AS MATERIALIZED (
                SELECT
                    n.tableoid AS relation,
                    n.ctid AS place,
                    n.id,
                    n.user_id,
                    n.created_at,
                    n.deleted_at
                FROM notifications AS n
                WHERE n.deleted_at = v_started_at
                    -- IS NOT TRUE lets the server hash the list.
                    AND (
                        v_refused IS NULL
                        OR (concat_ws(' ', n.tableoid, n.ctid, n.id) = ANY (v_refused)) IS NOT TRUE
                    )
                    AND (v_users IS NULL OR n.user_id = ANY (v_users))
                LIMIT v_rows
                FOR NO KEY UPDATE SKIP LOCKED
            )
            SELECT
                array_agg(l.relation) AS relations,
                array_agg(l.place) AS places,
                array_agg(l.id::notification_id) AS ids,
                array_agg(l.user_id::notification_user_id) AS users,
                array_agg(l.created_at::notification_created_at) AS created_ats,
                array_agg(l.deleted_at) AS deleted_ats
            INTO v_list
            FROM locked AS l;
            CONTINUE WHEN v_list.places IS NULL;

            v_result := restore_or_purge(
                'restore',
                restore_batch.max_attempts - restore_batch.attempts,
                v_list.relations,
                v_list.places,
                v_list.ids,
                v_list.users,
                v_list.created_ats,
                v_list.deleted_ats
            );
            restore_batch.restored := restore_batch.restored + v_result.done;
            restore_batch.attempts := restore_batch.attempts + v_result.attempts;
            v_refused_now := v_refused_now + v_result.refused;
        END LOOP;
        EXIT WHEN restore_batch.attempts > 0;

        -- Others hold all that is left: wait for one of them, by its place, so that this call never
        -- waits for a second one while it holds the first.
        SELECT
            n.tableoid AS relation,
            n.ctid AS place,
            n.id,
            n.user_id,
            n.created_at
        INTO v_held
        FROM notifications AS n
        WHERE n.deleted_at = v_started_at
            AND (
                v_refused IS NULL
                OR (concat_ws(' ', n.tableoid, n.ctid, n.id) = ANY (v_refused)) IS NOT TRUE
            )
        LIMIT 1;
        IF NOT FOUND THEN
            restore_batch.restored := NULL;
            RETURN;
        END IF;
        PERFORM
        FROM notifications AS n
        WHERE n.tableoid = v_held.relation
            AND n.ctid = v_held.place
            AND n.id = v_held.id
            AND (n.deleted_at = v_started_at) IS TRUE
            AND (v_held.user_id IS NULL OR n.user_id = v_held.user_id)
            AND (v_held.created_at IS NULL OR n.created_at = v_held.created_at)
        FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END LOOP;

    UPDATE notification_cleanup_runs AS r
    SET notifications_restored = r.notifications_restored + restore_batch.restored
    WHERE r.id = restore_batch.run_id
        AND restore_batch.restored > 0;
    PERFORM warn_of_refused('restore', v_refused_now);
END
$$;
COMMENT ON FUNCTION restore_batch(bigint, integer, integer) IS
    'For restore_next_batch() and restore_notifications(), which are what to call: undoes the next '
    'notifications of a run, and returns how many it restored, and in how many subtransactions.';
