-- Does one batch of a run, or ends it: SELECT cleanup_next_batch(7); until it is NULL. Any number of sessions may call it.
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
    v_lock_timeout text := current_setting('lock_timeout');
    v_called_at timestamptz := clock_timestamp();
    v_claimed_at timestamptz;
    v_may_begin boolean;
BEGIN
    DO $citus$ BEGIN  -- Citus pins its workers' plans too, if it is told by such a block; elsewhere it says nothing new
        SET LOCAL citus.propagate_set_commands = 'local';
        SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off; SET LOCAL jit = off;
    END $citus$;
    SELECT r.* INTO v_run FROM notification_cleanup_runs AS r WHERE r.id = cleanup_next_batch.run_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'run_id takes the id of a run: plan_notification_cleanup() opens one.',
            MESSAGE = format('no cleanup run %s', coalesce(run_id::text, 'NULL'));
    END IF;
    v_may_begin := throttle_notification_cleanup(v_run.id);
    IF v_may_begin IS NOT TRUE THEN RETURN CASE WHEN NOT v_may_begin THEN 0::bigint END; END IF;
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
    v_claimed_at := clock_timestamp();
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
    EXCEPTION
        WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN  -- the last: a row has moved to another partition
            IF v_batch.attempts >= 5 THEN
                RAISE;
            END IF;
            UPDATE notification_cleanup_batches AS b SET attempts = b.attempts + 1 WHERE b.run_id = v_run.id AND b.number = v_batch.number;
            RETURN 0::bigint;
    END;

    SELECT count(*), set_config('lock_timeout', v_lock_timeout, true)  -- both where the batch was
    INTO v_run.notifications_skipped, v_lock_timeout  -- is what is left
    FROM notifications AS n
    JOIN unnest(v_cutoffs.user_ids, v_cutoffs.created_ats, v_cutoffs.ids) AS cutoff (user_id, created_at, id) ON cutoff.user_id = n.user_id
    WHERE (v_batch.first_user IS NULL OR n.user_id = ANY (v_cutoffs.user_ids))
        AND (v_batch.low IS NULL OR n.ctid >= v_batch.low AND n.ctid < v_batch.high)
        AND n.deleted_at IS NULL AND n.status = 'read' AND (n.created_at, n.id) <= (cutoff.created_at, cutoff.id)
        AND (v_kept IS NULL OR n.id <> ALL (v_kept));
    UPDATE notification_cleanup_batches AS b SET done = true, user_ids = v_batch.user_ids, deleted = v_batch.deleted
    WHERE b.run_id = v_run.id AND b.number = v_batch.number;
    -- Last what all workers write, so that one waits for another no longer than a COMMIT takes.
    UPDATE notification_cleanup_throttles AS t
    SET rest_until = greatest(t.rest_until, clock_timestamp() + t.pause_factor * (clock_timestamp() - v_claimed_at))
    WHERE t.run_id = v_run.id AND t.pause_factor > 0;
    UPDATE notification_cleanup_runs AS r
    SET notifications_deleted = r.notifications_deleted + v_run.notifications_deleted,
        notifications_skipped = r.notifications_skipped + v_run.notifications_skipped
    WHERE r.id = v_run.id;
    RETURN v_run.notifications_deleted;
END
$$;
COMMENT ON FUNCTION cleanup_next_batch(bigint) IS
'Does one batch of a run of plan_notification_cleanup(), and returns how many notifications it deleted; skips rows that somebody holds.
Call it until it is NULL, each time in a transaction of its own: the run has ended then, or was stopped or given up. 0 also means that others are at work on all that is left, that the batch gave way to the application and comes again, or that it is not yet time for one: a notice says why.';
REVOKE ALL ON FUNCTION cleanup_next_batch(bigint) FROM PUBLIC;
