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
BEGIN
    PERFORM notification_excess(max_notifications, min_keep, '{}', now(), true);  -- refuses bad limits before anything is written
    LOOP  -- started_at names the rows of a run, so two runs that open in the same microsecond must differ in it
        INSERT INTO notification_cleanup_runs (max_notifications, min_keep)
        VALUES (open_notification_cleanup.max_notifications, open_notification_cleanup.min_keep)
        ON CONFLICT (started_at) DO NOTHING RETURNING * INTO v_run;
        EXIT WHEN FOUND;
    END LOOP;
    -- Its id is new, unless somebody has emptied the history and begun to count again.
    DELETE FROM notification_cleanup_batches AS b WHERE b.run_id = v_run.id;
    DELETE FROM notification_cleanup_cutoffs AS c WHERE c.run_id = v_run.id;
    WITH excess AS MATERIALIZED (
        SELECT e.*, sum(e.deletable) OVER (ORDER BY e.number) - e.deletable AS before
        FROM notification_excess(v_run.max_notifications, v_run.min_keep, user_ids, v_run.started_at, true)
            WITH ORDINALITY AS e (user_id, total, unread, deletable, created_at, id, pages, number)
    ),
    cutoffs AS (
        INSERT INTO notification_cleanup_cutoffs (run_id, number, user_id, total, deletable, created_at, id)
        SELECT v_run.id, e.number, e.user_id, e.total, e.deletable, e.created_at, e.id FROM excess AS e WHERE e.deletable > 0
    ),
    pages AS (
        SELECT v.page, count(*) AS victims, v.page - coalesce(lag(v.page) OVER (ORDER BY v.page) + 1, v.page) AS empty
        FROM excess AS e CROSS JOIN unnest(e.pages) AS v (page) GROUP BY v.page
    ),
    -- A batch is a range of pages for all users. An empty page weighs as much as a victim, so that no range spans a gap.
    ranges AS (
        SELECT min(p.page) AS first_page, max(p.page) + 1 AS end_page, sum(p.victims) AS victims
        FROM (SELECT *, div(sum(victims + empty) OVER (ORDER BY page) - victims, batch_size) AS batch FROM pages) AS p
        GROUP BY p.batch
    ),
    -- Where that would read more pages than it deletes rows, it is some users for all pages; who has more than a batch is split by pages.
    shares AS (
        SELECT min(v.number) AS first_user, max(v.number) + 1 AS end_user, min(v.page) AS first_page, max(v.page) + 1 AS end_page
        FROM (
            SELECT e.number, CASE WHEN e.deletable > batch_size THEN v.page END AS page, div(e.before, batch_size) AS batch,
                div(rank() OVER (PARTITION BY e.number ORDER BY v.page) - 1, batch_size) AS part
            FROM excess AS e CROSS JOIN unnest(e.pages) AS v (page)
            WHERE (SELECT sum(r.end_page - r.first_page) > sum(r.victims) FROM ranges AS r)
        ) AS v
        GROUP BY v.batch, v.part
    ),
    batches AS (
        INSERT INTO notification_cleanup_batches (run_id, first_user, end_user, low, high)
        SELECT v_run.id, b.first_user, b.end_user, ('(' || b.first_page || ',0)')::tid, ('(' || b.end_page || ',0)')::tid
        FROM (
            SELECT s.* FROM shares AS s UNION ALL
            SELECT NULL, NULL, r.first_page, r.end_page FROM ranges AS r WHERE NOT EXISTS (SELECT FROM shares)
        ) AS b
        ORDER BY b.first_user, b.first_page
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
