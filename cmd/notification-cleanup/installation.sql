-- Our routines that the path finds: where they stand, and which of those that the program brings
-- are not there as it brings them.
WITH home AS (
    SELECT
        p.pronamespace,
        namespace.nspname::text AS schema,
        substr(s.setting, length('search_path=') + 1) AS path
    FROM pg_proc AS p
    JOIN pg_namespace AS namespace ON namespace.oid = p.pronamespace
    CROSS JOIN unnest(p.proconfig) AS s (setting)
    WHERE p.proname = 'sweep_cleanup_batch'
        AND namespace.nspname = ANY (current_schemas(false))
        AND starts_with(s.setting, 'search_path=')
    ORDER BY array_position(current_schemas(false), namespace.nspname)
    LIMIT 1
),
bodies AS (
    SELECT
        p.proname::text AS name,
        p.prosrc AS body,
        -- Where it was installed stands in one of them.
        replace(p.prosrc, quote_literal(h.path), quote_literal('path of this procedure')) AS plain
    FROM home AS h
    JOIN pg_proc AS p ON p.pronamespace = h.pronamespace
        AND p.proname = ANY ($1::text[])
)
SELECT
    h.schema,
    h.path,
    h.schema = current_schema() AS is_here,
    starts_with(h.path, format('%I,', h.schema)) AS is_at_home,
    coalesce(
        (
            SELECT substring(b.body FROM '[0-9]+')::bigint
            FROM bodies AS b
            WHERE b.name = 'notification_cleanup_version'
        ),
        0
    ) AS version,
    ARRAY(
        SELECT brought.name
        FROM unnest($1::text[], $2::text[]) AS brought (name, checksum)
        WHERE NOT EXISTS (
            SELECT
            FROM bodies AS b
            WHERE b.name = brought.name
                AND encode(sha256(convert_to(b.plain, 'UTF8')), 'hex') = brought.checksum
        )
        ORDER BY brought.name
    ) AS differ
FROM home AS h
