-- Undo of one run in batches: call it until it is NULL. Any number of sessions may call it.
--
--     SELECT restore_next_batch(7);
CREATE OR REPLACE FUNCTION restore_next_batch(
    run_id bigint,
    batch_size integer DEFAULT 10000
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET plan_cache_mode = force_custom_plan
-- The plan is to find by the index on deleted_at, and then to update by the place (ctid), in the
-- one partition that can have the row: not to hash the whole table for a batch of it.
SET enable_hashjoin = off
SET random_page_cost = 0
AS $$
DECLARE
    v_started_at timestamptz;
    v_restored bigint;
    v_locked notification_id[];
    v_tried notification_id[] := ARRAY[]::notification_id[];
    v_kept notification_id[] := ARRAY[]::notification_id[];
    v_held record;
    v_users notification_user_id[];
    v_rows bigint;
BEGIN
    SELECT r.started_at
    INTO v_started_at
    FROM notification_cleanup_runs AS r
    WHERE r.id = restore_next_batch.run_id;
    IF (FOUND AND restore_next_batch.batch_size >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'no such run, or no such batch: run_id => %L, batch_size => %L',
                restore_next_batch.run_id,
                restore_next_batch.batch_size
            ),
            HINT = 'run_id takes an id of notification_cleanup_runs, batch_size 1 or more.';
    END IF;
    PERFORM end_notification_cleanup(restore_next_batch.run_id, false);
    LOOP
        v_restored := 0;
        v_locked := ARRAY[]::notification_id[];
        FOR v_users, v_rows IN
            SELECT
                s.user_ids,
                s.notifications
            FROM notification_deleted_shards(
                v_started_at,
                v_started_at + interval '1 microsecond',
                restore_next_batch.batch_size
            ) AS s
        LOOP
            -- No other run and no user deleted at this very moment: started_at is unique, and read
            -- from the clock.
            WITH locked AS MATERIALIZED (
                SELECT
                    n.ctid,
                    n.id,
                    n.user_id,
                    n.created_at,
                    n.deleted_at
                FROM notifications AS n
                WHERE n.deleted_at = v_started_at
                    AND n.id <> ALL (v_kept)
                    AND (v_users IS NULL OR n.user_id = ANY (v_users))
                LIMIT v_rows
                FOR NO KEY UPDATE SKIP LOCKED
            ),
            restored AS (
                UPDATE notifications AS n
                SET deleted_at = NULL
                FROM locked
                WHERE n.ctid = locked.ctid
                    AND n.id = locked.id
                    AND (n.deleted_at = locked.deleted_at) IS TRUE
                    AND (v_users IS NULL OR n.user_id = ANY (v_users))
                    AND (n.user_id = locked.user_id OR n.user_id IS NULL)
                    AND (n.created_at = locked.created_at OR n.created_at IS NULL)
                RETURNING n.deleted_at
            )
            SELECT
                v_restored + count(*),
                v_locked || CASE
                    WHEN count(*) = 0 THEN ARRAY(SELECT locked.id::notification_id FROM locked)
                END
            INTO
                v_restored,
                v_locked
            FROM restored
            WHERE restored.deleted_at IS NULL;
        END LOOP;
        EXIT WHEN v_restored > 0;
        -- What is locked a second time was not just moved by somebody the first time: a trigger of
        -- the application keeps it.
        v_kept := v_kept || ARRAY(
            SELECT l.id
            FROM unnest(v_locked) AS l (id)
            WHERE l.id = ANY (v_tried)
        );
        v_tried := v_tried || v_locked;
        -- Others hold all that is left: wait for one, and never for a second one with that in hand.
        IF cardinality(v_locked) = 0 THEN
            SELECT
                n.id,
                n.user_id
            INTO v_held
            FROM notifications AS n
            WHERE n.deleted_at = v_started_at
                AND n.id <> ALL (v_kept)
            LIMIT 1;
            IF NOT FOUND THEN
                RETURN NULL;
            END IF;
            PERFORM
            FROM notifications AS n
            WHERE (n.deleted_at = v_started_at) IS TRUE
                AND n.id = v_held.id
                AND (v_users IS NULL OR n.user_id = v_held.user_id)
            FOR NO KEY UPDATE;
            IF NOT FOUND THEN
                RETURN 0::bigint;
            END IF;
        END IF;
    END LOOP;
    UPDATE notification_cleanup_runs AS r
    SET notifications_restored = r.notifications_restored + v_restored
    WHERE r.id = restore_next_batch.run_id;
    RETURN v_restored;
END
$$;
COMMENT ON FUNCTION restore_next_batch(bigint, integer) IS
'Undoes the next batch_size notifications of one run, in the order of the table, and returns how '
'many. The first call gives up the batches that the run has left, after waiting for those in '
'flight.
Call it until it is NULL, each time in a transaction of its own. It skips what somebody holds, and '
'waits for one of those when nothing else is left; 0 means that this one has gone meanwhile.';
REVOKE ALL ON FUNCTION restore_next_batch(bigint, integer) FROM PUBLIC;
