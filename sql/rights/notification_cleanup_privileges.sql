-- What each use takes: every privilege, on which object. Documentation, doctor and tests have it
-- from here, and no list of grants stands anywhere else.
--
--     SELECT * FROM notification_cleanup_privileges() WHERE purpose = 'purge';
--
-- Whoever adds a routine that users call adds a line to entry_points; what it calls in turn is
-- found. Whoever adds a table adds what each use does with it.
CREATE OR REPLACE FUNCTION notification_cleanup_privileges()
RETURNS TABLE (
    purpose text,
    kind text,
    object text,
    object_id oid,
    privilege text,
    column_names name[]
)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
AS $$
WITH RECURSIVE entry_points (purpose, routine) AS (
    VALUES
        ('clean up', 'cleanup_notifications'),
        ('clean up', 'cleanup_notifications_in_batches'),
        ('clean up', 'plan_notification_cleanup'),
        ('clean up', 'cleanup_next_batch'),
        ('clean up', 'pace_notification_cleanup'),
        ('clean up', 'stop_notification_cleanup'),
        ('clean up', 'preview_notification_cleanup'),
        ('clean up', 'preview_notification_limits'),
        ('clean up', 'notification_stats'),
        ('clean up', 'explain_notification_cleanup'),
        ('undo', 'restore_notifications'),
        ('undo', 'restore_next_batch'),
        -- Whoever undoes a run wants nobody to do it again.
        ('undo', 'suspend_notification_cleanup'),
        ('undo', 'resume_notification_cleanup'),
        ('purge', 'purge_notifications'),
        ('purge', 'purge_next_batch'),
        ('watch', 'notification_cleanup_doctor'),
        ('watch', 'notification_cleanup_version'),
        ('watch', 'preview_notification_cleanup'),
        ('watch', 'preview_notification_limits'),
        ('watch', 'notification_stats'),
        ('watch', 'explain_notification_cleanup')
),
-- Without names of columns it is on the whole table.
on_relations (purpose, relation, privilege, column_names) AS (
    VALUES
        (
            'clean up',
            'notifications',
            'SELECT',
            '{ctid,tableoid,id,user_id,status,created_at,deleted_at}'::name[]
        ),
        ('clean up', 'notifications', 'UPDATE', '{deleted_at}'),
        ('clean up', 'notification_cleanup_runs', 'SELECT', NULL),
        ('clean up', 'notification_cleanup_runs', 'INSERT', '{id,max_notifications,min_keep}'),
        ('clean up', 'notification_cleanup_batches', 'SELECT', NULL),
        ('clean up', 'notification_cleanup_batches', 'INSERT', NULL),
        ('clean up', 'notification_cleanup_batches', 'UPDATE', NULL),
        ('clean up', 'notification_cleanup_batches', 'DELETE', NULL),
        ('clean up', 'notification_cleanup_open_runs', 'SELECT', NULL),
        ('clean up', 'notification_cleanup_open_runs', 'INSERT', NULL),
        ('clean up', 'notification_cleanup_open_runs', 'UPDATE', NULL),
        ('clean up', 'notification_cleanup_open_runs', 'DELETE', NULL),
        ('clean up', 'notification_cleanup_suspension', 'SELECT', NULL),
        -- Undo gives up what a run has left.
        (
            'undo',
            'notifications',
            'SELECT',
            '{ctid,tableoid,id,user_id,created_at,deleted_at}'
        ),
        ('undo', 'notifications', 'UPDATE', '{deleted_at}'),
        ('undo', 'notification_cleanup_runs', 'SELECT', NULL),
        ('undo', 'notification_cleanup_batches', 'SELECT', NULL),
        ('undo', 'notification_cleanup_batches', 'UPDATE', NULL),
        ('undo', 'notification_cleanup_batches', 'DELETE', NULL),
        ('undo', 'notification_cleanup_open_runs', 'SELECT', NULL),
        ('undo', 'notification_cleanup_open_runs', 'DELETE', NULL),
        ('undo', 'notification_cleanup_refused', 'SELECT', NULL),
        ('undo', 'notification_cleanup_refused', 'INSERT', NULL),
        ('undo', 'notification_cleanup_refused', 'DELETE', NULL),
        ('undo', 'notification_cleanup_suspension', 'SELECT', NULL),
        ('undo', 'notification_cleanup_suspension', 'INSERT', NULL),
        ('undo', 'notification_cleanup_suspension', 'UPDATE', NULL),
        ('undo', 'notification_cleanup_suspension', 'DELETE', NULL),
        (
            'purge',
            'notifications',
            'SELECT',
            '{ctid,tableoid,id,user_id,created_at,deleted_at}'
        ),
        -- It locks what it deletes.
        ('purge', 'notifications', 'UPDATE', '{deleted_at}'),
        ('purge', 'notifications', 'DELETE', NULL),
        ('purge', 'notification_cleanup_refused', 'SELECT', NULL),
        ('purge', 'notification_cleanup_refused', 'INSERT', NULL),
        ('purge', 'notification_cleanup_refused', 'DELETE', NULL),
        (
            'watch',
            'notifications',
            'SELECT',
            '{ctid,tableoid,id,user_id,status,created_at,deleted_at}'
        ),
        ('watch', 'notification_cleanup_runs', 'SELECT', NULL),
        ('watch', 'notification_cleanup_batches', 'SELECT', NULL),
        ('watch', 'notification_cleanup_open_runs', 'SELECT', NULL),
        ('watch', 'notification_cleanup_refused', 'SELECT', NULL),
        ('watch', 'notification_cleanup_suspension', 'SELECT', NULL),
        ('watch', 'notification_cleanup_health', 'SELECT', NULL),
        -- It forgets old runs.
        ('schedule', 'notification_cleanup_runs', 'SELECT', NULL),
        ('schedule', 'notification_cleanup_runs', 'DELETE', NULL),
        ('schedule', 'notification_cleanup_batches', 'SELECT', NULL)
    UNION ALL
    -- A run may add to its record, and not change which run it is.
    SELECT
        writer.purpose,
        'notification_cleanup_runs',
        'UPDATE',
        array_agg(a.attname ORDER BY a.attnum)
    FROM (VALUES ('clean up'), ('undo')) AS writer (purpose)
    JOIN pg_attribute AS a ON a.attrelid = to_regclass('notification_cleanup_runs')
        AND a.attnum > 0
        AND NOT a.attisdropped
        AND a.attname <> ALL (
            '{id,started_at,max_notifications,min_keep,invoked_by,application_name}'
        )
        AND (a.attname <> 'notifications_restored' OR writer.purpose = 'undo')
    GROUP BY writer.purpose
),
schema_of_ours AS (
    SELECT
        namespace.oid,
        namespace.nspname AS name
    FROM pg_namespace AS namespace
    WHERE namespace.nspname = current_schema()
),
-- Ours are those with this setting, and the procedure, which must not have any.
ours AS MATERIALIZED (
    SELECT
        p.oid,
        p.proname,
        p.prosrc
    FROM pg_proc AS p
    JOIN schema_of_ours AS s ON s.oid = p.pronamespace
    WHERE p.proconfig @> '{row_security=off}'
        OR p.prokind = 'p'
),
-- The catalog knows nothing of what a body calls. A name in a comment or in a message is taken for
-- a call as well: to execute what one need not execute gives nobody any right.
calls AS MATERIALIZED (
    SELECT DISTINCT
        caller.oid AS caller,
        callee.oid AS callee,
        callee.proname AS name
    FROM ours AS caller
    CROSS JOIN LATERAL regexp_matches(caller.prosrc, '([a-z_0-9]+)[(]', 'g') AS word (parts)
    JOIN ours AS callee ON callee.proname = word.parts[1]
),
-- What belongs to another use, such as the purge that the doctor recommends, ends the search.
called (purpose, routine) AS (
    SELECT
        e.purpose,
        o.oid
    FROM entry_points AS e
    JOIN ours AS o ON o.proname = e.routine
    UNION
    -- Whoever reads a view executes the functions in it.
    SELECT
        r.purpose,
        d.refobjid
    FROM on_relations AS r
    JOIN pg_rewrite AS w ON w.ev_class = to_regclass(r.relation)
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass
        AND d.objid = w.oid
        AND d.refclassid = 'pg_proc'::regclass
    WHERE r.relation <> 'notifications'
    UNION
    SELECT
        caller.purpose,
        c.callee
    FROM called AS caller
    JOIN calls AS c ON c.caller = caller.routine
    WHERE c.name NOT IN (SELECT e.routine FROM entry_points AS e)
        OR (caller.purpose, c.name::text) IN (
            SELECT
                e.purpose,
                e.routine
            FROM entry_points AS e
        )
),
needed AS (
    SELECT
        purpose.name AS purpose,
        'SCHEMA' AS kind,
        quote_ident(s.name::text) AS object,
        s.oid AS object_id,
        'USAGE' AS privilege,
        NULL::name[] AS column_names
    FROM (VALUES ('clean up'), ('undo'), ('purge'), ('watch'), ('schedule')) AS purpose (name)
    CROSS JOIN schema_of_ours AS s
    UNION ALL
    SELECT
        r.purpose,
        'TABLE',
        format('%I.%I', s.name, r.relation),
        c.oid,
        r.privilege,
        CASE
            -- Citus grants no columns.
            WHEN r.relation <> 'notifications' OR to_regclass('pg_dist_partition') IS NULL
                THEN r.column_names
        END
    FROM on_relations AS r
    CROSS JOIN schema_of_ours AS s
    JOIN pg_class AS c ON c.relnamespace = s.oid
        AND c.relname = r.relation
    UNION ALL
    SELECT
        c.purpose,
        'ROUTINE',
        format(
            '%I.%I(%s)',
            s.name,
            p.proname,
            (
                -- Where these statements are executed, our schema may not be in the search_path.
                SELECT string_agg(
                    CASE
                        WHEN t.typnamespace = s.oid THEN quote_ident(s.name::text) || '.'
                        ELSE ''
                    END || t.oid::regtype::text,
                    ', '
                    ORDER BY argument.number
                )
                FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS argument (type, number)
                JOIN pg_type AS t ON t.oid = argument.type
            )
        ),
        p.oid,
        'EXECUTE',
        NULL
    FROM called AS c
    JOIN pg_proc AS p ON p.oid = c.routine
    CROSS JOIN schema_of_ours AS s
    UNION ALL
    -- Where pg_cron is in this database. By row-level security everybody sees the own jobs.
    SELECT
        purpose.name,
        'SCHEMA',
        quote_ident(n.nspname::text),
        n.oid,
        'USAGE',
        NULL
    FROM (VALUES ('watch'), ('schedule')) AS purpose (name)
    JOIN pg_namespace AS n ON n.nspname = 'cron'
    JOIN pg_extension AS e ON e.extname = 'pg_cron'
    UNION ALL
    SELECT
        'schedule',
        'ROUTINE',
        format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
        p.oid,
        'EXECUTE',
        NULL
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
        AND n.nspname = 'cron'
    JOIN pg_extension AS e ON e.extname = 'pg_cron'
    WHERE p.proname IN ('schedule_in_database', 'unschedule')
    UNION ALL
    -- For max_replica_lag. Only a superuser can grant this, or whoever has it with ADMIN OPTION.
    SELECT
        'replicas',
        'ROLE',
        quote_ident(r.rolname::text),
        r.oid,
        'USAGE',
        NULL
    FROM pg_roles AS r
    WHERE r.rolname = 'pg_read_all_stats'
)
SELECT
    n.purpose,
    n.kind,
    n.object,
    n.object_id,
    n.privilege,
    n.column_names
FROM needed AS n
$$;
COMMENT ON FUNCTION notification_cleanup_privileges() IS
'Every privilege that a use takes: clean up, undo, purge, watch, schedule (with pg_cron, beside '
'what its jobs do) and replicas (for max_replica_lag). For notification_cleanup_grants(), which is '
'what to call.';
