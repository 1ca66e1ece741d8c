-- Frozen at the end of each migration that creates objects: nobody but the owner may use what is
-- new, whomever the default privileges of this role, schema or database name. A grant that somebody
-- makes later stays, since this is only for what was not there when the migration began.
DO $$
DECLARE
    v_revoke text;
BEGIN
    FOR v_revoke IN
        WITH objects AS (
            SELECT
                c.tableoid AS class,
                c.oid,
                c.relnamespace AS namespace,
                CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
                c.oid::regclass::text AS name,
                c.relowner AS owner,
                c.relacl AS privileges
            FROM pg_class AS c
            WHERE c.relkind IN ('r', 'p', 'v', 'S')
            UNION ALL
            SELECT
                p.tableoid,
                p.oid,
                p.pronamespace,
                'ROUTINE',
                p.oid::regprocedure::text,
                p.proowner,
                coalesce(p.proacl, acldefault('f', p.proowner))
            FROM pg_proc AS p
            UNION ALL
            SELECT
                t.tableoid,
                t.oid,
                t.typnamespace,
                'DOMAIN',
                t.oid::regtype::text,
                t.typowner,
                coalesce(t.typacl, acldefault('T', t.typowner))
            FROM pg_type AS t
            WHERE t.typtype = 'd'
        )
        SELECT DISTINCT format(
            'REVOKE ALL ON %s %s FROM %s',
            o.kind,
            o.name,
            CASE
                WHEN granted.grantee = oid '0' THEN 'PUBLIC'
                ELSE granted.grantee::regrole::text
            END
        )
        FROM objects AS o
        JOIN pg_namespace AS namespace ON namespace.oid = o.namespace
            AND namespace.nspname = current_schema()
        CROSS JOIN aclexplode(o.privileges) AS granted
        WHERE granted.grantee <> o.owner
            AND format('%s %s', o.class, o.oid) NOT IN (
                SELECT unnest(current_setting('notification_cleanup.existing')::text[])
            )
    LOOP
        EXECUTE v_revoke;
    END LOOP;
END
$$;
