SELECT
    r.step,
    r.outcome,
    coalesce(r.message, '') AS message,
    coalesce(r.detail, '') AS detail,
    coalesce(r.advice, '') AS advice
FROM rehearse_notification_cleanup() AS r
