-- The statement after which new runs get higher numbers than those of the history:
--
--     SELECT cleanup_run_ids_repair();
CREATE OR REPLACE FUNCTION cleanup_run_ids_repair()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN (
        SELECT format(
            'SELECT setval(%L, %s);',
            pg_get_serial_sequence(
                format('%I.notification_cleanup_runs', current_schema()),
                'id'
            ),
            max(r.id)
        )
        FROM notification_cleanup_runs AS r
    );
END
$$;
COMMENT ON FUNCTION cleanup_run_ids_repair() IS
    'The setval() that lets the sequence of notification_cleanup_runs go on after its highest id.';
