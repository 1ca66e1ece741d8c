-- sql/doctor/check_refused.sql: what undo and purge have stepped over within the last day.
WITH refused AS (
    SELECT
        f.operation,
        count(*) AS notifications,
        (array_agg(f.detail ORDER BY f.number DESC))[1] AS detail
    FROM notification_cleanup_refused AS f
    WHERE f.refused_at > now() - interval '1 day'
    GROUP BY f.operation
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END AS severity,
    string_agg(
        format('%s: %s refused, the last because %s', r.operation, r.notifications, r.detail),
        '; '
        ORDER BY r.operation
    ) AS found,
    'Mend that: SELECT * FROM notification_cleanup_refused; tells which. They are tried again '
    'after '
    'a day, or at once when these rows are deleted.' AS advice
FROM refused AS r;
