SELECT DISTINCT
    blocker.pid,
    coalesce(a.usename, '') AS "user",
    coalesce(a.application_name, '') AS application,
    coalesce(a.state, '') AS state,
    left(coalesce(a.query, ''), 100) AS statement
FROM pg_stat_activity AS waiting
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocker (pid)
LEFT JOIN pg_stat_activity AS a ON a.pid = blocker.pid
WHERE waiting.datname = current_database()
    AND waiting.application_name = $1
    AND waiting.wait_event_type = 'Lock'
