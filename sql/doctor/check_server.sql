-- sql/doctor/check_server.sql: a standby shows what would go, but nothing can be deleted there, nor
-- where transactions are read-only by default.
SELECT
    CASE
        WHEN server.is_standby THEN 'note'
        WHEN NOT server.is_read_only THEN 'ok'
        -- Set by whoever is connected, perhaps to look only.
        WHEN server.source IN ('session', 'client') THEN 'warning'
        ELSE 'failure'
    END AS severity,
    CASE
        WHEN server.is_standby THEN 'a standby'
        WHEN server.is_read_only
            THEN 'a primary, but default_transaction_read_only is on: no run can write'
        ELSE 'a primary'
    END AS found,
    CASE
        WHEN server.is_standby THEN 'This is only to look; clean up on the primary.'
        WHEN server.source IN ('session', 'client')
            THEN 'This session has set it: SET default_transaction_read_only = off;'
        ELSE format(
            'ALTER ROLE %I IN DATABASE %I SET default_transaction_read_only = off;',
            current_user,
            current_database()
        )
    END AS advice
FROM (
    SELECT
        pg_is_in_recovery() AS is_standby,
        s.setting::boolean AS is_read_only,
        s.source
    FROM pg_settings AS s
    WHERE s.name = 'default_transaction_read_only'
) AS server;
