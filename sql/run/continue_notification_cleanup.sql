-- The run that a plan with these limits continues, or NULL; gives up all those that are too old:
--
--     SELECT * FROM continue_notification_cleanup(1000, 100);
CREATE OR REPLACE FUNCTION continue_notification_cleanup(
    max_notifications integer,
    min_keep integer
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_run_id bigint;
    v_run notification_cleanup_runs;
BEGIN
    -- What a rewritten run has left to tell, its workers have heard by now.
    DELETE FROM notification_cleanup_open_runs AS o
    WHERE NOT EXISTS (
        SELECT
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = o.run_id
    );

    FOR v_run_id IN
        SELECT o.run_id
        FROM notification_cleanup_open_runs AS o
        JOIN notification_cleanup_runs AS r ON r.id = o.run_id
        CROSS JOIN LATERAL (
            SELECT greatest(r.started_at, max(b.done_at)) AS last_at
            FROM notification_cleanup_batches AS b
            WHERE b.run_id = o.run_id
        ) AS work
        WHERE work.last_at < clock_timestamp() - cleanup_run_lifetime()
            -- By a clock that was ahead a run would not grow old.
            OR cleanup_time_is_ahead(work.last_at)
        ORDER BY o.run_id
    LOOP
        PERFORM give_up_notification_cleanup(v_run_id);
    END LOOP;

    SELECT r.*
    INTO v_run
    FROM notification_cleanup_open_runs AS o
    JOIN notification_cleanup_runs AS r ON r.id = o.run_id
    WHERE r.max_notifications = continue_notification_cleanup.max_notifications
        AND r.min_keep = continue_notification_cleanup.min_keep
        AND NOT o.rewritten
    ORDER BY o.run_id
    LIMIT 1;
    RETURN v_run;
END
$$;
COMMENT ON FUNCTION continue_notification_cleanup(integer, integer) IS
    'For plan_notification_cleanup(), which is what to call: a run with these limits that has not '
    'ended, if there is one.';
