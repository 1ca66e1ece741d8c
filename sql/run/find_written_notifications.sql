-- What has become of notifications that a statement has written, once the application's triggers
-- have fired after it:
--
--     SELECT * FROM find_written_notifications(
--         '{3}', '{16384}', '{"(0,2)"}', '{5,6,7}', '{1,1,1}', '{2025-01-01,2025-01-02,2025-01-03}'
--     );
--
-- Such a trigger may write a notification once more, in a statement of its own, or delete it.
CREATE OR REPLACE FUNCTION find_written_notifications(
    numbers bigint[],   -- positions, in the lists of ids, users and created_ats, of those written
    relations oid[],    -- where each of them lies since
    places tid[],
    ids notification_id[],
    users notification_user_id[],
    created_ats notification_created_at[]
)
RETURNS TABLE (
    number bigint,
    deleted_at timestamptz
)
LANGUAGE plpgsql
STABLE
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
BEGIN
    RETURN QUERY
    WITH written AS (
        SELECT
            w.number,
            w.relation,
            w.place,
            find_written_notifications.ids[w.number] AS id,
            find_written_notifications.users[w.number] AS user_id,
            find_written_notifications.created_ats[w.number] AS created_at
        FROM unnest(
            find_written_notifications.numbers,
            find_written_notifications.relations,
            find_written_notifications.places
        ) AS w (number, relation, place)
    ),
    in_place AS MATERIALIZED (
        SELECT
            w.number,
            n.deleted_at
        FROM written AS w
        JOIN notifications AS n
            ON n.tableoid = w.relation
            AND n.ctid = w.place
            AND (n.user_id = w.user_id OR n.user_id IS NULL)
            AND (n.created_at = w.created_at OR n.created_at IS NULL)
    ),
    -- What has been written once more lies elsewhere.
    elsewhere AS (
        SELECT
            w.number,
            n.deleted_at
        FROM written AS w
        JOIN notifications AS n
            ON n.id = w.id
            AND n.tableoid = w.relation
            AND (n.user_id = w.user_id OR n.user_id IS NULL)
            AND (n.created_at = w.created_at OR n.created_at IS NULL)
        WHERE w.number NOT IN (SELECT p.number FROM in_place AS p)
    )
    SELECT
        p.number,
        p.deleted_at
    FROM in_place AS p
    UNION ALL
    SELECT
        e.number,
        e.deleted_at
    FROM elsewhere AS e;
END
$$;
COMMENT ON FUNCTION
    find_written_notifications(
        bigint[], oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    )
IS
    'For sweep_cleanup_batch() and restore_listed_notifications(): which of the notifications that '
    'a statement has written are still there, now that the triggers after it have fired, and what '
    'deleted_at each of them has.';
