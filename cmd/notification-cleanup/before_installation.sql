SELECT
    NOT pg_is_in_recovery()
        AND coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
        AND coalesce(c.relkind = 'v' OR pg_has_role(c.relowner, 'USAGE'), true) AS may_install,
    c.oid IS NOT NULL AS has_table,
    EXISTS (
        SELECT
        FROM pg_attribute AS a
        WHERE a.attrelid = c.oid
            AND a.attname = 'deleted_at'
            AND NOT a.attisdropped
    ) AS has_deleted_at
FROM (VALUES (1)) AS one_row
LEFT JOIN pg_class AS c ON c.oid = to_regclass('notifications')
