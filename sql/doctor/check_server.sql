-- sql/doctor/check_server.sql: a standby shows what would go, but nothing can be deleted there.
SELECT
    CASE WHEN server.is_standby THEN 'note' ELSE 'ok' END AS severity,
    CASE WHEN server.is_standby THEN 'a standby' ELSE 'a primary' END AS found,
    'This is only to look; clean up on the primary.' AS advice
FROM pg_is_in_recovery() AS server (is_standby);
