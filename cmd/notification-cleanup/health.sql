SELECT
    h.last_finished_at,
    h.last_outcome,
    extract(epoch FROM clock_timestamp() - h.last_finished_at)::double precision AS age,
    h.users_still_over_limit,
    h.runs_unfinished,
    h.notifications_to_vacuum,
    h.suspension,
    h.notifications_refused
FROM notification_cleanup_health AS h
