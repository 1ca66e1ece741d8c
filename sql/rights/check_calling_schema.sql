-- Refuses to work for a routine of another installation, whose path leads here:
--
--     SELECT check_calling_schema();
--
-- No routine knows the schema in which it stands. But among those that call this one, a routine that
-- is not found by the path is named with its schema.
CREATE OR REPLACE FUNCTION check_calling_schema()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_callers text;
    v_stray name;
BEGIN
    GET DIAGNOSTICS v_callers = PG_CONTEXT;
    SELECT s.schema_name
    INTO v_stray
    FROM notification_stray_schemas() AS s
    WHERE EXISTS (
        SELECT
        FROM pg_proc AS p
        JOIN pg_namespace AS namespace ON namespace.oid = p.pronamespace
            AND namespace.nspname = s.schema_name
        WHERE strpos(v_callers, format('%I.%I(', s.schema_name, p.proname)) > 0
    )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format(
                'the routine stands in schema %I, and works on the notifications in schema %I',
                v_stray,
                current_schema()
            ),
            DETAIL = format(
                'Schema %I was renamed, and its routines still name %I. Nothing was changed.',
                v_stray,
                current_schema()
            ),
            HINT = format(
                'Make them anew: SCHEMA=%s notification-cleanup migrate adopt; or remove them: '
                'migrate down.',
                v_stray
            );
    END IF;
END
$$;
COMMENT ON FUNCTION check_calling_schema() IS
    'Raises object_not_in_prerequisite_state (55000) where a routine of a schema that was renamed '
    'calls.';
