-- The jobs of pg_cron in this database that clean up, purge or forget old runs, and how each ran
-- the last time.
--
--     SELECT * FROM notification_cron_jobs();
CREATE OR REPLACE FUNCTION notification_cron_jobs()
RETURNS TABLE (
    id bigint,
    name text,
    is_active boolean,
    status text,
    message text
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM pg_extension AS e
        JOIN pg_namespace AS n ON n.nspname = 'cron'
        WHERE e.extname = 'pg_cron'
            AND has_schema_privilege(n.oid, 'USAGE')
    ) THEN
        RETURN;
    END IF;
    -- By row-level security pg_cron shows each role its own jobs, instead of an error.
    PERFORM set_config('row_security', 'on', true);
    -- EXECUTE, because there are no such tables where the extension is not.
    RETURN QUERY EXECUTE $jobs$
        SELECT
            j.jobid,
            coalesce(j.jobname::text, 'job ' || j.jobid),
            j.active,
            d.status,
            d.return_message
        FROM cron.job AS j
        LEFT JOIN LATERAL (
            SELECT
                d.status,
                d.return_message
            FROM cron.job_run_details AS d
            WHERE d.jobid = j.jobid
            ORDER BY d.runid DESC
            LIMIT 1
        ) AS d ON true
        WHERE j.database = current_database()
            AND (
                strpos(j.command, 'cleanup_notifications') > 0
                OR strpos(j.command, 'purge_notifications') > 0
                OR strpos(j.command, 'notification_cleanup_runs') > 0
            )
    $jobs$;
END
$$;
COMMENT ON FUNCTION notification_cron_jobs() IS
'The jobs of pg_cron in this database that clean up, purge or forget old runs, of those that the '
'caller may see, with the status and the message of their last run; none where the extension is '
'not, nor for whoever may not use its schema.';
