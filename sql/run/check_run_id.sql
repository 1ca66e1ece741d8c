-- Refuses the id of a run that there is not:
--
--     SELECT check_run_id(7);
CREATE OR REPLACE FUNCTION check_run_id(run_id bigint)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM notification_cleanup_runs AS r
        WHERE r.id = check_run_id.run_id
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('no cleanup run %s', coalesce(check_run_id.run_id::text, 'NULL')),
            DETAIL = 'There never was one, or somebody has removed its record, and with that what '
                'the run had left.',
            HINT = 'run_id takes an id of notification_cleanup_runs. The next call of the job '
                'plans anew.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_run_id(bigint) IS
    'Raises invalid_parameter_value (22023) unless there is a run with this id.';
