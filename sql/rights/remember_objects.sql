-- Frozen at the beginning of each migration that creates objects: what is there already keeps its
-- grants.
DO $$
BEGIN
    PERFORM set_config(
        'notification_cleanup.existing',
        (
            SELECT coalesce(array_agg(format('%s %s', o.class, o.oid)), '{}')::text
            FROM (
                SELECT
                    c.tableoid AS class,
                    c.oid,
                    c.relnamespace AS namespace
                FROM pg_class AS c
                UNION ALL
                SELECT
                    p.tableoid,
                    p.oid,
                    p.pronamespace
                FROM pg_proc AS p
                UNION ALL
                SELECT
                    t.tableoid,
                    t.oid,
                    t.typnamespace
                FROM pg_type AS t
            ) AS o
            JOIN pg_namespace AS namespace ON namespace.oid = o.namespace
            WHERE namespace.nspname = current_schema()
        ),
        true
    );
END
$$;
