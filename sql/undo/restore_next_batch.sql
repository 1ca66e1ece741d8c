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
    v_users notification_user_id[];
    v_rows bigint;
    v_locked bigint;
    v_restored bigint;
    -- Rows by relation and place, as in '16384 (0,1)': an id may stand in several partitions.
    v_untouched text[];  -- of this round: locked, but the UPDATE left them as they were
    v_tried text[];  -- the same of the rounds before
    v_kept text[];  -- those that a trigger of the application keeps deleted
    v_held record;
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
    PERFORM check_notification_columns();
    PERFORM give_up_notification_cleanup(restore_next_batch.run_id);
    LOOP
        v_locked := 0;
        v_restored := 0;
        v_untouched := NULL;
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
                    n.tableoid AS relation,
                    n.ctid AS place,
                    n.id,
                    n.user_id,
                    n.created_at,
                    n.deleted_at
                FROM notifications AS n
                WHERE n.deleted_at = v_started_at
                    AND (v_kept IS NULL OR concat_ws(' ', n.tableoid, n.ctid) <> ALL (v_kept))
                    AND (v_users IS NULL OR n.user_id = ANY (v_users))
                LIMIT v_rows
                FOR NO KEY UPDATE SKIP LOCKED
            ),
            -- Relation, place and id together are the row that was locked. IS TRUE hides the
            -- condition from the index on deleted_at, which would be read once for each row.
            updated AS (
                UPDATE notifications AS n
                SET deleted_at = NULL
                FROM locked
                WHERE n.tableoid = locked.relation
                    AND n.ctid = locked.place
                    AND n.id = locked.id
                    AND (n.deleted_at = locked.deleted_at) IS TRUE
                    AND (v_users IS NULL OR n.user_id = ANY (v_users))
                    AND (n.user_id = locked.user_id OR n.user_id IS NULL)
                    AND (n.created_at = locked.created_at OR n.created_at IS NULL)
                RETURNING
                    locked.relation,
                    locked.place,
                    n.tableoid AS new_relation,
                    n.ctid AS new_place,
                    n.deleted_at
            )
            SELECT
                v_locked + (SELECT count(*) FROM locked),
                v_restored + count(*) FILTER (WHERE u.deleted_at IS NULL),
                -- A trigger has set deleted_at again, in a new version of the row.
                v_kept || array_agg(concat_ws(' ', u.new_relation, u.new_place))
                    FILTER (WHERE u.deleted_at IS NOT NULL),
                v_untouched || CASE
                    WHEN count(*) FILTER (WHERE u.deleted_at IS NULL) = 0
                        THEN ARRAY(
                            SELECT concat_ws(' ', l.relation, l.place)
                            FROM locked AS l
                            EXCEPT
                            SELECT concat_ws(' ', t.relation, t.place)
                            FROM updated AS t
                        )
                END
            INTO
                v_locked,
                v_restored,
                v_kept,
                v_untouched
            FROM updated AS u;
        END LOOP;
        EXIT WHEN v_restored > 0;
        -- A row that was locked and not updated may have moved just before. When that happens to it
        -- a second time, in the same place, a trigger keeps it.
        v_kept := v_kept || ARRAY(
            SELECT untouched.place
            FROM unnest(v_untouched) AS untouched (place)
            WHERE untouched.place = ANY (v_tried)
        );
        v_tried := v_tried || v_untouched;
        -- Others hold all that is left: wait for one of them, by its place, so that this call never
        -- waits for a second one while it holds the first.
        IF v_locked = 0 THEN
            SELECT
                n.tableoid AS relation,
                n.ctid AS place,
                n.id,
                n.user_id,
                n.created_at
            INTO v_held
            FROM notifications AS n
            WHERE n.deleted_at = v_started_at
                AND (v_kept IS NULL OR concat_ws(' ', n.tableoid, n.ctid) <> ALL (v_kept))
            LIMIT 1;
            IF NOT FOUND THEN
                RETURN NULL;
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
Call it until it is NULL, each time in a transaction of its own. It skips what another session '
'holds, and waits for one of those when nothing else is left; 0 means that this one has changed or '
'gone meanwhile.';
