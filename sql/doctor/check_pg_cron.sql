-- sql/doctor/check_pg_cron.sql: a job of pg_cron that fails at night tells nobody. Its tables are
-- there only where the extension is, so notification_cron_jobs() asks for them by dynamic SQL.
WITH jobs AS (
    SELECT
        j.*,
        CASE
            WHEN NOT j.is_active THEN 'not active'
            ELSE coalesce(j.status, 'never ran')
        END AS state
    FROM notification_cron_jobs() AS j
)
SELECT
    CASE
        WHEN bool_or(j.state = 'failed') THEN 'failure'
        WHEN bool_or(j.state = 'not active') THEN 'warning'
        WHEN bool_or(j.state = 'never ran') OR count(*) = 0 THEN 'note'
        ELSE 'ok'
    END AS severity,
    coalesce(
        string_agg(format('%s: %s', j.name, j.state), '; '),
        CASE
            WHEN EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pg_cron')
                THEN 'no job in this database'
        END,
        'it is in database ' || (
            SELECT s.setting
            FROM pg_settings AS s
            WHERE s.name = 'cron.database_name'
        ),
        'not used here'
    ) AS found,
    concat_ws(
        ' ',
        'It said: ' || string_agg(j.message, ' ') FILTER (WHERE j.state = 'failed'),
        string_agg(format('SELECT cron.alter_job(%s, active => true);', j.id), ' ')
            FILTER (WHERE j.state = 'not active')
    ) AS advice
FROM jobs AS j;
