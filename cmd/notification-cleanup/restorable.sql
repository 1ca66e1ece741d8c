-- Citus can carry no void in a subquery: so the check is a condition, as text.
SELECT count(*)
FROM notifications AS n
WHERE n.deleted_at = (
    SELECT r.started_at
    FROM notification_cleanup_runs AS r
    WHERE r.id = CASE
        WHEN check_run_id($1::text::bigint)::text IS NOT NULL THEN $1::text::bigint
    END
)
