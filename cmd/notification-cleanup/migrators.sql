SELECT
    a.pid,
    coalesce(a.usename, '') AS "user",
    coalesce(a.application_name, '') AS application,
    coalesce(a.state, '') AS state,
    left(coalesce(a.query, ''), 100) AS statement
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory'
    AND l.granted
    AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    AND (l.classid::bigint << 32) + l.objid::bigint = $1
