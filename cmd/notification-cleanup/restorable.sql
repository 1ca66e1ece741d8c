SELECT count(*)
FROM notifications AS n
WHERE n.deleted_at = (
    SELECT r.started_at
    FROM check_run_id($1::text::bigint)
    JOIN notification_cleanup_runs AS r ON r.id = $1::text::bigint
)
