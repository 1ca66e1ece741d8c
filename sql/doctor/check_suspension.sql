-- sql/doctor/check_suspension.sql: a suspension that somebody has forgotten is no better than a job
-- that nobody has scheduled.
SELECT
    CASE WHEN suspension IS NULL THEN 'ok' ELSE 'warning' END AS severity,
    'the job is suspended ' || suspension AS found,
    'When that is over: SELECT resume_notification_cleanup();' AS advice
FROM cleanup_suspension() AS suspension;
