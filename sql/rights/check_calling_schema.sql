-- Refuses to work for a routine of a schema that was renamed, whose path leads here:
--
--     SELECT check_calling_schema();
--
-- No routine knows the schema in which it stands. But among those that call this one, a routine
-- that is not found by the path is named with its schema. Only the procedure has no path of its
-- own: it says which one is found by its caller's.
CREATE OR REPLACE FUNCTION check_calling_schema(procedure_found regprocedure DEFAULT NULL)
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
    JOIN pg_namespace AS namespace ON namespace.nspname = s.schema_name
    JOIN pg_proc AS p ON p.pronamespace = namespace.oid
    WHERE strpos(v_callers, format(' %I.%I(', s.schema_name, p.proname)) > 0
        OR (
            p.oid = check_calling_schema.procedure_found
            AND strpos(v_callers, format(' %I.%I(', current_schema(), p.proname)) = 0
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
                'Schema %I was renamed, and its routines still look for its former name. Nothing '
                'was changed.',
                v_stray
            ),
            HINT = format(
                'Make them anew: SCHEMA=%L notification-cleanup migrate adopt. Or remove them, '
                'with migrate down.',
                v_stray
            );
    END IF;
END
$$;
COMMENT ON FUNCTION check_calling_schema(regprocedure) IS
    'Raises object_not_in_prerequisite_state (55000) where a routine of a schema that was renamed '
    'calls. procedure_found: which procedure is found by the path of its caller, for that alone.';
