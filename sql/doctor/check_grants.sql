-- sql/doctor/check_grants.sql: who else may use what is ours. Roles that clean up, undo or watch
-- are meant to; PUBLIC is not, nor is a privilege that no use takes, which comes from a GRANT ALL.
WITH by_use AS MATERIALIZED (
    SELECT
        p.object_id,
        p.object,
        p.kind,
        array_agg(DISTINCT p.privilege) AS privileges
    FROM notification_cleanup_privileges() AS p
    JOIN pg_namespace AS namespace ON namespace.nspname = current_schema()
    LEFT JOIN pg_class AS c ON c.oid = p.object_id
        AND p.kind = 'TABLE'
    LEFT JOIN pg_proc AS routine ON routine.oid = p.object_id
        AND p.kind = 'ROUTINE'
    WHERE namespace.oid IN (c.relnamespace, routine.pronamespace)
        AND p.object_id <> to_regclass('notifications')  -- that is the application's
    GROUP BY
        p.object_id,
        p.object,
        p.kind
),
-- And what no use takes: the numbers of the runs, and goose's table.
ours AS (
    SELECT
        u.object_id,
        u.object,
        u.kind,
        u.privileges
    FROM by_use AS u
    UNION ALL
    SELECT
        c.oid,
        format('%I.%I', namespace.nspname, c.relname),
        'TABLE',
        '{}'
    FROM pg_class AS c
    JOIN pg_namespace AS namespace ON namespace.oid = c.relnamespace
        AND namespace.nspname = current_schema()
    WHERE c.relkind IN ('r', 'S')
        AND c.relname IN (
            'notification_cleanup_runs_id_seq',
            'notification_cleanup_schema_version',
            'notification_cleanup_schema_version_id_seq'
        )
),
granted AS (
    SELECT
        o.object,
        o.kind,
        g.grantee,
        g.privilege_type,
        g.grantee = oid '0' OR g.privilege_type <> ALL (o.privileges) AS is_odd
    FROM ours AS o
    CROSS JOIN LATERAL (
        SELECT
            c.relowner,
            c.relacl
        FROM pg_class AS c
        WHERE c.oid = o.object_id
            AND o.kind = 'TABLE'
        UNION ALL
        SELECT
            c.relowner,
            a.attacl
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.oid = o.object_id
            AND o.kind = 'TABLE'
        UNION ALL
        SELECT
            p.proowner,
            coalesce(p.proacl, acldefault('f', p.proowner))
        FROM pg_proc AS p
        WHERE p.oid = o.object_id
            AND o.kind = 'ROUTINE'
    ) AS owned (owner, privileges)
    CROSS JOIN aclexplode(owned.privileges) AS g
    WHERE g.grantee <> owned.owner
),
grantees AS (
    SELECT
        CASE WHEN g.grantee = oid '0' THEN 'PUBLIC' ELSE g.grantee::regrole::text END AS grantee,
        count(DISTINCT g.object) FILTER (WHERE g.kind = 'ROUTINE') AS routines,
        string_agg(DISTINCT g.object, ', ') FILTER (WHERE g.kind = 'ROUTINE') AS executes,
        string_agg(DISTINCT g.object, ', ') FILTER (WHERE g.privilege_type = 'SELECT') AS reads,
        string_agg(DISTINCT g.object, ', ')
            FILTER (WHERE g.kind = 'TABLE' AND g.privilege_type <> 'SELECT') AS writes,
        bool_or(g.is_odd) AS is_odd,
        'REVOKE ALL ON ROUTINE '
            || string_agg(DISTINCT g.object, ', ') FILTER (WHERE g.kind = 'ROUTINE')
            AS revoke_routines,
        'REVOKE ALL ON TABLE '
            || string_agg(DISTINCT g.object, ', ') FILTER (WHERE g.kind = 'TABLE')
            AS revoke_tables
    FROM granted AS g
    GROUP BY g.grantee
)
SELECT
    CASE
        WHEN bool_or(g.is_odd) THEN 'warning'
        WHEN count(*) > 0 THEN 'note'
        ELSE 'ok'
    END AS severity,
    string_agg(
        format('%s may ', g.grantee) || concat_ws(
            ', ',
            'execute ' || CASE
                WHEN g.routines > 3 THEN g.routines || ' routines'
                ELSE g.executes
            END,
            'read ' || g.reads,
            'write ' || g.writes
        ),
        '; '
    ) AS found,
    string_agg(
        concat_ws(
            ' ',
            g.revoke_routines || format(' FROM %s;', g.grantee),
            g.revoke_tables || format(' FROM %s;', g.grantee)
        ),
        ' '
    ) FILTER (WHERE g.is_odd) AS advice
FROM grantees AS g;
