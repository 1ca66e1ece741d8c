-- sql/doctor/check_clock.sql: a clock that was ahead once leaves times of the future behind, after
-- which nobody can go.
WITH ahead AS (
    SELECT
        r.id,
        date_trunc('second', greatest(r.started_at, r.finished_at)) AS noted_at
    FROM notification_cleanup_runs AS r
    WHERE cleanup_time_is_ahead(greatest(r.started_at, r.finished_at))
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END AS severity,
    string_agg(
        format('run %s is of the future, %s', a.id, a.noted_at),
        '; '
        ORDER BY a.id
    ) AS found,
    'Is the clock of the server right? Where it was ahead: what those runs deleted is kept until '
    'then, and purged later.' AS advice
FROM ahead AS a;
