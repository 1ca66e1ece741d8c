-- The plan is NULL while the cleanup is suspended.
SELECT
    coalesce(p.id, 0) AS id,
    coalesce(p.users_over_limit, 0) AS users_over_limit,
    coalesce(p.notifications_planned, 0) AS notifications_planned
FROM plan_notification_cleanup(
    max_notifications => $1,
    min_keep => $2,
    batch_size => $3,
    pause_factor => $4,
    max_replica_lag => nullif(make_interval(secs => $5), '0'),
    max_deletions => nullif($6::bigint, 0)
) AS p
