SELECT DISTINCT
    a.pid,
    coalesce(a.usename, '') AS "user",
    coalesce(a.application_name, '') AS application,
    coalesce(a.state, '') AS state,
    left(coalesce(a.query, ''), 100) AS statement
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
    AND a.pid <> pg_backend_pid()
    AND a.application_name <> $1
WHERE l.relation = to_regclass('notifications')
    AND l.granted
