-- Opens a run: finds, ranks, and stores a cut-off for each user who has something to delete, and the batches that together delete it.
CREATE OR REPLACE FUNCTION open_notification_cleanup(
    max_notifications integer, min_keep integer, batch_size bigint, user_ids notification_user_id[]
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off SET jit = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_scans json;
BEGIN
    PERFORM notification_excess(max_notifications, min_keep, '{}', now(), true);  -- refuses bad limits before anything is written
    EXPLAIN (COSTS OFF, FORMAT JSON) SELECT n.user_id INTO v_scans FROM notifications AS n;  -- one for each partition, whatever is before them
    LOOP  -- started_at names the rows of a run, so two runs that open in the same microsecond must differ in it
        INSERT INTO notification_cleanup_runs (max_notifications, min_keep)
        VALUES (open_notification_cleanup.max_notifications, open_notification_cleanup.min_keep)
        ON CONFLICT (started_at) DO NOTHING RETURNING * INTO v_run;
        EXIT WHEN FOUND;
    END LOOP;
    -- Its id is new, unless somebody has emptied the history and begun to count again.
    DELETE FROM notification_cleanup_batches AS b WHERE b.run_id = v_run.id;
    DELETE FROM notification_cleanup_cutoffs AS c WHERE c.run_id = v_run.id;
    DELETE FROM notification_cleanup_throttles AS t WHERE t.run_id = v_run.id;
    WITH excess AS MATERIALIZED (
        SELECT e.*, sum(e.deletable) OVER (PARTITION BY e.shard ORDER BY e.number) - e.deletable AS before,
            CASE WHEN e.shard IS NOT NULL THEN min(e.number) OVER (PARTITION BY e.shard) END AS first_user,
            CASE WHEN e.shard IS NOT NULL THEN max(e.number) OVER (PARTITION BY e.shard) + 1 END AS end_user
        FROM notification_excess(v_run.max_notifications, v_run.min_keep, user_ids, v_run.started_at, true)
            WITH ORDINALITY AS e (user_id, total, unread, deletable, created_at, id, shard, pages, number)
    ),
    cutoffs AS (
        INSERT INTO notification_cleanup_cutoffs (run_id, number, user_id, total, deletable, created_at, id)
        SELECT v_run.id, e.number, e.user_id, e.total, e.deletable, e.created_at, e.id FROM excess AS e WHERE e.deletable > 0
    ),
    pages AS (
        SELECT e.shard, e.first_user, e.end_user, v.page, count(*) AS victims,
            v.page - coalesce(lag(v.page) OVER (PARTITION BY e.shard ORDER BY v.page) + 1, v.page) AS empty
        FROM excess AS e CROSS JOIN unnest(e.pages) AS v (page) GROUP BY e.shard, e.first_user, e.end_user, v.page
    ),
    -- A batch is a range of pages for all users, of the table or of a shard. An empty page weighs as much as a victim, so that no
    -- range spans a gap.
    ranges AS (
        SELECT p.first_user, p.end_user, min(p.page) AS first_page, max(p.page) + 1 AS end_page, sum(p.victims) AS victims, p.shard
        FROM (SELECT *, div(sum(victims + empty) OVER (PARTITION BY shard ORDER BY page) - victims, batch_size) AS batch FROM pages) AS p
        GROUP BY p.shard, p.first_user, p.end_user, p.batch
    ),
    -- Where that would read more pages, in each partition, than it deletes rows, it is some users for all pages; who has more than a batch is split by pages.
    shares AS (
        SELECT min(v.number) AS first_user, max(v.number) + 1 AS end_user, min(v.page) AS first_page, max(v.page) + 1 AS end_page, v.shard
        FROM (
            SELECT e.shard, e.number, CASE WHEN e.deletable > batch_size THEN v.page END AS page, div(e.before, batch_size) AS batch,
                div(rank() OVER (PARTITION BY e.number ORDER BY v.page) - 1, batch_size) AS part
            FROM excess AS e CROSS JOIN unnest(e.pages) AS v (page)
            WHERE (
                SELECT sum(r.end_page - r.first_page) * (SELECT greatest(count(*), 1) FROM regexp_matches(v_scans::text, '"Relation Name"', 'g')) > sum(r.victims)
                FROM ranges AS r
            )
        ) AS v
        GROUP BY v.shard, v.batch, v.part
    ),
    batches AS (
        INSERT INTO notification_cleanup_batches (run_id, first_user, end_user, low, high)
        SELECT v_run.id, b.first_user, b.end_user, ('(' || b.first_page || ',0)')::tid, ('(' || b.end_page || ',0)')::tid
        FROM (
            SELECT s.* FROM shares AS s UNION ALL
            SELECT r.first_user, r.end_user, r.first_page, r.end_page, r.shard FROM ranges AS r WHERE NOT EXISTS (SELECT FROM shares)
        ) AS b
        ORDER BY row_number() OVER (PARTITION BY b.shard ORDER BY b.first_user, b.first_page), b.shard  -- so that workers are on all nodes
    )
    UPDATE notification_cleanup_runs AS r
    SET (finished_at, users_over_limit, users_still_over_limit, notifications_planned) = (
        SELECT CASE WHEN coalesce(sum(e.deletable), 0) = 0 THEN clock_timestamp() END, count(*),
            count(*) FILTER (WHERE e.total - e.deletable > r.max_notifications), coalesce(sum(e.deletable), 0)
        FROM excess AS e
    )
    WHERE r.id = v_run.id RETURNING r.* INTO v_run;
    RETURN v_run;
END
$$;
COMMENT ON FUNCTION open_notification_cleanup(integer, integer, bigint, notification_user_id[]) IS
'The plan of cleanup_notifications() and plan_notification_cleanup(), which are what to call: opens a run with its cut-offs and batches, and returns its record.';
REVOKE ALL ON FUNCTION open_notification_cleanup(integer, integer, bigint, notification_user_id[]) FROM PUBLIC;
