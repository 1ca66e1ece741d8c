-- sql/doctor/check_row_level_security.sql: where row-level security would hide rows from a run, it
-- fails instead of reporting too few. Behind a view the rights of the view's owner count, unless it
-- is a security_invoker.
WITH owner AS (
    SELECT v.relowner AS role
    FROM pg_class AS v
    WHERE v.oid = to_regclass('notifications')
        AND v.relkind = 'v'
        AND NOT EXISTS (
            SELECT
            FROM pg_options_to_table(v.reloptions) AS o
            WHERE o.option_name = 'security_invoker'
                AND o.option_value::boolean
        )
),
readers AS (
    SELECT
        t.relation,
        coalesce(owner.role, quote_ident(current_user::text)::regrole) AS role
    FROM notification_tables() AS t
    LEFT JOIN owner ON true
    UNION ALL
    SELECT
        ours.oid,
        quote_ident(current_user::text)::regrole
    FROM pg_class AS ours
    JOIN pg_namespace AS namespace ON namespace.oid = ours.relnamespace
        AND namespace.nspname = current_schema()
    WHERE starts_with(ours.relname, 'notification_cleanup_')
        AND ours.relname <> 'notification_cleanup_schema_version'
),
filtered AS (
    SELECT
        c.oid::regclass AS relation,
        role.rolname
    FROM readers AS r
    JOIN pg_class AS c ON c.oid = r.relation
    JOIN pg_roles AS role ON role.oid = r.role
    WHERE c.relrowsecurity
        AND NOT c.relispartition
        AND NOT role.rolsuper
        AND NOT role.rolbypassrls
        AND (c.relforcerowsecurity OR NOT pg_has_role(role.oid, c.relowner, 'USAGE'))
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'failure' END AS severity,
    string_agg(format('hides rows of %s from %I', f.relation, f.rolname), '; ') AS found,
    string_agg(DISTINCT format('ALTER ROLE %I BYPASSRLS;', f.rolname), ' ') AS advice
FROM filtered AS f;
