-- Restores the listed notifications, which the caller has locked, and returns the positions of
-- those that are live then. All or none: whatever refuses one of them is an error.
--
--     SELECT restore_listed_notifications('{16384}', '{"(0,1)"}', '{7}', '{1}', '{2025-01-01}');
CREATE OR REPLACE FUNCTION restore_listed_notifications(
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
        WHEN notification_shards('{}') IS NOT NULL THEN restore_listed_notifications.users
    END;
    v_settings CONSTANT record := pinned_planner_settings('restore_listed_notifications'::regproc);
    v_numbers bigint[];
    -- Where they lie then.
    v_relations oid[];
    v_places tid[];
    v_have_moved boolean;
BEGIN
    -- Relation, place and id together are the row that was locked: an id may stand in several
    -- partitions. IS TRUE hides the condition from the index on deleted_at, which would be read
    -- once for each row.
    WITH settings AS MATERIALIZED (
        SELECT count(set_config(s.name, s.new_value, true)) AS given_back
        FROM unnest(v_settings.names, v_settings.new_values) AS s (name, new_value)
    ),
    updated AS (
        UPDATE notifications AS n
        SET deleted_at = NULL
        FROM unnest(
            restore_listed_notifications.relations,
            restore_listed_notifications.places,
            restore_listed_notifications.ids,
            restore_listed_notifications.users,
            restore_listed_notifications.created_ats
        ) WITH ORDINALITY AS listed (relation, place, id, user_id, created_at, number)
        WHERE n.tableoid = listed.relation
            AND n.ctid = listed.place
            AND n.id = listed.id
            AND (n.deleted_at IS NOT NULL) IS TRUE
            AND (v_users IS NULL OR n.user_id = ANY (v_users))
            AND (n.user_id = listed.user_id OR n.user_id IS NULL)
            AND (n.created_at = listed.created_at OR n.created_at IS NULL)
            AND (SELECT s.given_back FROM settings AS s) IS NOT NULL
        RETURNING
            listed.number,
            n.deleted_at,
            n.tableoid AS relation,
            n.ctid AS place,
            n.tableoid <> listed.relation AS has_moved
    )
    -- A trigger may have set deleted_at again.
    SELECT
        array_agg(u.number),
        array_agg(u.relation),
        array_agg(u.place),
        bool_or(u.has_moved)
    INTO
        v_numbers,
        v_relations,
        v_places,
        v_have_moved
    FROM updated AS u
    WHERE u.deleted_at IS NULL;

    -- So may one that fires after it, in a statement of its own: one of UPDATE, or, where rows have
    -- moved to another partition, of DELETE or INSERT. Citus has no triggers on rows.
    IF v_users IS NULL AND (v_have_moved OR notification_updates_are_followed()) THEN
        SELECT array_agg(w.number)
        INTO v_numbers
        FROM find_written_notifications(
            v_numbers,
            v_relations,
            v_places,
            restore_listed_notifications.ids,
            restore_listed_notifications.users,
            restore_listed_notifications.created_ats
        ) AS w
        WHERE w.deleted_at IS NULL;
    END IF;
    RETURN v_numbers;
END
$$;
COMMENT ON FUNCTION
    restore_listed_notifications(
        oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    )
IS
    'For restore_or_purge(), and to try one: clears deleted_at of the listed notifications that '
    'are still where they are said to lie, and returns the positions of those that are live then.';
