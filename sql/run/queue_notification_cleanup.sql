-- Finds the users over the limit, ranks their inboxes, and writes the queue of a run: the
-- notifications that go, in lists of batch_size.
--
--     SELECT * FROM queue_notification_cleanup(7, 10000, NULL);
--
-- All of it is one statement, so that a user is over the limit at the very moment at which their
-- inbox is ranked. The lists are in the order of the table, so that a batch reads and writes
-- neighbouring pages.
CREATE OR REPLACE FUNCTION queue_notification_cleanup(
    run_id bigint,
    batch_size bigint,               -- NULL: as many as one transaction for all of them likes
    user_ids notification_user_id[]  -- NULL: everybody
)
RETURNS TABLE (
    user_id notification_user_id,
    total bigint,
    planned bigint
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- The parts come sorted as it is; a hash table of lists would spill to the disk.
SET enable_hashagg = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
BEGIN
    SELECT r.*
    INTO STRICT v_run
    FROM notification_cleanup_runs AS r
    WHERE r.id = queue_notification_cleanup.run_id;

    RETURN QUERY
    WITH over_limit AS MATERIALIZED (
        SELECT
            array_agg(c.user_id) AS users,
            array_agg(c.total) AS totals,
            -- Each batch is a subtransaction, and more than 64 of them in one transaction slow down
            -- every other session. An array has room for a million rows of any key. Smaller ones
            -- are faster: a batch of 100,000 costs a fifth more a row, for its memory.
            coalesce(
                queue_notification_cleanup.batch_size,
                least(greatest(10000, sum(c.total)::bigint / 60), 1000000)
            ) AS batch_size
        FROM notification_crowds(
            v_run.max_notifications,
            queue_notification_cleanup.user_ids
        ) AS c
    ),
    -- Nothing, unless Citus distributes the table: there a batch has to lie in one shard.
    shards AS MATERIALIZED (
        SELECT
            s.user_id,
            s.shard
        FROM over_limit AS o
        CROSS JOIN notification_shards(o.users) AS found (shards)
        CROSS JOIN unnest(o.users, found.shards) AS s (user_id, shard)
        WHERE found.shards IS NOT NULL
    ),
    excess AS (
        SELECT
            e.*,
            s.shard,
            o.batch_size
        FROM over_limit AS o
        CROSS JOIN notification_excess(o.users, v_run.min_keep, v_run.started_at) AS e
        LEFT JOIN shards AS s ON s.user_id = e.user_id
    ),
    -- Bytes that sort as shard, table and place do, in half the time.
    numbered AS (
        SELECT
            e.*,
            row_number() OVER (
                ORDER BY coalesce(int8send(e.shard), '') || oidsend(e.relation) || tidsend(e.place)
            ) - 1 AS number
        FROM excess AS e
    ),
    -- One number for the shard or table and for the part of it, which rises with the sort key.
    parts AS (
        SELECT
            n.*,
            (coalesce(n.shard, n.relation::bigint) << 32) + n.number / n.batch_size AS part
        FROM numbered AS n
    ),
    lists AS (
        SELECT
            p.part,
            min(p.created_at) AS oldest,
            max(p.created_at) AS newest,
            min(p.shard) AS shard,
            array_agg(p.relation) AS relations,
            array_agg(p.place) AS places,
            array_agg(p.id) AS ids,
            array_agg(p.user_id) AS users,
            array_agg(p.created_at) AS created_ats,
            array_agg(p.user_id) FILTER (WHERE p.is_last) AS last_users,
            array_agg(p.newest - v_run.min_keep) FILTER (WHERE p.is_last) AS last_users_planned
        FROM parts AS p
        GROUP BY p.part
    ),
    queued AS (
        INSERT INTO notification_cleanup_batches AS b (
            run_id,
            number,
            oldest,
            newest,
            shard,
            file,
            relations,
            places,
            ids,
            users,
            created_ats,
            last_users,
            last_users_planned
        )
        SELECT
            v_run.id,
            row_number() OVER (ORDER BY l.part),
            l.oldest,
            l.newest,
            l.shard,
            CASE WHEN l.shard IS NULL THEN pg_relation_filenode(l.relations[1]::regclass) END,
            l.relations,
            l.places,
            l.ids,
            l.users,
            l.created_ats,
            l.last_users,
            l.last_users_planned
        FROM lists AS l
        RETURNING
            b.last_users,
            b.last_users_planned
    ),
    planned AS (
        SELECT
            u.user_id,
            u.planned
        FROM queued AS q
        CROSS JOIN unnest(q.last_users, q.last_users_planned) AS u (user_id, planned)
    )
    SELECT
        crowd.user_id,
        crowd.total,
        coalesce(p.planned, 0)
    FROM over_limit AS o
    CROSS JOIN unnest(o.users, o.totals) AS crowd (user_id, total)
    LEFT JOIN planned AS p ON p.user_id = crowd.user_id;
END
$$;
COMMENT ON FUNCTION queue_notification_cleanup(bigint, bigint, notification_user_id[]) IS
    'Writes the batches of a run that has just been opened, and returns the users over the limit, '
    'with how many live notifications each has and how many of them are to go.';
