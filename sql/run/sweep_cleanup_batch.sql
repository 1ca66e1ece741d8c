-- Soft-deletes those notifications of one batch that are still what the plan has judged and that
-- nobody holds. The only statement of the product that sets deleted_at to a time:
--
--     SELECT * FROM sweep_cleanup_batch(7, 1, '100ms');
--
-- Table, place, id, user and created_at together are the row: what lies in a place that was freed
-- and filled again does not match, nor what the application has moved or marked since.
CREATE OR REPLACE FUNCTION sweep_cleanup_batch(
    run_id bigint,
    number bigint,
    patience text,  -- the lock_timeout for rows
    OUT deleted bigint,
    OUT missed bigint[],
    OUT kept bigint[]
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET timezone = 'UTC'
-- The list is planned anew for each batch, by its own users and dates: they leave out partitions.
SET plan_cache_mode = force_custom_plan
-- By place and by nothing else, whatever the statistics say: one Tid Scan of all places of the
-- list, which the hash join then matches with the list. A nested loop would begin a Tid Scan for
-- each row, and each of those asks the system for the size of the table: half as much time again.
SET enable_tidscan = on
SET enable_nestloop = off
SET enable_hashjoin = on
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_indexscan = off
SET enable_indexonlyscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_batch notification_cleanup_batches;
    v_started_at timestamptz;
    v_other timestamptz;
    v_lock_timeout CONSTANT text := current_setting('lock_timeout');
    v_settings CONSTANT record := pinned_planner_settings('sweep_cleanup_batch'::regproc);
    v_users CONSTANT notification_user_id[] := cleanup_batch_pruning_users(
        sweep_cleanup_batch.run_id,
        sweep_cleanup_batch.number
    );
    -- Whether a trigger of the application fires after the UPDATE, and so may undo it.
    v_is_followed boolean;
    -- What was soft-deleted and may have been undone since, and where it lies.
    v_numbers bigint[];
    v_relations oid[];
    v_places tid[];
    v_undone bigint[];
BEGIN
    SELECT b.*
    INTO STRICT v_batch
    FROM notification_cleanup_batches AS b
    WHERE b.run_id = sweep_cleanup_batch.run_id
        AND b.number = sweep_cleanup_batch.number;
    IF v_batch.shard IS NOT NULL THEN
        PERFORM pin_tid_scans_on_workers();
    END IF;
    -- Citus has no triggers on rows.
    v_is_followed := v_batch.shard IS NULL AND notification_updates_are_followed();
    SELECT r.started_at
    INTO STRICT v_started_at
    FROM notification_cleanup_runs AS r
    WHERE r.id = sweep_cleanup_batch.run_id;

    WITH settings AS MATERIALIZED (
        -- Set inside of the statement, after it is planned and has its locks on tables: for those
        -- the caller's own lock_timeout counts.
        SELECT count(set_config(s.name, s.new_value, true)) AS given_back
        FROM unnest(
            v_settings.names || ARRAY['lock_timeout'],
            v_settings.new_values || ARRAY[sweep_cleanup_batch.patience]
        ) AS s (name, new_value)
    ),
    locked AS MATERIALIZED (
        SELECT
            n.tableoid AS relation,
            n.ctid AS place,
            doomed.number
        FROM unnest(
            v_batch.relations,
            v_batch.places,
            v_batch.ids,
            v_batch.users,
            v_batch.created_ats
        ) WITH ORDINALITY AS doomed (relation, place, id, user_id, created_at, number)
        JOIN notifications AS n
            ON n.tableoid = doomed.relation
            AND n.ctid = doomed.place
            AND n.id = doomed.id
            AND n.user_id = doomed.user_id
            AND n.created_at = doomed.created_at
        WHERE n.ctid = ANY (v_batch.places)
            AND n.deleted_at IS NULL
            AND n.status = 'read'
            AND n.created_at BETWEEN v_batch.oldest AND v_batch.newest
            AND (v_users IS NULL OR n.user_id = ANY (v_users))
            AND (SELECT s.given_back FROM settings AS s) IS NOT NULL
        FOR NO KEY UPDATE OF n SKIP LOCKED
    ),
    -- The conditions again, because this part finds rows for itself: with place and pruning alone
    -- it has met rows of other partitions that were never listed.
    updated AS (
        UPDATE notifications AS n
        SET deleted_at = v_started_at
        FROM locked AS l
        WHERE n.tableoid = l.relation
            AND n.ctid = l.place
            AND n.ctid = ANY (ARRAY(SELECT held.place FROM locked AS held))
            AND n.deleted_at IS NULL
            AND n.status = 'read'
            AND n.created_at BETWEEN v_batch.oldest AND v_batch.newest
            AND (v_users IS NULL OR n.user_id = ANY (v_users))
        RETURNING
            l.number,
            n.deleted_at,
            n.tableoid AS relation,
            n.ctid AS place,
            -- To another partition. Then the triggers that fire are those of DELETE and INSERT.
            n.tableoid <> l.relation AS has_moved
    ),
    -- A trigger that keeps a row lets its deleted_at NULL, or the row out of what was updated.
    soft_deleted AS MATERIALIZED (
        SELECT
            u.number,
            u.relation,
            u.place,
            v_is_followed OR u.has_moved AS may_be_undone
        FROM updated AS u
        WHERE u.deleted_at = v_started_at
    ),
    counted AS (
        SELECT
            count(*) AS soft_deleted,
            (SELECT count(*) FROM locked) AS locked,
            array_agg(s.number) FILTER (WHERE s.may_be_undone) AS numbers,
            array_agg(s.relation) FILTER (WHERE s.may_be_undone) AS relations,
            array_agg(s.place) FILTER (WHERE s.may_be_undone) AS places
        FROM soft_deleted AS s
    )
    SELECT
        c.soft_deleted,
        c.numbers,
        c.relations,
        c.places,
        (SELECT min(u.deleted_at) FROM updated AS u WHERE u.deleted_at <> v_started_at),
        CASE
            WHEN c.soft_deleted < cardinality(v_batch.places)
            THEN ARRAY(
                SELECT listed.number
                FROM generate_series(1::bigint, cardinality(v_batch.places)::bigint)
                    AS listed (number)
                WHERE listed.number NOT IN (SELECT s.number FROM soft_deleted AS s)
            )
        END,
        CASE
            WHEN c.soft_deleted < c.locked
            THEN ARRAY(
                SELECT l.number
                FROM locked AS l
                WHERE l.number NOT IN (SELECT s.number FROM soft_deleted AS s)
            )
        END
    INTO
        sweep_cleanup_batch.deleted,
        v_numbers,
        v_relations,
        v_places,
        v_other,
        sweep_cleanup_batch.missed,
        sweep_cleanup_batch.kept
    FROM counted AS c;

    PERFORM set_config('lock_timeout', v_lock_timeout, true);
    PERFORM check_written_deleted_at(v_other, v_started_at);

    IF v_numbers IS NOT NULL AND v_batch.shard IS NULL THEN
        v_undone := find_undone_deletions(v_batch, v_started_at, v_numbers, v_relations, v_places);
        IF v_undone IS NOT NULL THEN
            sweep_cleanup_batch.deleted := sweep_cleanup_batch.deleted - cardinality(v_undone);
            sweep_cleanup_batch.missed := sweep_cleanup_batch.missed || v_undone;
            sweep_cleanup_batch.kept := sweep_cleanup_batch.kept || v_undone;
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION sweep_cleanup_batch(bigint, bigint, text) IS
    'Does one batch for cleanup_next_batch(), which is what to call. deleted: how many; missed: '
    'the positions in the list of those that were not soft-deleted, NULL where all were; kept: '
    'those of them that were locked, and that a trigger has kept, restored or deleted.';
