-- Written by make snapshot: edit sql/, never this copy.

-- +goose Up
-- SET search_path FROM CURRENT then pins the schema that goose installs into, and temporary objects last.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- frozen copy of sql/cleanup_next_batch.sql
-- Does one batch of a run, or ends it: SELECT cleanup_next_batch(7); until it is NULL. Any number of sessions may call it.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_next_batch(run_id bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
SET plan_cache_mode = force_custom_plan  -- so that a condition on all users, or on all pages, folds away
SET enable_nestloop = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_batch notification_cleanup_batches;
    v_cutoffs record;
    v_kept notification_id[];
    v_lock_timeout CONSTANT text := current_setting('lock_timeout');
    v_called_at timestamptz := clock_timestamp();
BEGIN
    SELECT r.* INTO v_run FROM notification_cleanup_runs AS r WHERE r.id = cleanup_next_batch.run_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'run_id takes the id of a run: plan_notification_cleanup() opens one.',
            MESSAGE = format('no cleanup run %s', coalesce(run_id::text, 'NULL'));
    END IF;
    LOOP
        SELECT b.* INTO v_batch FROM notification_cleanup_batches AS b WHERE b.run_id = v_run.id AND NOT b.done
        ORDER BY b.attempts, b.number LIMIT 1 FOR UPDATE SKIP LOCKED;
        EXIT WHEN FOUND;
        IF NOT EXISTS (SELECT FROM notification_cleanup_batches AS b WHERE b.run_id = v_run.id AND NOT b.done) THEN
            PERFORM FROM notification_cleanup_runs AS r WHERE r.id = v_run.id FOR UPDATE SKIP LOCKED;
            IF FOUND THEN
                PERFORM end_notification_cleanup(v_run.id, true);
                RETURN NULL;
            END IF;
            v_called_at := '-infinity';  -- for whoever ends it waits for what has been locked here in vain
        END IF;
        PERFORM pg_sleep(0.05);
        IF clock_timestamp() > v_called_at + interval '0.9 seconds' THEN
            RETURN 0::bigint;
        END IF;
    END LOOP;
    PERFORM pg_sleep(0.1 * v_batch.attempts);  -- whoever was in the way gets on meanwhile
    SELECT array_agg(c.user_id) AS user_ids, array_agg(c.created_at) AS created_ats, array_agg(c.id) AS ids INTO v_cutoffs
    FROM notification_cleanup_cutoffs AS c
    WHERE c.run_id = v_run.id AND (v_batch.first_user IS NULL OR c.number >= v_batch.first_user AND c.number < v_batch.end_user);
    -- Lock what nobody holds, and update what was locked. SKIP LOCKED can wait all the same, for a row that is updated twice while it
    -- looks, and so can an application's trigger. Give way then, long before deadlock_timeout lets the server choose a victim.
    BEGIN
        WITH patience AS MATERIALIZED (
            -- Now the tables are locked: for those the caller's own lock_timeout counts.
            SELECT set_config('lock_timeout', CASE WHEN v_batch.attempts < 5 THEN '100ms' ELSE v_lock_timeout END, true) AS lock_timeout
        ),
        locked AS MATERIALIZED (
            SELECT n.user_id, n.id
            FROM notifications AS n
            JOIN unnest(v_cutoffs.user_ids, v_cutoffs.created_ats, v_cutoffs.ids) AS cutoff (user_id, created_at, id) ON cutoff.user_id = n.user_id
            WHERE (v_batch.first_user IS NULL OR n.user_id = ANY (v_cutoffs.user_ids))
                AND (v_batch.low IS NULL OR n.ctid >= v_batch.low AND n.ctid < v_batch.high)
                AND n.deleted_at IS NULL AND n.status = 'read' AND (n.created_at, n.id) <= (cutoff.created_at, cutoff.id)
                AND (SELECT p.lock_timeout FROM patience AS p) IS NOT NULL
            FOR NO KEY UPDATE OF n SKIP LOCKED
        ),
        soft_deleted AS (
            UPDATE notifications AS n SET deleted_at = v_run.started_at FROM locked
            WHERE (v_batch.first_user IS NULL OR n.user_id = ANY (v_cutoffs.user_ids))
                AND (v_batch.low IS NULL OR n.ctid >= v_batch.low AND n.ctid < v_batch.high)
                AND n.deleted_at IS NULL AND n.status = 'read' AND n.user_id = locked.user_id AND n.id = locked.id
            RETURNING n.user_id, n.id, n.deleted_at
        ),
        cleaned AS (
            SELECT s.user_id, count(*) AS deleted FROM soft_deleted AS s WHERE s.deleted_at = v_run.started_at GROUP BY s.user_id
        )
        SELECT
            coalesce(sum(c.deleted), 0)::bigint, array_agg(c.user_id::notification_user_id), array_agg(c.deleted),
            CASE WHEN (SELECT count(*) FROM locked) > coalesce(sum(c.deleted), 0) THEN  -- a trigger of the application has kept some
                ARRAY(SELECT locked.id::notification_id FROM locked WHERE locked.id NOT IN (SELECT s.id FROM soft_deleted AS s WHERE s.deleted_at = v_run.started_at))
            END
        INTO v_run.notifications_deleted, v_batch.user_ids, v_batch.deleted, v_kept
        FROM cleaned AS c;
        PERFORM set_config('lock_timeout', v_lock_timeout, true);
    EXCEPTION
        WHEN lock_not_available OR deadlock_detected THEN
            IF v_batch.attempts >= 5 THEN
                RAISE;
            END IF;
            UPDATE notification_cleanup_batches AS b SET attempts = b.attempts + 1 WHERE b.run_id = v_run.id AND b.number = v_batch.number;
            RETURN 0::bigint;
    END;

    SELECT count(*) INTO v_run.notifications_skipped  -- is what is left
    FROM notifications AS n
    JOIN unnest(v_cutoffs.user_ids, v_cutoffs.created_ats, v_cutoffs.ids) AS cutoff (user_id, created_at, id) ON cutoff.user_id = n.user_id
    WHERE (v_batch.first_user IS NULL OR n.user_id = ANY (v_cutoffs.user_ids))
        AND (v_batch.low IS NULL OR n.ctid >= v_batch.low AND n.ctid < v_batch.high)
        AND n.deleted_at IS NULL AND n.status = 'read' AND (n.created_at, n.id) <= (cutoff.created_at, cutoff.id)
        AND (v_kept IS NULL OR n.id <> ALL (v_kept));
    UPDATE notification_cleanup_batches AS b SET done = true, user_ids = v_batch.user_ids, deleted = v_batch.deleted
    WHERE b.run_id = v_run.id AND b.number = v_batch.number;
    UPDATE notification_cleanup_runs AS r  -- last, so that another worker waits for it no longer than a COMMIT takes
    SET notifications_deleted = r.notifications_deleted + v_run.notifications_deleted,
        notifications_skipped = r.notifications_skipped + v_run.notifications_skipped
    WHERE r.id = v_run.id;
    RETURN v_run.notifications_deleted;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION cleanup_next_batch(bigint) IS
'Does one batch of a run of plan_notification_cleanup(), and returns how many notifications it deleted; skips rows that somebody holds.
Call it until it is NULL, each time in a transaction of its own: the run has ended then, or was given up. 0 also means that others are at work on all that is left, or that the batch gave way to the application and comes again.';
REVOKE ALL ON FUNCTION cleanup_next_batch(bigint) FROM PUBLIC;
-- end of sql/cleanup_next_batch.sql

-- frozen copy of sql/cleanup_notifications.sql
-- The job in one call and one transaction: SELECT * FROM cleanup_notifications(user_ids => ARRAY[42, 43]);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_notifications(
    max_notifications integer DEFAULT 1000, min_keep integer DEFAULT 100, user_ids notification_user_id[] DEFAULT NULL
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
BEGIN
    -- In as few batches as can be, because they are one transaction in any case. Nobody else sees the run before it has ended.
    v_run := open_notification_cleanup(max_notifications, min_keep, 9223372036854775807, user_ids);
    LOOP EXIT WHEN v_run.finished_at IS NOT NULL OR cleanup_next_batch(v_run.id) IS NULL; END LOOP;
    SELECT r.* INTO v_run FROM notification_cleanup_runs AS r WHERE r.id = v_run.id;
    RETURN v_run;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION cleanup_notifications(integer, integer, notification_user_id[]) IS
'Soft-deletes, for every user with more than max_notifications live notifications, all read ones except the min_keep newest, in one transaction; skips rows that somebody holds.
Returns the run''s record: SELECT * FROM cleanup_notifications(). user_ids: only those of the list who are over the limit.
Look before with preview_notification_cleanup(), undo with restore_notifications(id). On a table in use CALL cleanup_notifications_in_batches() instead: this holds what it deletes until its end.';
REVOKE ALL ON FUNCTION cleanup_notifications(integer, integer, notification_user_id[]) FROM PUBLIC;
-- end of sql/cleanup_notifications.sql

-- frozen copy of sql/cleanup_notifications_in_batches.sql
-- The job for pg_cron and for a backlog of any size: CALL cleanup_notifications_in_batches(time_limit => '2 hours');
-- +goose StatementBegin
CREATE OR REPLACE PROCEDURE cleanup_notifications_in_batches(
    max_notifications integer DEFAULT 1000, min_keep integer DEFAULT 100, batch_size integer DEFAULT 10000, time_limit interval DEFAULT NULL
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_run record;
    v_run_id bigint;  -- NULL: to be planned
    v_called_at CONSTANT timestamptz := pg_catalog.clock_timestamp();
BEGIN
    -- A procedure that commits may carry no SET clause, and a local setting ends with its transaction.
    PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);
    BEGIN
        COMMIT;  -- never succeeds here, but the message tells whether it could outside of this block
    EXCEPTION WHEN invalid_transaction_termination THEN
        IF SQLERRM = 'invalid transaction termination' THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_termination',
                MESSAGE = 'cleanup_notifications_in_batches() commits, so it cannot run inside a transaction',
                HINT = 'CALL it alone: outside of BEGIN, not from a function, and as the only statement of its string. Inside a transaction use SELECT * FROM cleanup_notifications().';
        END IF;
    END;
    IF time_limit <= interval '0' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'time_limit takes a positive interval, or NULL for none.',
            MESSAGE = format('invalid limit: time_limit => %L', time_limit);
    END IF;
    LOOP
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;  -- at a stricter one this would fail, or the application, wherever the two meet
        PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);
        IF v_run_id IS NULL THEN
            SELECT * INTO v_run FROM plan_notification_cleanup(max_notifications, min_keep, batch_size);
            v_run_id := v_run.id;
            RAISE NOTICE 'run %: % users over the limit, % notifications to delete', v_run_id, v_run.users_over_limit, v_run.notifications_planned;
            EXIT WHEN v_run.finished_at IS NOT NULL;
        ELSIF cleanup_next_batch(v_run_id) IS NOT NULL THEN
            SELECT * INTO v_run FROM notification_cleanup_runs AS r WHERE r.id = v_run_id;
            RAISE NOTICE 'run %: % of % notifications deleted, % skipped, % elapsed', v_run_id, v_run.notifications_deleted,
                v_run.notifications_planned, v_run.notifications_skipped, clock_timestamp() - v_called_at;
            EXIT WHEN clock_timestamp() - v_called_at >= time_limit;
        ELSE
            EXIT WHEN v_run.started_at >= v_called_at;
            v_run_id := NULL;  -- that was what an earlier call had left
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd
-- Writes the schema into the body: a caller's search_path must not decide what the procedure calls.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE replace(pg_get_functiondef('cleanup_notifications_in_batches(integer, integer, integer, interval)'::regprocedure),
        '''schema of this procedure''', quote_literal(quote_ident(current_schema()) || ', pg_temp'));
END
$$;
-- +goose StatementEnd
COMMENT ON PROCEDURE cleanup_notifications_in_batches(integer, integer, integer, interval) IS
'The job of cleanup_notifications() in batches of about batch_size notifications, with a COMMIT and a NOTICE of progress after each; stops after the batch that crosses time_limit.
CALL it alone, not inside a transaction. What it leaves when it is stopped or killed, the next call with the same limits does first; two calls at the same time share the work.';
REVOKE ALL ON PROCEDURE cleanup_notifications_in_batches(integer, integer, integer, interval) FROM PUBLIC;
-- end of sql/cleanup_notifications_in_batches.sql

-- frozen copy of sql/end_notification_cleanup.sql
-- Ends a run, or gives it up: it gets no finished_at then. Waits for batches in flight; does nothing where that has been done.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION end_notification_cleanup(run_id bigint, finished boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_cleaned bigint;
    v_left_over notification_user_id[];
BEGIN
    WITH done AS (
        DELETE FROM notification_cleanup_batches AS b WHERE b.run_id = end_notification_cleanup.run_id RETURNING b.user_ids, b.deleted
    ),
    cutoffs AS (
        DELETE FROM notification_cleanup_cutoffs AS c WHERE c.run_id = end_notification_cleanup.run_id RETURNING c.user_id, c.total, c.deletable
    ),
    cleaned AS (
        SELECT d.user_id, sum(d.deleted) AS deleted
        FROM done CROSS JOIN unnest(done.user_ids, done.deleted) AS d (user_id, deleted) GROUP BY d.user_id
    )
    SELECT
        CASE WHEN count(*) > 0 THEN count(cleaned.user_id) END,
        array_agg(c.user_id) FILTER (WHERE c.total - c.deletable <= r.max_notifications AND c.total - coalesce(cleaned.deleted, 0) > r.max_notifications)
    INTO v_cleaned, v_left_over
    FROM notification_cleanup_runs AS r
    CROSS JOIN cutoffs AS c
    LEFT JOIN cleaned ON cleaned.user_id = c.user_id
    WHERE r.id = end_notification_cleanup.run_id;
    -- Whom the plan would have brought under the limit, but the run did not, counts if he is over it now.
    UPDATE notification_cleanup_runs AS r
    SET finished_at = CASE WHEN finished THEN clock_timestamp() END, users_cleaned = v_cleaned,
        users_still_over_limit = r.users_still_over_limit
            + (SELECT count(*) FROM notification_excess(r.max_notifications, r.min_keep, coalesce(v_left_over, '{}'), now(), true))
    WHERE r.id = end_notification_cleanup.run_id AND v_cleaned IS NOT NULL;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION end_notification_cleanup(bigint, boolean) IS
'Ends a run for cleanup_next_batch(), or gives it up for plan_notification_cleanup() and restore_notifications(), which are what to call.';
REVOKE ALL ON FUNCTION end_notification_cleanup(bigint, boolean) FROM PUBLIC;
-- end of sql/end_notification_cleanup.sql

-- frozen copy of sql/notification_cleanup_health.sql
-- What a monitor asks, in one row: SELECT * FROM notification_cleanup_health;
CREATE OR REPLACE VIEW notification_cleanup_health AS
SELECT
    last_run.finished_at AS last_finished_at,
    CASE
        WHEN last_run.id IS NULL THEN 'never ran'
        WHEN last_run.notifications_skipped > 0 THEN 'left locked notifications'
        WHEN last_run.notifications_deleted > 0 THEN 'deleted'
        ELSE 'nothing to delete'
    END AS last_outcome,
    floor(extract(epoch FROM clock_timestamp() - last_run.finished_at) / 60)::bigint AS minutes_since_last_finished,
    last_run.users_still_over_limit,
    (SELECT count(*) FROM notification_cleanup_runs AS r WHERE r.finished_at IS NULL AND r.started_at > now() - interval '36 hours') AS runs_unfinished,
    (
        SELECT coalesce(sum(r.notifications_deleted), 0)::bigint
        FROM pg_stat_all_tables AS t
        JOIN notification_cleanup_runs AS r
            ON coalesce(r.finished_at, r.started_at) > coalesce(greatest(t.last_vacuum, t.last_autovacuum), '-infinity')
        WHERE t.relid = 'notifications'::regclass
    ) AS notifications_to_vacuum
FROM (VALUES (1)) AS one_row LEFT JOIN (SELECT * FROM notification_cleanup_runs AS r WHERE r.finished_at IS NOT NULL ORDER BY r.finished_at DESC LIMIT 1) AS last_run ON true;
COMMENT ON VIEW notification_cleanup_health IS 'One row for a monitor: the last finished cleanup run, how long ago it was, the runs without an end, and if the table needs a VACUUM.';
COMMENT ON COLUMN notification_cleanup_health.last_finished_at IS 'When the last finished run ended; NULL if none ever did.';
COMMENT ON COLUMN notification_cleanup_health.last_outcome IS 'Of that run: deleted, nothing to delete, left locked notifications; or never ran.';
COMMENT ON COLUMN notification_cleanup_health.minutes_since_last_finished IS 'Whole minutes since last_finished_at.';
COMMENT ON COLUMN notification_cleanup_health.users_still_over_limit IS 'Users whom that run left over the limit.';
COMMENT ON COLUMN notification_cleanup_health.runs_unfinished IS 'Runs of the last 36 hours without an end: running now, or stopped, killed or given up before it.';
COMMENT ON COLUMN notification_cleanup_health.notifications_to_vacuum IS 'What runs have deleted since the last VACUUM of the table: until the next one, each count of live notifications reads it too. When it is a tenth of them or more: VACUUM notifications. Always 0 for a view.';
REVOKE ALL ON notification_cleanup_health FROM PUBLIC;
-- end of sql/notification_cleanup_health.sql

-- frozen copy of sql/notification_excess.sql
-- The rule: who has more than max_notifications live notifications, how many of them go, and which is the newest that goes.
-- Nothing else finds or ranks: preview and plan are made from it.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_excess(
    max_notifications integer, min_keep integer, user_ids notification_user_id[], as_of timestamptz, to_delete boolean
)
RETURNS TABLE (user_id notification_user_id, total bigint, unread bigint, deletable bigint,
    created_at notification_created_at, id notification_id, pages bigint[])
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET row_security = off  -- a caller whom it would filter gets an error, never "0 deleted"
SET jit = off SET plan_cache_mode = force_custom_plan  -- for a few users, a generic plan would read the whole table
AS $$
#variable_conflict use_column
DECLARE
    v_user_ids notification_user_id[];
    v_totals bigint[];
BEGIN
    IF (max_notifications >= 1 AND min_keep BETWEEN 0 AND max_notifications) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'max_notifications takes 1 or more, min_keep 0 to max_notifications.',
            MESSAGE = format('invalid limits: max_notifications => %L, min_keep => %L', max_notifications, min_keep);
    END IF;

    -- Find, by one index-only pass. EXECUTE, because PL/pgSQL gives parallel workers to no other query that it takes a value from.
    EXECUTE $find$
        SELECT array_agg(crowded.user_id), array_agg(crowded.total)
        FROM (
            SELECT n.user_id::notification_user_id, count(*) AS total
            FROM notifications AS n
            WHERE n.deleted_at IS NULL AND n.user_id IS NOT NULL AND ($2 IS NULL OR n.user_id = ANY ($2))
            GROUP BY n.user_id
            HAVING count(*) > $1
        ) AS crowded
    $find$ INTO v_user_ids, v_totals USING max_notifications, user_ids;
    IF v_user_ids IS NULL THEN RETURN; END IF;

    -- Rank, by one pass over the inboxes found: all of each, or, to delete, what may go at all, and on which page it lies.
    RETURN QUERY
    SELECT crowded.user_id, crowded.total, coalesce(inbox.unread, 0), coalesce(inbox.deletable, 0), inbox.cutoff_at, inbox.cutoff_id, inbox.pages
    FROM unnest(v_user_ids, v_totals) AS crowded (user_id, total)
    LEFT JOIN (
        SELECT
            ranked.user_id,
            count(*) FILTER (WHERE ranked.status = 'unread') AS unread,
            count(*) FILTER (WHERE ranked.deletable AND ranked.newest > min_keep) AS deletable,
            (array_agg(ranked.created_at) FILTER (WHERE ranked.deletable AND ranked.newest - 1 = min_keep))[1]::notification_created_at AS cutoff_at,
            (array_agg(ranked.id) FILTER (WHERE ranked.deletable AND ranked.newest - 1 = min_keep))[1]::notification_id AS cutoff_id,
            -- From the bytes of the ctid: from its text costs five times as much.
            array_agg((get_byte(ranked.place, 0)::bigint << 24) + (get_byte(ranked.place, 1) << 16) + (get_byte(ranked.place, 2) << 8)
                + get_byte(ranked.place, 3)) FILTER (WHERE to_delete AND ranked.newest > min_keep) AS pages
        FROM (
            SELECT live.*, tidsend(live.ctid) AS place,
                row_number() OVER (PARTITION BY live.user_id, live.deletable ORDER BY live.created_at DESC, live.id DESC) AS newest
            FROM (
                SELECT n.ctid, n.user_id, n.status, n.created_at, n.id, (n.status = 'read' AND n.created_at <= as_of) IS TRUE AS deletable
                FROM notifications AS n
                WHERE n.user_id = ANY (v_user_ids) AND n.deleted_at IS NULL
            ) AS live
            WHERE live.deletable OR NOT to_delete
        ) AS ranked
        GROUP BY ranked.user_id
    ) AS inbox ON inbox.user_id = crowded.user_id ORDER BY 4 DESC, 1;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_excess(integer, integer, notification_user_id[], timestamptz, boolean) IS
'The rule, for preview and plan: each user (of user_ids, unless NULL) with more than max_notifications live notifications as of then; how many, how many of them unread, how many to delete, and the newest that goes.
to_delete: instead of unread ones, the page of each notification that goes.';
REVOKE ALL ON FUNCTION notification_excess(integer, integer, notification_user_id[], timestamptz, boolean) FROM PUBLIC;
-- end of sql/notification_excess.sql

-- frozen copy of sql/notification_stats.sql
-- Live totals, in one pass over the live index: SELECT * FROM notification_stats();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_stats(max_notifications integer DEFAULT 1000)
RETURNS TABLE (total_notifications bigint, users_with_notifications bigint, users_over_limit bigint)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET row_security = off
SET jit = off
AS $$
BEGIN
    IF (max_notifications >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'max_notifications takes 1 or more.',
            MESSAGE = format('invalid limit: max_notifications => %L', max_notifications);
    END IF;
    RETURN QUERY
    SELECT coalesce(sum(inbox.total), 0)::bigint, count(inbox.user_id), count(inbox.user_id) FILTER (WHERE inbox.total > max_notifications)
    FROM (
        -- Rows without a user are one group of their own, counted in the total only.
        SELECT n.user_id, count(*) AS total
        FROM notifications AS n
        WHERE n.deleted_at IS NULL
        GROUP BY n.user_id
    ) AS inbox;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_stats(integer) IS
'Live notifications, users who have any, and users with more than max_notifications of them. Reads only; works on a hot standby.';
REVOKE ALL ON FUNCTION notification_stats(integer) FROM PUBLIC;
-- end of sql/notification_stats.sql

-- frozen copy of sql/open_notification_cleanup.sql
-- Opens a run: finds, ranks, and stores a cut-off for each user who has something to delete, and the batches that together delete it.
-- +goose StatementBegin
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
-- +goose StatementEnd
COMMENT ON FUNCTION open_notification_cleanup(integer, integer, bigint, notification_user_id[]) IS
'The plan of cleanup_notifications() and plan_notification_cleanup(), which are what to call: opens a run with its cut-offs and batches, and returns its record.';
REVOKE ALL ON FUNCTION open_notification_cleanup(integer, integer, bigint, notification_user_id[]) FROM PUBLIC;
-- end of sql/open_notification_cleanup.sql

-- frozen copy of sql/plan_notification_cleanup.sql
-- Opens a run for cleanup_next_batch(), or returns one that has not ended: SELECT * FROM plan_notification_cleanup(batch_size => 3000);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION plan_notification_cleanup(
    max_notifications integer DEFAULT 1000, min_keep integer DEFAULT 100, batch_size integer DEFAULT 10000
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
BEGIN
    IF (batch_size >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'batch_size takes 1 or more.',
            MESSAGE = format('invalid limit: batch_size => %L', batch_size);
    END IF;
    -- One plan at a time: who comes second finds the run of the first.
    PERFORM pg_advisory_xact_lock('pg_class'::regclass::oid::integer, 'notification_cleanup_runs'::regclass::oid::integer);
    FOR v_run IN
        SELECT * FROM notification_cleanup_runs AS r
        WHERE r.finished_at IS NULL AND EXISTS (SELECT FROM notification_cleanup_batches AS b WHERE b.run_id = r.id)
        ORDER BY r.started_at FOR KEY SHARE
    LOOP
        IF v_run.started_at < clock_timestamp() - interval '36 hours' THEN
            PERFORM end_notification_cleanup(v_run.id, false);
        ELSIF (v_run.max_notifications, v_run.min_keep) = (plan_notification_cleanup.max_notifications, plan_notification_cleanup.min_keep) THEN
            RETURN v_run;
        END IF;
    END LOOP;
    RETURN open_notification_cleanup(max_notifications, min_keep, batch_size, NULL);
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION plan_notification_cleanup(integer, integer, integer) IS
'Opens a run in batches of about batch_size notifications, for cleanup_next_batch(id), and returns its record; it has ended already where there is nothing to delete.
Returns instead a run with the same limits that has not ended, if there is one: do its batches, then plan again. One that is older than 36 hours is given up.';
REVOKE ALL ON FUNCTION plan_notification_cleanup(integer, integer, integer) FROM PUBLIC;
-- end of sql/plan_notification_cleanup.sql

-- frozen copy of sql/preview_notification_cleanup.sql
-- The dry run, a row for each user over the limit, the most first: SELECT * FROM preview_notification_cleanup(500, 50);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION preview_notification_cleanup(max_notifications integer DEFAULT 1000, min_keep integer DEFAULT 100)
RETURNS TABLE (user_id notification_user_id, total_notifications bigint, unread_notifications bigint, deletable_notifications bigint)
LANGUAGE sql STABLE
SET search_path FROM CURRENT SET row_security = off
AS $$
    SELECT e.user_id, e.total, e.unread, e.deletable
    FROM notification_excess(max_notifications, min_keep, NULL, statement_timestamp(), false) AS e
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION preview_notification_cleanup(integer, integer) IS
'Dry run of cleanup_notifications() with the same limits: each user over the limit, with the live, unread and deletable notifications. Reads only; works on a hot standby.';
REVOKE ALL ON FUNCTION preview_notification_cleanup(integer, integer) FROM PUBLIC;
-- end of sql/preview_notification_cleanup.sql

-- frozen copy of sql/purge_notifications.sql
-- The end of the life cycle, to be called until it returns 0: SELECT purge_notifications('30 days', 10000);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION purge_notifications(retention interval DEFAULT '30 days', max_rows integer DEFAULT 10000)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_purged bigint;
BEGIN
    IF (retention > interval '0' AND now() - retention < now() AND max_rows >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'retention takes a positive interval, max_rows 1 or more.',
            MESSAGE = format('invalid limits: retention => %L, max_rows => %L', retention, max_rows);
    END IF;
    -- By the primary key: an array, as a join could read the whole table, and IS TRUE, as the other index leads through a whole run.
    DELETE FROM notifications AS n
    WHERE (n.deleted_at < now() - retention) IS TRUE AND n.id = ANY (ARRAY(
        SELECT e.id FROM notifications AS e WHERE e.deleted_at < now() - retention ORDER BY e.deleted_at LIMIT max_rows FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_purged = ROW_COUNT;
    RETURN v_purged;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION purge_notifications(interval, integer) IS
'Deletes for good, oldest first, up to max_rows notifications that were soft-deleted longer than retention ago, and returns how many; never a live one, and never waits for a row lock. What is purged cannot be restored.';
REVOKE ALL ON FUNCTION purge_notifications(interval, integer) FROM PUBLIC;
-- end of sql/purge_notifications.sql

-- frozen copy of sql/restore_notifications.sql
-- Undo of one run: SELECT restore_notifications(7);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION restore_notifications(run_id bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_started_at timestamptz;
    v_restored bigint;
BEGIN
    SELECT r.started_at INTO v_started_at FROM notification_cleanup_runs AS r WHERE r.id = run_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'run_id takes an id of notification_cleanup_runs.',
            MESSAGE = format('no cleanup run %s', coalesce(run_id::text, 'NULL'));
    END IF;
    PERFORM end_notification_cleanup(run_id, false);
    -- No other run and no user deleted at this very moment: started_at is unique, and read from the clock.
    WITH restored AS (
        UPDATE notifications AS n SET deleted_at = NULL WHERE n.deleted_at = v_started_at RETURNING n.deleted_at
    )
    SELECT count(*) INTO v_restored FROM restored WHERE restored.deleted_at IS NULL;
    UPDATE notification_cleanup_runs AS r SET notifications_restored = r.notifications_restored + v_restored WHERE r.id = run_id;
    RETURN v_restored;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION restore_notifications(bigint) IS
'Undoes one run of notification_cleanup_runs: gives up the batches it has left, after waiting for those in flight, clears deleted_at on exactly the rows it deleted that are still there, and returns how many. Raise max_notifications first, or the next run deletes them again.';
REVOKE ALL ON FUNCTION restore_notifications(bigint) FROM PUBLIC;
-- end of sql/restore_notifications.sql

-- +goose Down
-- SET search_path FROM CURRENT then pins the schema that goose installs into, and temporary objects last.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
DROP FUNCTION cleanup_next_batch;
DROP FUNCTION cleanup_notifications;
DROP PROCEDURE cleanup_notifications_in_batches;
DROP FUNCTION end_notification_cleanup;
DROP VIEW notification_cleanup_health;
DROP FUNCTION notification_excess;
DROP FUNCTION notification_stats;
DROP FUNCTION open_notification_cleanup;
DROP FUNCTION plan_notification_cleanup;
DROP FUNCTION preview_notification_cleanup;
DROP FUNCTION purge_notifications;
DROP FUNCTION restore_notifications;
