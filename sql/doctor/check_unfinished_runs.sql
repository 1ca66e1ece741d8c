-- sql/doctor/check_unfinished_runs.sql: a run was stopped or killed and nobody goes on with it.
-- A session between two batches still shows the call of the last one; but a call never waits for
-- more than a second, so one that has been idle for longer than that works on nothing.
WITH unfinished AS (
    SELECT
        r.*,
        EXISTS (
            SELECT
            FROM notification_cleanup_open_runs AS o
            WHERE o.run_id = r.id
                AND o.stopped_at IS NOT NULL
        ) AS is_stopped
    FROM notification_cleanup_runs AS r
    WHERE r.finished_at IS NULL
        AND EXISTS (
            SELECT
            FROM notification_cleanup_batches AS b
            WHERE b.run_id = r.id
        )
        AND NOT EXISTS (
            SELECT
            FROM pg_stat_activity AS a
            WHERE a.datname = current_database()
                AND (a.state <> 'idle' OR a.state_change > now() - interval '5 seconds')
                AND (
                    strpos(a.query, 'cleanup_next_batch') > 0
                    OR strpos(a.query, 'cleanup_notifications_in_batches') > 0
                )
        )
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END AS severity,
    string_agg(
        format(
            'run %s, %s of %s deleted%s',
            u.id,
            u.notifications_deleted,
            u.notifications_planned,
            CASE WHEN u.is_stopped THEN ', stopped' END
        ),
        '; '
    ) AS found,
    string_agg(
        format(
            'Whoever runs with max_notifications => %s, min_keep => %s goes on with run %s.',
            u.max_notifications,
            u.min_keep,
            u.id
        ),
        ' '
    ) AS advice
FROM unfinished AS u;
