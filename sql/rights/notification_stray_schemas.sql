-- Schemas that were renamed, and whose routines work on the tables of this schema, because their
-- path leads here:
--
--     SELECT * FROM notification_stray_schemas();
--
-- Either this schema has taken the former name, or it comes later in the path, as the one where the
-- type of a column lives does.
CREATE OR REPLACE FUNCTION notification_stray_schemas()
RETURNS TABLE (schema_name name)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT namespace.nspname
FROM pg_proc AS p
JOIN pg_namespace AS namespace ON namespace.oid = p.pronamespace
WHERE p.proname = 'sweep_cleanup_batch'
    AND namespace.nspname <> current_schema()
    AND EXISTS (
        SELECT
        FROM unnest(p.proconfig) AS s (setting)
        WHERE starts_with(s.setting, 'search_path=')
            AND NOT starts_with(s.setting, format('search_path=%I, ', namespace.nspname))
            AND strpos(
                replace(s.setting, 'search_path=', ', ') || ', ',
                format(', %I, ', current_schema())
            ) > 0
    )
$$;
COMMENT ON FUNCTION notification_stray_schemas() IS
    'Schemas whose routines work on the tables of this one, because they were renamed.';
