-- Removes the jobs of schedule.sql.
--
--     psql -d postgres -f sql/pg_cron/unschedule.sql
--     psql -d postgres -v job=my-cleanup -f sql/pg_cron/unschedule.sql
\set ON_ERROR_STOP on
\set VERBOSITY terse
\set QUIET on
\if :{?job}
\else
    \set job notification-cleanup
\endif

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pg_cron') THEN
        -- All of it is the message, because psql, which is terse here, shows no hint.
        RAISE EXCEPTION USING MESSAGE = format(
            'pg_cron is not installed in database %s: '
            'connect to the database that has the extension',
            current_database()
        );
    END IF;
END
$$;

SELECT
    j.jobname AS name,
    cron.unschedule(j.jobid) AS unscheduled
FROM cron.job AS j
WHERE j.jobname IN (
        :'job',
        :'job' || '-purge',
        :'job' || '-trim-runs',
        :'job' || '-trim-cron'
    )
    AND j.username = current_user;
