-- Which of our routines there are: what each is, and where all of them stand and look for tables.
WITH home AS (
    SELECT
        p.pronamespace,
        namespace.nspname::text AS schema,
        substr(s.setting, length('search_path=') + 1) AS path
    FROM pg_proc AS p
    JOIN pg_namespace AS namespace ON namespace.oid = p.pronamespace
    CROSS JOIN unnest(p.proconfig) AS s (setting)
    WHERE p.oid = to_regproc('sweep_cleanup_batch')
        AND starts_with(s.setting, 'search_path=')
)
SELECT
    h.schema,
    h.path,
    starts_with(h.path, format('%I,', h.schema)) AS is_at_home,
    p.proname::text AS name,
    p.prosrc AS body
FROM home AS h
JOIN pg_proc AS p ON p.pronamespace = h.pronamespace
WHERE p.proname = ANY ($1::text[])
