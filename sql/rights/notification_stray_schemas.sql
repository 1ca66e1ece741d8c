-- Schemas with routines of another installation that work on the tables of this one, because their
-- path names this schema:
--
--     SELECT * FROM notification_stray_schemas();
--
-- That is so where a schema was renamed, and a new one has taken its name.
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
        WHERE starts_with(s.setting, format('search_path=%I, ', current_schema()))
    )
$$;
COMMENT ON FUNCTION notification_stray_schemas() IS
    'Schemas whose routines work on the tables of this one, because they were renamed.';
