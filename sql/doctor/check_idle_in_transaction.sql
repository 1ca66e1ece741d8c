-- sql/doctor/check_idle_in_transaction.sql: what a session holds that does nothing is skipped by
-- every run, and VACUUM cannot clean up behind it.
WITH holders AS (
    SELECT
        a.pid,
        a.usename,
        date_trunc('second', a.state_change) AS since
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database()
        AND a.state LIKE 'idle in transaction%'
        AND a.state_change < now() - interval '1 second'
        AND EXISTS (
            SELECT
            FROM pg_locks AS l
            JOIN notification_tables() AS t ON t.relation = l.relation
            WHERE l.pid = a.pid
                AND l.mode <> 'AccessShareLock'
        )
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END AS severity,
    string_agg(
        format('process %s of %s since %s', h.pid, h.usename, h.since),
        '; '
    ) AS found,
    'What it holds is skipped. '
    || string_agg(format('SELECT pg_terminate_backend(%s);', h.pid), ' ')
    || ' And set idle_in_transaction_session_timeout.' AS advice
FROM holders AS h;
