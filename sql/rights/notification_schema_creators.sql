-- Who may put a function or an operator where our routines look for theirs: what matches better
-- than that of PostgreSQL, such as div(numeric, bigint), is executed as whoever cleans up.
--
--     SELECT * FROM notification_schema_creators();
CREATE OR REPLACE FUNCTION notification_schema_creators()
RETURNS TABLE (
    schema_name name,
    creator text
)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT
    n.nspname,
    CASE
        WHEN granted.grantee = oid '0' THEN 'PUBLIC'
        ELSE granted.grantee::regrole::text
    END
FROM pg_namespace AS n
CROSS JOIN aclexplode(n.nspacl) AS granted
LEFT JOIN pg_roles AS r ON r.oid = granted.grantee
WHERE n.nspname = ANY (current_schemas(false))
    AND granted.privilege_type = 'CREATE'
    AND granted.grantee <> n.nspowner
    AND r.rolsuper IS NOT TRUE
    -- Whoever has installed all this could change the routines themselves.
    AND granted.grantee NOT IN (
        SELECT c.relowner
        FROM pg_class AS c
        WHERE c.oid = to_regclass('notification_cleanup_runs')
    )
ORDER BY
    n.nspname,
    granted.grantee
$$;
COMMENT ON FUNCTION notification_schema_creators() IS
'Who may create objects in the schemas of the search_path that our routines have, beside the '
'owners of these schemas, the owner of our tables and superusers. There should be nobody.';
