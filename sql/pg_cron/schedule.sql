-- Schedules the cleanup and its housekeeping with pg_cron. Scheduling again changes the jobs; it
-- never adds others.
--
--     psql -d postgres -v database=app -v schedule='30 3 * * *' -v retention='30 days' \
--         -f sql/pg_cron/schedule.sql
--
-- Connect to the database that has the pg_cron extension, as the role that the jobs are to have;
-- -v database names the one that has the notifications, where
-- SELECT notification_cleanup_grants('cleaner', '{clean up, purge, schedule}') \gexec
-- lets that role do what the jobs do. Variables:
--     job        name of the job, and prefix of its helpers' names (notification-cleanup)
--     schedule   when to clean up, in GMT unless cron.timezone says otherwise ('30 3 * * *')
--     limits     arguments of cleanup_notifications_in_batches() (none: its defaults),
--                such as "max_notifications => 500, time_limit => '2 hours', pause_factor => 1"
--     database   where the notifications are (the database of this connection)
--     schema     ... and in which schema (public)
--     retention  purge notifications that were deleted longer ago than this ('': never purge)
--     keep       how long to keep the history, ours and pg_cron's of these jobs ('400 days')
\set ON_ERROR_STOP on
\set VERBOSITY terse
\set QUIET on
\if :{?job}
\else
    \set job notification-cleanup
\endif
\if :{?schedule}
\else
    \set schedule '30 3 * * *'
\endif
\if :{?limits}
\else
    \set limits ''
\endif
\if :{?database}
\else
    \set database :DBNAME
\endif
\if :{?schema}
\else
    \set schema public
\endif
\if :{?retention}
\else
    \set retention ''
\endif
\if :{?keep}
\else
    \set keep '400 days'
\endif

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pg_cron') THEN
        -- All of it is the message, because psql, which is terse here, shows no hint.
        RAISE EXCEPTION USING MESSAGE = format(
            'pg_cron is not installed in database %s: install its package, '
            'set shared_preload_libraries = ''pg_cron'' and cron.database_name, restart, '
            'and CREATE EXTENSION pg_cron there',
            current_database()
        );
    END IF;
    IF NOT has_schema_privilege('cron', 'USAGE') OR EXISTS (
        SELECT
        FROM pg_proc AS p
        JOIN pg_namespace AS n ON n.oid = p.pronamespace
            AND n.nspname = 'cron'
        WHERE p.proname IN ('schedule_in_database', 'unschedule')
            AND NOT has_function_privilege(p.oid, 'EXECUTE')
    ) THEN
        RAISE EXCEPTION USING MESSAGE = (
            SELECT format(
                '%1$I may not schedule jobs: a superuser has to execute here '
                'GRANT USAGE ON SCHEMA cron TO %1$I; GRANT EXECUTE ON FUNCTION %2$s TO %1$I;',
                current_user,
                string_agg(
                    format('cron.%I(%s)', p.proname, oidvectortypes(p.proargtypes)),
                    ', '
                    ORDER BY p.proname
                )
            )
            FROM pg_proc AS p
            JOIN pg_namespace AS n ON n.oid = p.pronamespace
                AND n.nspname = 'cron'
            WHERE p.proname IN ('schedule_in_database', 'unschedule')
        );
    END IF;
END
$$;

BEGIN;

-- Intervals are checked here, not at 3 in the morning.
SELECT
    (nullif(:'retention', '')::interval > '0') IS NOT FALSE
    AND :'keep'::interval > '0' AS valid
\gset
\if :valid
\else
    DO $$
    BEGIN
        RAISE EXCEPTION 'retention and keep take positive intervals';
    END
    $$;
\endif

CREATE TEMPORARY TABLE wanted ON COMMIT DROP AS
SELECT *
FROM (VALUES
    (
        :'job',
        :'schedule',
        format('CALL %I.cleanup_notifications_in_batches(%s)', :'schema', :'limits'),
        :'database'
    ),
    (
        :'job' || '-purge',
        -- Little and often: 10,000 rows at a time are 2.9 million a day.
        '*/5 * * * *',
        format('SELECT %I.purge_notifications(%L)', :'schema', nullif(:'retention', '')),
        :'database'
    ),
    (
        :'job' || '-trim-runs',
        '15 2 * * *',
        format(
            'DELETE FROM %1$I.notification_cleanup_runs AS r'
            ' WHERE r.started_at < now() - interval %2$L AND NOT EXISTS ('
            'SELECT FROM %1$I.notification_cleanup_batches AS b WHERE b.run_id = r.id)',
            :'schema',
            :'keep'
        ),
        :'database'
    ),
    (
        :'job' || '-trim-cron',
        '20 2 * * *',
        -- A run that was cut off has no end_time, and one that never began has no start_time
        -- either: those go together with the next older run.
        format(
            'DELETE FROM cron.job_run_details AS d USING cron.job AS j'
            ' WHERE j.jobid = d.jobid AND j.jobname LIKE %L AND d.runid <= ('
            'SELECT max(o.runid) FROM cron.job_run_details AS o'
            ' WHERE coalesce(o.end_time, o.start_time) < now() - interval %L)',
            :'job' || '%',
            :'keep'
        ),
        current_database()
    )
) AS job (name, schedule, command, database)
WHERE job.command IS NOT NULL
    AND (:'retention' <> '' OR job.name NOT LIKE '%-purge');

SELECT cron.unschedule(j.jobid)
FROM cron.job AS j
WHERE j.jobname = :'job' || '-purge'
    AND j.username = current_user
    AND :'retention' = ''
\g /dev/null

SELECT
    cron.schedule_in_database(w.name, w.schedule, w.command, w.database) AS jobid,
    w.name,
    w.schedule,
    w.database
FROM wanted AS w;

COMMIT;
