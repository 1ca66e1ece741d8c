-- Written by sql/snapshot.sh: edit sql/, never this copy.

-- +goose Up
-- SET search_path FROM CURRENT then pins the schema that goose installs into, and temporary objects last.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- frozen copy of sql/cleanup_notifications.sql
-- The job: soft-deletes the oldest read notifications of every user over the limit, and returns the run's record.
--
--     SELECT * FROM cleanup_notifications();
--     SELECT * FROM cleanup_notifications(max_notifications => 500, min_keep => 50);
--     SELECT * FROM cleanup_notifications(user_ids => ARRAY[42, 43], run_id => 7);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_notifications(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100,
    user_ids notification_user_id[] DEFAULT NULL,
    run_id bigint DEFAULT NULL
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path FROM CURRENT
-- A caller whom row-level security would filter gets an error, never "0 deleted".
SET row_security = off
-- Planned for the users at hand: for a few, a generic plan would read the whole table.
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_candidates notification_user_id[];
    v_over_limit notification_user_id[];
    v_totals bigint[];
    v_at_once boolean;
    v_held_up notification_user_id[];
    v_lock_timeout CONSTANT text := current_setting('lock_timeout');
BEGIN
    IF (max_notifications >= 1 AND min_keep BETWEEN 0 AND max_notifications) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid limits: max_notifications => %L, min_keep => %L', max_notifications, min_keep),
            HINT = 'max_notifications takes 1 or more, min_keep 0 to max_notifications.';
    END IF;

    IF run_id IS NULL THEN
        -- started_at names the rows of a run, so two runs that open in the same microsecond must differ in it.
        LOOP
            INSERT INTO notification_cleanup_runs (max_notifications, min_keep)
            VALUES (cleanup_notifications.max_notifications, cleanup_notifications.min_keep)
            ON CONFLICT (started_at) DO NOTHING
            RETURNING * INTO v_run;
            EXIT WHEN FOUND;
        END LOOP;
    ELSE
        SELECT r.* INTO v_run
        FROM notification_cleanup_runs AS r
        WHERE r.id = run_id
            AND r.max_notifications = cleanup_notifications.max_notifications
            AND r.min_keep = cleanup_notifications.min_keep;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING
                ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('no run %s with max_notifications => %s, min_keep => %s', run_id, max_notifications, min_keep),
                HINT = 'run_id takes an id of notification_cleanup_runs, together with the limits of that run; NULL opens a new run.';
        END IF;
    END IF;

    -- Find, by one index-only pass, over before the first update clears the visibility map under it. EXECUTE, because
    -- PL/pgSQL gives parallel workers to no other query that it takes a value from.
    IF user_ids IS NULL THEN
        EXECUTE $find$
            SELECT ARRAY(
                SELECT n.user_id::notification_user_id
                FROM notifications AS n
                WHERE n.deleted_at IS NULL
                    AND n.user_id IS NOT NULL
                GROUP BY n.user_id
                HAVING count(*) > $1
            )
        $find$ INTO v_candidates USING max_notifications;
    ELSE
        v_candidates := ARRAY(SELECT DISTINCT u.user_id FROM unnest(user_ids) AS u (user_id));
    END IF;

    -- Count again, once: a user who was over the limit stays a victim when an attempt below fails, although another run may
    -- meanwhile have deleted all but the rows that this one held.
    SELECT array_agg(candidate.user_id), array_agg(inbox.total)
    INTO v_over_limit, v_totals
    FROM unnest(v_candidates) AS candidate (user_id)
    CROSS JOIN LATERAL (
        SELECT count(*) AS total
        FROM notifications AS n
        WHERE n.user_id = candidate.user_id
            AND n.deleted_at IS NULL
    ) AS inbox
    WHERE inbox.total > max_notifications;

    -- Rank on one snapshot and update. A row that somebody changed since the snapshot is judged again as it is now, hence the
    -- repeated conditions.
    --
    -- Of a batch of at most 50000 live rows, about a second's work, everything from the newest victim of an inbox on is first
    -- updated at once. If somebody holds one of the rows, the batch begins again, and its victims are locked one by one: a row
    -- that somebody holds is skipped, and only what was locked is updated. The whole table and larger batches start like that.
    --
    -- SKIP LOCKED can still wait for a moment, for a row that is updated twice while it looks, and so can an application's
    -- trigger. Give way then, long before deadlock_timeout lets the server choose a victim, and begin again.
    FOR v_attempt IN 1..5 LOOP
        BEGIN
            v_at_once := v_attempt = 1 AND user_ids IS NOT NULL AND (SELECT sum(t) <= 50000 FROM unnest(v_totals) AS t);
            PERFORM set_config('lock_timeout', CASE WHEN v_at_once THEN '20ms' WHEN v_attempt < 5 THEN '100ms' ELSE v_lock_timeout END, true);
            WITH over_limit (user_id, total) AS (
                SELECT * FROM unnest(v_over_limit, v_totals)
            ),
            excess AS NOT MATERIALIZED (
                SELECT
                    ranked.id,
                    over_limit.user_id,
                    ranked.created_at
                FROM over_limit
                CROSS JOIN LATERAL (
                    SELECT
                        n.id,
                        n.created_at,
                        row_number() OVER (ORDER BY n.created_at DESC, n.id DESC) AS newest
                    FROM notifications AS n
                    WHERE n.user_id = over_limit.user_id
                        AND n.deleted_at IS NULL
                        AND n.status = 'read'
                        AND n.created_at <= v_run.started_at
                    -- At once needs only the newest victim; an index in this order then spares the rest.
                    ORDER BY n.created_at DESC, n.id DESC
                    OFFSET CASE WHEN v_at_once THEN cleanup_notifications.min_keep END
                    LIMIT CASE WHEN v_at_once THEN 1 END
                ) AS ranked
                WHERE ranked.newest > cleanup_notifications.min_keep
            ),
            newest_excess AS MATERIALIZED (
                SELECT * FROM excess WHERE v_at_once
            ),
            soft_deleted_at_once AS (
                -- IS TRUE, because by an index that has created_at the planner would expect to read less than by the live index,
                -- and read all that was ever deleted of an inbox; and without statistics it would expect one read row in the
                -- table, and look for it in all inboxes.
                UPDATE notifications AS n
                SET deleted_at = v_run.started_at
                FROM newest_excess
                WHERE n.user_id = newest_excess.user_id
                    AND n.deleted_at IS NULL
                    AND (n.status = 'read' AND (n.created_at, n.id) <= (newest_excess.created_at, newest_excess.id)) IS TRUE
                RETURNING n.user_id, n.deleted_at
            ),
            locked AS (
                -- No id where the row is held by somebody, or is no victim any more. On a partitioned table id alone need not be
                -- unique. IS NOT DISTINCT FROM and coalesce(), because plain conditions could lead the planner from the primary key
                -- to some other index, and from there through a whole inbox for each row; and not IS TRUE, because without
                -- statistics it would then expect one row of the whole table, and compare each with everything that was locked.
                SELECT
                    victim.id,
                    excess.user_id,
                    excess.created_at
                FROM excess
                LEFT JOIN LATERAL (
                    SELECT n.id
                    FROM notifications AS n
                    WHERE n.id = excess.id
                        AND n.user_id IS NOT DISTINCT FROM excess.user_id
                        AND n.created_at IS NOT DISTINCT FROM excess.created_at
                        AND coalesce(n.status = 'read' AND n.deleted_at IS NULL, false)
                    FOR NO KEY UPDATE SKIP LOCKED
                ) AS victim ON true
                WHERE NOT v_at_once
            ),
            soft_deleted AS (
                UPDATE notifications AS n
                SET deleted_at = v_run.started_at
                FROM locked
                WHERE n.id = locked.id
                    AND n.user_id IS NOT DISTINCT FROM locked.user_id
                    AND n.created_at IS NOT DISTINCT FROM locked.created_at
                    AND coalesce(n.status = 'read' AND n.deleted_at IS NULL, false)
                RETURNING n.user_id, n.deleted_at
            ),
            cleaned AS (
                SELECT s.user_id, count(*) AS deleted
                FROM (SELECT * FROM soft_deleted_at_once UNION ALL SELECT * FROM soft_deleted) AS s
                WHERE s.deleted_at = v_run.started_at
                GROUP BY s.user_id
            )
            SELECT
                count(*),
                count(cleaned.user_id),
                count(*) FILTER (WHERE over_limit.total - coalesce(cleaned.deleted, 0) > cleanup_notifications.max_notifications),
                coalesce(sum(cleaned.deleted), 0)::bigint,
                ARRAY(SELECT DISTINCT locked.user_id FROM locked WHERE locked.id IS NULL)
            INTO v_run.users_over_limit, v_run.users_cleaned, v_run.users_still_over_limit, v_run.notifications_deleted, v_held_up
            FROM over_limit
            LEFT JOIN cleaned ON cleaned.user_id = over_limit.user_id;
            EXIT;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                IF v_attempt = 5 THEN
                    RAISE;
                END IF;
                -- Whoever was in the way gets on only while nothing is locked here.
                PERFORM pg_sleep(0.1 * (v_attempt - 1));
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', v_lock_timeout, true);

    -- Of the rows not to be had, some are gone, unread or deleted by now: skipped are those that could still be deleted.
    SELECT coalesce(sum(greatest(inbox.readable - cleanup_notifications.min_keep, 0)), 0)::bigint
    INTO v_run.notifications_skipped
    FROM (
        SELECT count(*) AS readable
        FROM notifications AS n
        WHERE n.user_id = ANY (v_held_up)
            AND n.deleted_at IS NULL
            AND n.status = 'read'
            AND n.created_at <= v_run.started_at
        GROUP BY n.user_id
    ) AS inbox;

    UPDATE notification_cleanup_runs AS r
    SET
        -- Whoever opened the run to call this batch by batch closes it.
        finished_at = CASE WHEN run_id IS NULL OR r.finished_at IS NOT NULL THEN clock_timestamp() END,
        users_over_limit = r.users_over_limit + v_run.users_over_limit,
        users_cleaned = r.users_cleaned + v_run.users_cleaned,
        users_still_over_limit = r.users_still_over_limit + v_run.users_still_over_limit,
        notifications_deleted = r.notifications_deleted + v_run.notifications_deleted,
        notifications_skipped = r.notifications_skipped + v_run.notifications_skipped
    WHERE r.id = v_run.id
    RETURNING r.* INTO v_run;

    RETURN v_run;
END
$$;
-- +goose StatementEnd

COMMENT ON FUNCTION cleanup_notifications(integer, integer, notification_user_id[], bigint) IS
'Soft-deletes, for every user with more than max_notifications live notifications, all read ones except the min_keep newest, in one transaction; skips rows that somebody holds.
Returns the run''s record: SELECT * FROM cleanup_notifications(). user_ids: only those of the list who are over the limit. run_id: adds to that run instead of opening one.
Look before with preview_notification_cleanup(), undo with restore_notifications(id).';
REVOKE ALL ON FUNCTION cleanup_notifications(integer, integer, notification_user_id[], bigint) FROM PUBLIC;
-- end of sql/cleanup_notifications.sql

-- frozen copy of sql/cleanup_notifications_in_batches.sql
-- The job for pg_cron and for a backlog of any size: cleanup_notifications() batch by batch, a COMMIT after each.
--
--     CALL cleanup_notifications_in_batches();
--     CALL cleanup_notifications_in_batches(batch_size => 50000, time_limit => '2 hours');

-- +goose StatementBegin
CREATE OR REPLACE PROCEDURE cleanup_notifications_in_batches(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100,
    batch_size integer DEFAULT 10000,
    time_limit interval DEFAULT NULL
)
LANGUAGE plpgsql
SECURITY INVOKER
AS $$
DECLARE
    v_run record;
    v_batch record;
    v_users integer := 0;
    v_elapsed interval;
BEGIN
    -- A procedure that commits may carry no SET clause, and a local setting ends with its transaction.
    PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);

    BEGIN
        COMMIT;  -- never succeeds here, but the message tells whether it could outside of this block
    EXCEPTION
        WHEN invalid_transaction_termination THEN
            IF SQLERRM = 'invalid transaction termination' THEN
                RAISE EXCEPTION USING
                    ERRCODE = 'invalid_transaction_termination',
                    MESSAGE = 'cleanup_notifications_in_batches() commits, so it cannot run inside a transaction',
                    HINT = 'CALL it alone: outside of BEGIN, not from a function, and as the only statement of its string. Inside a transaction use SELECT * FROM cleanup_notifications().';
            END IF;
    END;

    IF (batch_size >= 1 AND coalesce(time_limit, interval '1 second') > interval '0') IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid limits: batch_size => %L, time_limit => %L', batch_size, time_limit),
            HINT = 'batch_size takes 1 or more, time_limit a positive interval or NULL.';
    END IF;

    -- Serializable or repeatable read by default would make this fail, or the application, wherever the two meet.
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);

    -- With nobody to clean this opens a run; it is closed again below.
    SELECT * INTO v_run FROM cleanup_notifications(max_notifications, min_keep, '{}');
    UPDATE notification_cleanup_runs SET finished_at = NULL WHERE id = v_run.id;

    FOR v_batch IN
        SELECT
            inbox.batch,
            array_agg(inbox.user_id) AS user_ids,
            sum(count(*)) OVER () AS users_found
        FROM (
            -- Whole users, so a batch is only about batch_size. Those with nothing to delete come last, in batch NULL.
            SELECT
                p.user_id,
                CASE WHEN p.deletable_notifications > 0 THEN
                    div(sum(p.deletable_notifications) OVER (ORDER BY p.deletable_notifications DESC, p.user_id)
                        - p.deletable_notifications, batch_size)
                END AS batch
            FROM preview_notification_cleanup(max_notifications, min_keep) AS p
        ) AS inbox
        GROUP BY inbox.batch
        ORDER BY inbox.batch
    LOOP
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
        PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);
        v_users := v_users + cardinality(v_batch.user_ids);
        IF v_batch.batch IS NOT NULL THEN
            SELECT * INTO v_run FROM cleanup_notifications(max_notifications, min_keep, v_batch.user_ids, v_run.id);
        ELSE
            -- To be counted, their inboxes need not be read again.
            UPDATE notification_cleanup_runs AS r
            SET
                users_over_limit = r.users_over_limit + cardinality(v_batch.user_ids),
                users_still_over_limit = r.users_still_over_limit + cardinality(v_batch.user_ids)
            WHERE r.id = v_run.id;
        END IF;
        v_elapsed := clock_timestamp() - v_run.started_at;
        RAISE NOTICE 'run %: % of % users done, % notifications deleted, % elapsed',
            v_run.id, v_users, v_batch.users_found, v_run.notifications_deleted, v_elapsed;
        EXIT WHEN v_elapsed >= time_limit;
    END LOOP;

    UPDATE notification_cleanup_runs SET finished_at = clock_timestamp() WHERE id = v_run.id;
END
$$;
-- +goose StatementEnd

-- Writes the schema into the body: a caller's search_path must not decide what the procedure calls.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE replace(
        pg_get_functiondef('cleanup_notifications_in_batches(integer, integer, integer, interval)'::regprocedure),
        '''schema of this procedure''',
        quote_literal(quote_ident(current_schema()) || ', pg_temp')
    );
END
$$;
-- +goose StatementEnd

COMMENT ON PROCEDURE cleanup_notifications_in_batches(integer, integer, integer, interval) IS
'cleanup_notifications() for whole users in batches of about batch_size notifications, with a COMMIT and a NOTICE of progress after each; stops after the batch that crosses time_limit.
CALL it alone, not inside a transaction. One row of notification_cleanup_runs grows with each commit; finished_at stays NULL if the call is killed, and the next run goes on.';
REVOKE ALL ON PROCEDURE cleanup_notifications_in_batches(integer, integer, integer, interval) FROM PUBLIC;
-- end of sql/cleanup_notifications_in_batches.sql

-- frozen copy of sql/preview_notification_cleanup.sql
-- The dry run: what cleanup_notifications() would delete, a row for each user over the limit, the most first.
--
--     SELECT * FROM preview_notification_cleanup();
--     SELECT count(*), sum(deletable_notifications) FROM preview_notification_cleanup(500, 50);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION preview_notification_cleanup(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100
)
RETURNS TABLE (
    user_id notification_user_id,
    total_notifications bigint,
    unread_notifications bigint,
    deletable_notifications bigint
)
LANGUAGE plpgsql
STABLE
SECURITY INVOKER
SET search_path FROM CURRENT
SET row_security = off
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
DECLARE
    v_user_ids notification_user_id[];
BEGIN
    IF (max_notifications >= 1 AND min_keep BETWEEN 0 AND max_notifications) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid limits: max_notifications => %L, min_keep => %L', max_notifications, min_keep),
            HINT = 'max_notifications takes 1 or more, min_keep 0 to max_notifications.';
    END IF;

    -- Find, by one index-only pass; then read the inboxes found and no other row. EXECUTE, because PL/pgSQL gives parallel
    -- workers to no other query that it takes a value from.
    EXECUTE $find$
        SELECT ARRAY(
            SELECT n.user_id::notification_user_id
            FROM notifications AS n
            WHERE n.deleted_at IS NULL
                AND n.user_id IS NOT NULL
            GROUP BY n.user_id
            HAVING count(*) > $1
        )
    $find$ INTO v_user_ids USING max_notifications;

    RETURN QUERY
    SELECT
        n.user_id::notification_user_id,
        count(*),
        count(*) FILTER (WHERE n.status = 'unread'),
        greatest(count(*) FILTER (WHERE n.status = 'read' AND n.created_at <= statement_timestamp()) - min_keep, 0) AS deletable
    FROM notifications AS n
    WHERE n.user_id = ANY (v_user_ids)
        AND n.deleted_at IS NULL
    GROUP BY n.user_id
    ORDER BY deletable DESC, n.user_id;
END
$$;
-- +goose StatementEnd

COMMENT ON FUNCTION preview_notification_cleanup(integer, integer) IS
'Dry run of cleanup_notifications() with the same limits: each user over the limit, with the live, unread and deletable notifications. Reads only; works on a hot standby.';
REVOKE ALL ON FUNCTION preview_notification_cleanup(integer, integer) FROM PUBLIC;
-- end of sql/preview_notification_cleanup.sql

-- +goose Down
-- SET search_path FROM CURRENT then pins the schema that goose installs into, and temporary objects last.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- The job: soft-deletes the oldest read notifications of every user over the limit, and returns the run's record.
--
--     SELECT * FROM cleanup_notifications();
--     SELECT * FROM cleanup_notifications(max_notifications => 500, min_keep => 50);
--     SELECT * FROM cleanup_notifications(user_ids => ARRAY[42, 43], run_id => 7);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_notifications(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100,
    user_ids notification_user_id[] DEFAULT NULL,
    run_id bigint DEFAULT NULL
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path FROM CURRENT
-- A caller whom row-level security would filter gets an error, never "0 deleted".
SET row_security = off
-- Planned for the users at hand: for a few, a generic plan would read the whole table.
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_candidates notification_user_id[];
    v_held_up notification_user_id[];
    v_lock_timeout CONSTANT text := current_setting('lock_timeout');
BEGIN
    IF (max_notifications >= 1 AND min_keep BETWEEN 0 AND max_notifications) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid limits: max_notifications => %L, min_keep => %L', max_notifications, min_keep),
            HINT = 'max_notifications takes 1 or more, min_keep 0 to max_notifications.';
    END IF;

    IF run_id IS NULL THEN
        -- started_at names the rows of a run, so two runs that open in the same microsecond must differ in it.
        LOOP
            INSERT INTO notification_cleanup_runs (max_notifications, min_keep)
            VALUES (cleanup_notifications.max_notifications, cleanup_notifications.min_keep)
            ON CONFLICT (started_at) DO NOTHING
            RETURNING * INTO v_run;
            EXIT WHEN FOUND;
        END LOOP;
    ELSE
        SELECT r.* INTO v_run
        FROM notification_cleanup_runs AS r
        WHERE r.id = run_id
            AND r.max_notifications = cleanup_notifications.max_notifications
            AND r.min_keep = cleanup_notifications.min_keep;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING
                ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('no run %s with max_notifications => %s, min_keep => %s', run_id, max_notifications, min_keep),
                HINT = 'run_id takes an id of notification_cleanup_runs, together with the limits of that run; NULL opens a new run.';
        END IF;
    END IF;

    -- Find, by one index-only pass, over before the first update clears the visibility map under it.
    IF user_ids IS NULL THEN
        v_candidates := ARRAY(
            SELECT n.user_id
            FROM notifications AS n
            WHERE n.deleted_at IS NULL
                AND n.user_id IS NOT NULL
            GROUP BY n.user_id
            HAVING count(*) > cleanup_notifications.max_notifications
        );
    ELSE
        v_candidates := ARRAY(SELECT DISTINCT u.user_id FROM unnest(user_ids) AS u (user_id));
    END IF;

    -- Count again and rank on one snapshot, lock only the victims, update what was locked. A row that somebody holds is
    -- skipped; one that somebody changed since the snapshot is judged again as it is now, hence the repeated conditions.
    -- On a partitioned table id alone need not be unique. IS NOT DISTINCT FROM and IS TRUE, because plain conditions could
    -- lead the planner from the primary key to some other index, and from there through a whole inbox for each row.
    --
    -- SKIP LOCKED can still wait for a moment, for a row that is updated twice while it looks, and so can an application's
    -- trigger. Give way then, long before deadlock_timeout lets the server choose a victim, and begin again.
    FOR v_attempt IN 1..5 LOOP
        BEGIN
            PERFORM set_config('lock_timeout', CASE WHEN v_attempt < 5 THEN '100ms' ELSE v_lock_timeout END, true);
            WITH over_limit AS (
                SELECT
                    candidate.user_id,
                    inbox.total
                FROM unnest(v_candidates) AS candidate (user_id)
                CROSS JOIN LATERAL (
                    SELECT count(*) AS total
                    FROM notifications AS n
                    WHERE n.user_id = candidate.user_id
                        AND n.deleted_at IS NULL
                ) AS inbox
                WHERE inbox.total > cleanup_notifications.max_notifications
            ),
            excess AS (
                SELECT
                    ranked.id,
                    over_limit.user_id,
                    ranked.created_at
                FROM over_limit
                CROSS JOIN LATERAL (
                    SELECT
                        n.id,
                        n.created_at,
                        row_number() OVER (ORDER BY n.created_at DESC, n.id DESC) AS newest
                    FROM notifications AS n
                    WHERE n.user_id = over_limit.user_id
                        AND n.deleted_at IS NULL
                        AND n.status = 'read'
                        AND n.created_at <= v_run.started_at
                ) AS ranked
                WHERE ranked.newest > cleanup_notifications.min_keep
            ),
            locked AS (
                -- No id where the row is held by somebody, or is no victim any more.
                SELECT
                    victim.id,
                    excess.user_id,
                    excess.created_at
                FROM excess
                LEFT JOIN LATERAL (
                    SELECT n.id
                    FROM notifications AS n
                    WHERE n.id = excess.id
                        AND n.user_id IS NOT DISTINCT FROM excess.user_id
                        AND n.created_at IS NOT DISTINCT FROM excess.created_at
                        AND (n.status = 'read' AND n.deleted_at IS NULL) IS TRUE
                    FOR NO KEY UPDATE SKIP LOCKED
                ) AS victim ON true
            ),
            soft_deleted AS (
                UPDATE notifications AS n
                SET deleted_at = v_run.started_at
                FROM locked
                WHERE n.id = locked.id
                    AND n.user_id IS NOT DISTINCT FROM locked.user_id
                    AND n.created_at IS NOT DISTINCT FROM locked.created_at
                    AND (n.status = 'read' AND n.deleted_at IS NULL) IS TRUE
                RETURNING n.user_id, n.deleted_at
            ),
            cleaned AS (
                SELECT s.user_id, count(*) AS deleted
                FROM soft_deleted AS s
                WHERE s.deleted_at = v_run.started_at
                GROUP BY s.user_id
            )
            SELECT
                count(*),
                count(cleaned.user_id),
                count(*) FILTER (WHERE over_limit.total - coalesce(cleaned.deleted, 0) > cleanup_notifications.max_notifications),
                coalesce(sum(cleaned.deleted), 0)::bigint,
                ARRAY(SELECT DISTINCT locked.user_id FROM locked WHERE locked.id IS NULL)
            INTO v_run.users_over_limit, v_run.users_cleaned, v_run.users_still_over_limit, v_run.notifications_deleted, v_held_up
            FROM over_limit
            LEFT JOIN cleaned ON cleaned.user_id = over_limit.user_id;
            EXIT;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                IF v_attempt = 5 THEN
                    RAISE;
                END IF;
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', v_lock_timeout, true);

    -- Of the rows not to be had, some are gone, unread or deleted by now: skipped are those that could still be deleted.
    SELECT coalesce(sum(greatest(inbox.readable - cleanup_notifications.min_keep, 0)), 0)::bigint
    INTO v_run.notifications_skipped
    FROM (
        SELECT count(*) AS readable
        FROM notifications AS n
        WHERE n.user_id = ANY (v_held_up)
            AND n.deleted_at IS NULL
            AND n.status = 'read'
            AND n.created_at <= v_run.started_at
        GROUP BY n.user_id
    ) AS inbox;

    UPDATE notification_cleanup_runs AS r
    SET
        -- Whoever opened the run to call this batch by batch closes it.
        finished_at = CASE WHEN run_id IS NULL OR r.finished_at IS NOT NULL THEN clock_timestamp() END,
        users_over_limit = r.users_over_limit + v_run.users_over_limit,
        users_cleaned = r.users_cleaned + v_run.users_cleaned,
        users_still_over_limit = r.users_still_over_limit + v_run.users_still_over_limit,
        notifications_deleted = r.notifications_deleted + v_run.notifications_deleted,
        notifications_skipped = r.notifications_skipped + v_run.notifications_skipped
    WHERE r.id = v_run.id
    RETURNING r.* INTO v_run;

    RETURN v_run;
END
$$;
-- +goose StatementEnd

COMMENT ON FUNCTION cleanup_notifications(integer, integer, notification_user_id[], bigint) IS
'Soft-deletes, for every user with more than max_notifications live notifications, all read ones except the min_keep newest, in one transaction; never waits for a row lock.
Returns the run''s record: SELECT * FROM cleanup_notifications(). user_ids: only those of the list who are over the limit. run_id: adds to that run instead of opening one.
Look before with preview_notification_cleanup(), undo with restore_notifications(id).';
REVOKE ALL ON FUNCTION cleanup_notifications(integer, integer, notification_user_id[], bigint) FROM PUBLIC;
-- The job for pg_cron and for a backlog of any size: cleanup_notifications() batch by batch, a COMMIT after each.
--
--     CALL cleanup_notifications_in_batches();
--     CALL cleanup_notifications_in_batches(batch_size => 50000, time_limit => '2 hours');

-- +goose StatementBegin
CREATE OR REPLACE PROCEDURE cleanup_notifications_in_batches(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100,
    batch_size integer DEFAULT 10000,
    time_limit interval DEFAULT NULL
)
LANGUAGE plpgsql
SECURITY INVOKER
AS $$
DECLARE
    v_run record;
    v_batch record;
    v_users integer := 0;
    v_elapsed interval;
BEGIN
    -- A procedure that commits may carry no SET clause, and a local setting ends with its transaction.
    PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);

    BEGIN
        COMMIT;  -- never succeeds here, but the message tells whether it could outside of this block
    EXCEPTION
        WHEN invalid_transaction_termination THEN
            IF SQLERRM = 'invalid transaction termination' THEN
                RAISE EXCEPTION USING
                    ERRCODE = 'invalid_transaction_termination',
                    MESSAGE = 'cleanup_notifications_in_batches() commits, so it cannot run inside a transaction',
                    HINT = 'CALL it alone: outside of BEGIN, not from a function, and as the only statement of its string. Inside a transaction use SELECT * FROM cleanup_notifications().';
            END IF;
    END;

    IF (batch_size >= 1 AND coalesce(time_limit, interval '1 second') > interval '0') IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid limits: batch_size => %L, time_limit => %L', batch_size, time_limit),
            HINT = 'batch_size takes 1 or more, time_limit a positive interval or NULL.';
    END IF;

    -- Serializable or repeatable read by default would make this fail, or the application, wherever the two meet.
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);

    -- With nobody to clean this opens a run; it is closed again below.
    SELECT * INTO v_run FROM cleanup_notifications(max_notifications, min_keep, '{}');
    UPDATE notification_cleanup_runs SET finished_at = NULL WHERE id = v_run.id;

    FOR v_batch IN
        SELECT
            array_agg(inbox.user_id) AS user_ids,
            sum(count(*)) OVER () AS users_found
        FROM (
            -- Whole users, so a batch is only about batch_size; a user with nothing to delete counts as one.
            SELECT
                p.user_id,
                div(sum(greatest(p.deletable_notifications, 1)) OVER (ORDER BY p.deletable_notifications DESC, p.user_id)
                    - greatest(p.deletable_notifications, 1), batch_size) AS batch
            FROM preview_notification_cleanup(max_notifications, min_keep) AS p
        ) AS inbox
        GROUP BY inbox.batch
        ORDER BY inbox.batch
    LOOP
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
        PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);
        SELECT * INTO v_run FROM cleanup_notifications(max_notifications, min_keep, v_batch.user_ids, v_run.id);
        v_users := v_users + cardinality(v_batch.user_ids);
        v_elapsed := clock_timestamp() - v_run.started_at;
        RAISE NOTICE 'run %: % of % users done, % notifications deleted, % elapsed',
            v_run.id, v_users, v_batch.users_found, v_run.notifications_deleted, v_elapsed;
        EXIT WHEN v_elapsed >= time_limit;
    END LOOP;

    UPDATE notification_cleanup_runs SET finished_at = clock_timestamp() WHERE id = v_run.id;
END
$$;
-- +goose StatementEnd

-- Writes the schema into the body: a caller's search_path must not decide what the procedure calls.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE replace(
        pg_get_functiondef('cleanup_notifications_in_batches(integer, integer, integer, interval)'::regprocedure),
        '''schema of this procedure''',
        quote_literal(quote_ident(current_schema()) || ', pg_temp')
    );
END
$$;
-- +goose StatementEnd

COMMENT ON PROCEDURE cleanup_notifications_in_batches(integer, integer, integer, interval) IS
'cleanup_notifications() for whole users in batches of about batch_size notifications, with a COMMIT and a NOTICE of progress after each; stops after the batch that crosses time_limit.
CALL it alone, not inside a transaction. One row of notification_cleanup_runs grows with each commit; finished_at stays NULL if the call is killed, and the next run goes on.';
REVOKE ALL ON PROCEDURE cleanup_notifications_in_batches(integer, integer, integer, interval) FROM PUBLIC;
-- The dry run: what cleanup_notifications() would delete, a row for each user over the limit, the most first.
--
--     SELECT * FROM preview_notification_cleanup();
--     SELECT count(*), sum(deletable_notifications) FROM preview_notification_cleanup(500, 50);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION preview_notification_cleanup(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100
)
RETURNS TABLE (
    user_id notification_user_id,
    total_notifications bigint,
    unread_notifications bigint,
    deletable_notifications bigint
)
LANGUAGE plpgsql
STABLE
SECURITY INVOKER
SET search_path FROM CURRENT
SET row_security = off
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
DECLARE
    v_user_ids notification_user_id[];
BEGIN
    IF (max_notifications >= 1 AND min_keep BETWEEN 0 AND max_notifications) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid limits: max_notifications => %L, min_keep => %L', max_notifications, min_keep),
            HINT = 'max_notifications takes 1 or more, min_keep 0 to max_notifications.';
    END IF;

    -- Find, by one index-only pass; then read the inboxes found and no other row.
    v_user_ids := ARRAY(
        SELECT n.user_id
        FROM notifications AS n
        WHERE n.deleted_at IS NULL
            AND n.user_id IS NOT NULL
        GROUP BY n.user_id
        HAVING count(*) > max_notifications
    );

    RETURN QUERY
    SELECT
        n.user_id::notification_user_id,
        count(*),
        count(*) FILTER (WHERE n.status = 'unread'),
        greatest(count(*) FILTER (WHERE n.status = 'read' AND n.created_at <= statement_timestamp()) - min_keep, 0) AS deletable
    FROM notifications AS n
    WHERE n.user_id = ANY (v_user_ids)
        AND n.deleted_at IS NULL
    GROUP BY n.user_id
    ORDER BY deletable DESC, n.user_id;
END
$$;
-- +goose StatementEnd

COMMENT ON FUNCTION preview_notification_cleanup(integer, integer) IS
'Dry run of cleanup_notifications() with the same limits: each user over the limit, with the live, unread and deletable notifications. Reads only; works on a hot standby.';
REVOKE ALL ON FUNCTION preview_notification_cleanup(integer, integer) FROM PUBLIC;
