-- What is granted on our objects now, as statements: migrate adopt makes these anew.
WITH objects AS (
    SELECT
        'TABLE' AS kind,
        format('%I.%I', namespace.nspname, c.relname) AS name,
        c.relowner AS owner,
        NULL::name AS column_name,
        c.relacl AS privileges
    FROM pg_class AS c
    JOIN pg_namespace AS namespace ON namespace.oid = c.relnamespace
    WHERE namespace.nspname = current_schema()
        AND c.relkind IN ('r', 'v')
        AND starts_with(c.relname, 'notification_cleanup_')
    UNION ALL
    SELECT
        'TABLE',
        format('%I.%I', namespace.nspname, c.relname),
        c.relowner,
        a.attname,
        a.attacl
    FROM pg_class AS c
    JOIN pg_namespace AS namespace ON namespace.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = c.oid
        AND NOT a.attisdropped
    WHERE namespace.nspname = current_schema()
        AND c.relkind IN ('r', 'v')
        AND starts_with(c.relname, 'notification_cleanup_')
    UNION ALL
    SELECT
        'ROUTINE',
        format(
            '%I.%I(%s)',
            namespace.nspname,
            p.proname,
            pg_get_function_identity_arguments(p.oid)
        ),
        p.proowner,
        NULL,
        p.proacl
    FROM pg_proc AS p
    JOIN pg_namespace AS namespace ON namespace.oid = p.pronamespace
    WHERE namespace.nspname = current_schema()
        AND (
            p.proconfig @> '{row_security=off}'
            OR p.proname = 'cleanup_notifications_in_batches'
        )
    UNION ALL
    SELECT
        'DOMAIN',
        format('%I.%I', namespace.nspname, t.typname),
        t.typowner,
        NULL,
        t.typacl
    FROM pg_type AS t
    JOIN pg_namespace AS namespace ON namespace.oid = t.typnamespace
    WHERE namespace.nspname = current_schema()
        AND t.typname IN ('notification_user_id', 'notification_id', 'notification_created_at')
)
SELECT format(
    'GRANT %s%s ON %s %s TO %s%s',
    granted.privilege_type,
    CASE WHEN o.column_name IS NULL THEN '' ELSE format(' (%I)', o.column_name) END,
    o.kind,
    o.name,
    CASE
        WHEN granted.grantee = 0 THEN 'PUBLIC'
        ELSE granted.grantee::regrole::text
    END,
    CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
) AS statement
FROM objects AS o
CROSS JOIN aclexplode(o.privileges) AS granted
WHERE granted.grantee <> o.owner
