-- Ends a run, or gives it up: it gets no finished_at then. Waits for batches in flight; does nothing where that has been done.
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
    -- Not before the batches: whoever does one writes there at its end.
    DELETE FROM notification_cleanup_throttles AS t WHERE t.run_id = end_notification_cleanup.run_id;
    -- Whom the plan would have brought under the limit, but the run did not, counts if he is over it now.
    UPDATE notification_cleanup_runs AS r
    SET finished_at = CASE WHEN finished THEN clock_timestamp() END, users_cleaned = v_cleaned,
        users_still_over_limit = r.users_still_over_limit
            + (SELECT count(*) FROM notification_excess(r.max_notifications, r.min_keep, coalesce(v_left_over, '{}'), now(), true))
    WHERE r.id = end_notification_cleanup.run_id AND v_cleaned IS NOT NULL;
END
$$;
COMMENT ON FUNCTION end_notification_cleanup(bigint, boolean) IS
'Ends a run for cleanup_next_batch(), or gives it up for plan_notification_cleanup() and restore_notifications(), which are what to call.';
REVOKE ALL ON FUNCTION end_notification_cleanup(bigint, boolean) FROM PUBLIC;
