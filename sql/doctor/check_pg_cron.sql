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
        (
            SELECT CASE
                WHEN NOT has_schema_privilege(n.oid, 'USAGE')
                    THEN format('it is here, but %I may not see the jobs', current_user)
                WHEN r.rolsuper OR r.rolbypassrls
                    THEN 'no job in this database'
                ELSE format('no job of %I in this database', current_user)
            END
            FROM pg_extension AS e
            JOIN pg_namespace AS n ON n.nspname = 'cron'
            JOIN pg_roles AS r ON r.rolname = current_user
            WHERE e.extname = 'pg_cron'
        ),
        'it is in database ' || (
            SELECT s.setting
            FROM pg_settings AS s
            WHERE s.name = 'cron.database_name'
        ),
        CASE
            WHEN NOT pg_has_role('pg_read_all_settings'::name, 'USAGE')
                THEN format(
                    'not in this database; %I may not see whether it is in another one',
                    current_user
                )
        END,
        'not used here'
    ) AS found,
    concat_ws(
        ' ',
        'It said: ' || string_agg(j.message, ' ') FILTER (WHERE j.state = 'failed'),
        string_agg(format('SELECT cron.alter_job(%s, active => true);', j.id), ' ')
            FILTER (WHERE j.state = 'not active'),
        (
            SELECT format('GRANT USAGE ON SCHEMA cron TO %I;', current_user)
            FROM pg_extension AS e
            JOIN pg_namespace AS n ON n.nspname = 'cron'
            WHERE e.extname = 'pg_cron'
                AND NOT has_schema_privilege(n.oid, 'USAGE')
        )
    ) AS advice
FROM jobs AS j;
