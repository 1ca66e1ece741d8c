SELECT
    r.id,
    r.started_at,
    r.finished_at,
    r.users_cleaned AS users,
    r.notifications_deleted AS deleted,
    r.notifications_skipped AS skipped,
    r.notifications_restored AS restored,
    EXISTS (
        SELECT
        FROM notification_cleanup_open_runs AS o
        WHERE o.run_id = r.id
            AND o.stopped_at IS NOT NULL
    ) AS is_stopped
FROM notification_cleanup_runs AS r
ORDER BY r.id DESC
LIMIT $1
