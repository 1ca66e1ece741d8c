SELECT
    l.max_notifications,
    l.users_over_limit,
    l.deletable_notifications,
    l.deletable_percent,
    l.users_still_over_limit,
    s.users_with_notifications AS users
FROM preview_notification_limits($1, $2) AS l
CROSS JOIN notification_stats() AS s
ORDER BY l.max_notifications
