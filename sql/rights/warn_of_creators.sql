-- Frozen at the end of the routines' migration.
DO $$
DECLARE
    v_found record;
BEGIN
    FOR v_found IN
        SELECT
            c.schema_name,
            c.creator
        FROM notification_schema_creators() AS c
    LOOP
        RAISE WARNING USING
            MESSAGE = format(
                '%s may create functions and operators in schema %I, which are executed by whoever '
                'cleans up where they match better than those of PostgreSQL',
                v_found.creator,
                v_found.schema_name
            ),
            HINT = format(
                'REVOKE CREATE ON SCHEMA %I FROM %s; or install into a schema of its own, with a '
                'view of the table.',
                v_found.schema_name,
                v_found.creator
            );
    END LOOP;
END
$$;
