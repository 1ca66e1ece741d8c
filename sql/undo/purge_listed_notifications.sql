-- Deletes the listed notifications for good, which the caller has locked, and returns the positions
-- of those that are gone then; never a live one, and no other one along with them. All or none:
-- whatever refuses one of them is an error.
--
--     SELECT purge_listed_notifications('{16384}', '{"(0,1)"}', '{7}', '{1}', '{2025-01-01}');
CREATE OR REPLACE FUNCTION purge_listed_notifications(
    relations oid[],
    places tid[],
    ids notification_id[],
    users notification_user_id[],
    created_ats notification_created_at[]
)
RETURNS bigint[]  -- positions in the list
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- By the place (ctid), in the one partition that can have the row: not by hashing or sorting the
-- whole table for a list of it.
SET plan_cache_mode = force_custom_plan
SET enable_hashjoin = off
SET enable_sort = off
SET random_page_cost = 0
AS $$
DECLARE
    -- Only where Citus has to find the shard: all of a list lies in one.
    v_users CONSTANT notification_user_id[] := CASE
        WHEN notification_shards('{}') IS NOT NULL THEN purge_listed_notifications.users
    END;
    v_settings CONSTANT record := pinned_planner_settings('purge_listed_notifications'::regproc);
    v_tables CONSTANT oid[] := notification_siblings();
    v_deleted_before bigint;
    v_numbers bigint[];
    v_others bigint;
BEGIN
    IF v_users IS NOT NULL THEN
        PERFORM check_distributed_cascades();
    ELSIF NOT current_setting('track_counts')::boolean THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'a purge cannot see what it deletes, because track_counts is off',
            HINT = 'SET track_counts = on, which autovacuum needs as well.';
    END IF;
    v_deleted_before := count_deleted_rows(v_tables);
    -- Relation, place and id together are the row that was locked: an id may stand in several
    -- partitions. IS TRUE hides the condition from the index on deleted_at, which would be read
    -- once for each row.
    WITH settings AS MATERIALIZED (
        SELECT count(set_config(s.name, s.new_value, true)) AS given_back
        FROM unnest(v_settings.names, v_settings.new_values) AS s (name, new_value)
    ),
    deleted AS (
        DELETE FROM notifications AS n
        USING unnest(
            purge_listed_notifications.relations,
            purge_listed_notifications.places,
            purge_listed_notifications.ids,
            purge_listed_notifications.users,
            purge_listed_notifications.created_ats
        ) WITH ORDINALITY AS listed (relation, place, id, user_id, created_at, number)
        WHERE n.tableoid = listed.relation
            AND n.ctid = listed.place
            AND n.id = listed.id
            AND (n.deleted_at IS NOT NULL) IS TRUE
            AND (v_users IS NULL OR n.user_id = ANY (v_users))
            AND (n.user_id = listed.user_id OR n.user_id IS NULL)
            AND (n.created_at = listed.created_at OR n.created_at IS NULL)
            AND (SELECT s.given_back FROM settings AS s) IS NOT NULL
        RETURNING listed.number
    )
    SELECT array_agg(d.number)
    INTO v_numbers
    FROM deleted AS d;

    -- A foreign key with ON DELETE CASCADE, or a trigger, may have taken others along. Whether they
    -- were live is not to be known any more.
    v_others := count_deleted_rows(v_tables) - v_deleted_before
        - coalesce(cardinality(v_numbers), 0);
    IF v_others > 0 AND v_users IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'a foreign key with ON DELETE CASCADE or a trigger would delete other '
                'notifications along with it',
            HINT = 'It is purged when these have gone. Where they are to stay without it, let the '
                'foreign key SET NULL.';
    END IF;
    RETURN v_numbers;
END
$$;
COMMENT ON FUNCTION
    purge_listed_notifications(
        oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    )
IS
    'For restore_or_purge(), and to try one: deletes the listed notifications that are '
    'soft-deleted and still where they are said to lie, and returns the positions of those that '
    'are gone then.';
