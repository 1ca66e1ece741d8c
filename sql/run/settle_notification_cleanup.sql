-- Removes what is left of a run's queue, and counts its users for the record. Does nothing where
-- that has been done:
--
--     SELECT settle_notification_cleanup(7);
--
-- Waits for batches in flight. It takes the batches first, then the rest, as a batch does: two that
-- meet here wait one after the other, never crosswise.
CREATE OR REPLACE FUNCTION settle_notification_cleanup(run_id bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_batches bigint;
    v_users_cleaned bigint;
    v_users_left notification_user_id[];
    v_users_not_to_count notification_user_id[];
BEGIN
    WITH queue AS (
        DELETE FROM notification_cleanup_batches AS b
        WHERE b.run_id = settle_notification_cleanup.run_id
        RETURNING
            b.last_users,
            b.last_users_planned,
            -- All of a batch that was not done.
            CASE WHEN b.done_at IS NULL THEN b.users ELSE b.users_left END AS users_left
    ),
    planned AS (
        SELECT
            u.user_id,
            u.planned
        FROM queue AS q
        CROSS JOIN unnest(q.last_users, q.last_users_planned) AS u (user_id, planned)
    ),
    not_deleted AS (
        SELECT
            u.user_id,
            count(*) AS notifications
        FROM queue AS q
        CROSS JOIN unnest(q.users_left) AS u (user_id)
        GROUP BY u.user_id
    )
    SELECT
        (SELECT count(*) FROM queue),
        count(*) FILTER (WHERE p.planned > coalesce(n.notifications, 0)),
        array_agg(n.user_id) FILTER (WHERE n.user_id IS NOT NULL)
    INTO
        v_batches,
        v_users_cleaned,
        v_users_left
    FROM planned AS p
    LEFT JOIN not_deleted AS n ON n.user_id = p.user_id;

    SELECT o.users_not_to_count
    INTO v_users_not_to_count
    FROM notification_cleanup_open_runs AS o
    WHERE o.run_id = settle_notification_cleanup.run_id;
    -- The row of a rewritten run stays until the next plan, to tell its workers why it has ended.
    DELETE FROM notification_cleanup_open_runs AS o
    WHERE o.run_id = settle_notification_cleanup.run_id
        AND NOT o.rewritten;
    IF v_batches = 0 THEN
        RETURN false;
    END IF;

    -- Users whom the plan would have brought under the limit, and the run did not, count if they
    -- are over it now.
    UPDATE notification_cleanup_runs AS r
    SET
        users_cleaned = v_users_cleaned,
        users_still_over_limit = r.users_still_over_limit + (
            SELECT count(*)
            FROM notification_crowds(r.max_notifications, coalesce(v_users_left, '{}')) AS c
            WHERE c.user_id NOT IN (
                SELECT u.user_id
                FROM unnest(v_users_not_to_count) AS u (user_id)
            )
        )
    WHERE r.id = settle_notification_cleanup.run_id;
    RETURN true;
END
$$;
COMMENT ON FUNCTION settle_notification_cleanup(bigint) IS
    'For close_notification_cleanup() and give_up_notification_cleanup(): removes the queue of a '
    'run after waiting for batches in flight, and writes users_cleaned and users_still_over_limit. '
    'Returns whether there was a queue.';
