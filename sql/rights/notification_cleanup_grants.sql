-- The statements that let a role do something, and nothing else:
--
--     SELECT notification_cleanup_grants('cleaner', '{clean up, undo}') \gexec
--
-- Execute them as the owner of the tables; after an upgrade once more, for what has been added.
CREATE OR REPLACE FUNCTION notification_cleanup_grants(
    role regrole,
    uses text[] DEFAULT '{clean up}'
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
AS $$
DECLARE
    v_accepted CONSTANT text[] := ARRAY[
        'clean up',
        'undo',
        'purge',
        'watch',
        'schedule',
        'replicas'
    ];
BEGIN
    IF (
        notification_cleanup_grants.role IS NOT NULL
        AND cardinality(notification_cleanup_grants.uses) > 0
        AND notification_cleanup_grants.uses <@ v_accepted
    ) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid grants: role => %L, uses => %L',
                notification_cleanup_grants.role,
                notification_cleanup_grants.uses
            ),
            HINT = format('uses takes one or more of %s.', array_to_string(v_accepted, ', '));
    END IF;

    RETURN QUERY
    -- The columns of several uses are granted together.
    WITH needed AS (
        SELECT
            p.kind,
            p.object,
            p.privilege,
            CASE
                WHEN bool_and(p.column_names IS NOT NULL)
                    THEN string_agg(DISTINCT quote_ident(c.name::text), ', ')
            END AS columns
        FROM notification_cleanup_privileges() AS p
        LEFT JOIN LATERAL unnest(p.column_names) AS c (name) ON true
        WHERE p.purpose = ANY (notification_cleanup_grants.uses)
        GROUP BY
            p.kind,
            p.object,
            p.privilege
    ),
    on_objects AS (
        SELECT
            n.kind,
            n.object,
            string_agg(
                concat_ws(' ', n.privilege, '(' || n.columns || ')'),
                ', '
                ORDER BY array_position('{SELECT,INSERT,UPDATE,DELETE}', n.privilege)
            ) AS privileges
        FROM needed AS n
        GROUP BY
            n.kind,
            n.object
    )
    SELECT format(
        CASE o.kind
            WHEN 'ROLE' THEN 'GRANT %3$s TO %4$s;'
            ELSE E'GRANT %1$s ON %2$s\n    %3$s\nTO %4$s;'
        END,
        o.privileges,
        o.kind,
        string_agg(o.object, E',\n    ' ORDER BY o.object),
        notification_cleanup_grants.role
    )
    FROM on_objects AS o
    GROUP BY
        o.kind,
        o.privileges
    ORDER BY
        array_position('{SCHEMA,TABLE,ROUTINE,ROLE}', o.kind),
        min(o.object);
END
$$;
COMMENT ON FUNCTION notification_cleanup_grants(regrole, text[]) IS
E'The GRANT statements that a role needs for some uses: clean up, undo, purge, watch (doctor, '
'health, history), schedule (with pg_cron) and replicas (max_replica_lag). In psql as the owner: '
'SELECT notification_cleanup_grants(''cleaner'', ''{clean up, undo}'') \\gexec';
