-- Opens a run: finds the users over the limit, writes its record and its queue.
--
--     SELECT * FROM open_notification_cleanup(1000, 100, 10000, NULL);
--
-- The plan of function, procedure and program. With nobody over the limit, or nothing that may go,
-- the run is closed already.
CREATE OR REPLACE FUNCTION open_notification_cleanup(
    max_notifications integer,
    min_keep integer,
    batch_size bigint,               -- NULL: as many as a transaction for all of them likes
    user_ids notification_user_id[]  -- NULL: everybody
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_not_to_count notification_user_id[];
BEGIN
    PERFORM check_cleanup_limits(
        open_notification_cleanup.max_notifications,
        open_notification_cleanup.min_keep
    );

    v_run := record_new_cleanup_run(
        open_notification_cleanup.max_notifications,
        open_notification_cleanup.min_keep
    );

    WITH over_limit AS (
        SELECT
            q.user_id,
            q.planned,
            q.total - q.planned > v_run.max_notifications AS stays_over
        FROM queue_notification_cleanup(
            v_run.id,
            open_notification_cleanup.batch_size,
            open_notification_cleanup.user_ids
        ) AS q
    )
    SELECT
        count(*),
        count(*) FILTER (WHERE o.stays_over),
        coalesce(sum(o.planned), 0)::bigint,
        coalesce(array_agg(o.user_id) FILTER (WHERE o.stays_over AND o.planned > 0), '{}')
    INTO
        v_run.users_over_limit,
        v_run.users_still_over_limit,
        v_run.notifications_planned,
        v_not_to_count
    FROM over_limit AS o;

    IF v_run.notifications_planned = 0 THEN
        v_run.finished_at := clock_timestamp();
    ELSE
        INSERT INTO notification_cleanup_open_runs (run_id, users_not_to_count)
        VALUES (v_run.id, v_not_to_count);
        PERFORM note_shard_files(v_run.id);
        PERFORM spread_batches_over_shards(v_run.id);
    END IF;

    UPDATE notification_cleanup_runs AS r
    SET
        finished_at = v_run.finished_at,
        users_over_limit = v_run.users_over_limit,
        users_still_over_limit = v_run.users_still_over_limit,
        notifications_planned = v_run.notifications_planned
    WHERE r.id = v_run.id;
    RETURN v_run;
END
$$;
COMMENT ON FUNCTION open_notification_cleanup(integer, integer, bigint, notification_user_id[]) IS
    'The plan of cleanup_notifications() and plan_notification_cleanup(), which are what to call: '
    'opens a run with its queue, and returns its record.';
