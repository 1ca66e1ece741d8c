SELECT
    r.id,
    r.started_at,
    r.finished_at,
    r.max_notifications,
    r.min_keep,
    r.users_over_limit,
    r.users_cleaned,
    r.users_still_over_limit,
    r.notifications_planned,
    r.notifications_deleted,
    r.notifications_skipped,
    r.notifications_changed,
    r.notifications_restored,
    cleanup_run_is_rewritten(r.id) AS rewritten
FROM notification_cleanup_runs AS r
WHERE r.id = $1
