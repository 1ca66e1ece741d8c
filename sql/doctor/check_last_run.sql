-- sql/doctor/check_last_run.sql: a nightly run that has not ended for 26 hours has probably not
-- been started, or does not come to its end.
WITH last_run AS (
    SELECT date_trunc('second', now() - max(r.finished_at)) AS age
    FROM notification_cleanup_runs AS r
    WHERE NOT cleanup_time_is_ahead(r.finished_at)
)
SELECT
    CASE
        WHEN r.age IS NULL THEN 'note'
        WHEN r.age < interval '26 hours' THEN 'ok'
        ELSE 'warning'
    END AS severity,
    coalesce('ended ' || r.age::text || ' ago', 'none yet') AS found,
    CASE
        WHEN r.age IS NOT NULL THEN 'Is it still scheduled? See its log.'
    END AS advice
FROM last_run AS r;
