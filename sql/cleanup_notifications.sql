-- The job: soft-deletes the oldest read notifications of every user over the limit, and returns the run's record.
--
--     SELECT * FROM cleanup_notifications();
--     SELECT * FROM cleanup_notifications(max_notifications => 500, min_keep => 50);
--     SELECT * FROM cleanup_notifications(user_ids => ARRAY[42, 43], run_id => 7);

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

COMMENT ON FUNCTION cleanup_notifications(integer, integer, notification_user_id[], bigint) IS
'Soft-deletes, for every user with more than max_notifications live notifications, all read ones except the min_keep newest, in one transaction; skips rows that somebody holds.
Returns the run''s record: SELECT * FROM cleanup_notifications(). user_ids: only those of the list who are over the limit. run_id: adds to that run instead of opening one.
Look before with preview_notification_cleanup(), undo with restore_notifications(id).';
REVOKE ALL ON FUNCTION cleanup_notifications(integer, integer, notification_user_id[], bigint) FROM PUBLIC;
