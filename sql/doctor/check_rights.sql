-- sql/doctor/check_rights.sql: a run fails where its role lacks a grant that it needs. What only
-- undo, purge, flow control and monitoring need may be the business of another role.
WITH needed (privileges, relation, columns, is_optional) AS (
    VALUES
        (
            '{SELECT}'::text[],
            'notifications',
            '{ctid,tableoid,id,user_id,status,created_at,deleted_at}'::name[],
            false
        ),
        ('{UPDATE}', 'notifications', '{deleted_at}', false),
        ('{DELETE}', 'notifications', NULL, true),
        ('{SELECT}', 'notification_cleanup_runs', NULL, false),
        ('{INSERT}', 'notification_cleanup_runs', '{max_notifications,min_keep}', false),
        (
            '{UPDATE}',
            'notification_cleanup_runs',
            '{finished_at,users_over_limit,users_cleaned,users_still_over_limit,'
            'notifications_planned,notifications_deleted,notifications_skipped,'
            'notifications_changed}',
            false
        ),
        ('{UPDATE}', 'notification_cleanup_runs', '{notifications_restored}', true),
        ('{SELECT,INSERT,UPDATE,DELETE}', 'notification_cleanup_batches', NULL, false),
        ('{SELECT,INSERT,UPDATE,DELETE}', 'notification_cleanup_open_runs', NULL, false),
        ('{SELECT}', 'notification_cleanup_suspension', NULL, false),
        ('{INSERT,UPDATE,DELETE}', 'notification_cleanup_suspension', NULL, true),
        ('{SELECT}', 'notification_cleanup_health', NULL, true)
),
missing_on_relations AS (
    SELECT
        format(
            '%s%s ON %I.%I',
            array_to_string(n.privileges, ', '),
            ' (' || array_to_string(n.columns, ', ') || ')',
            current_schema(),
            n.relation
        ) AS privilege,
        n.is_optional
    FROM needed AS n
    CROSS JOIN unnest(n.privileges) AS p (privilege)
    LEFT JOIN pg_attribute AS a ON a.attrelid = to_regclass(n.relation)
        AND a.attname = ANY (n.columns)
    GROUP BY
        n.privileges,
        n.relation,
        n.columns,
        n.is_optional
    HAVING NOT bool_and(coalesce(
        has_column_privilege(a.attrelid, a.attnum, p.privilege),
        has_table_privilege(to_regclass(n.relation), p.privilege)
    ))
),
-- Ours are those with this setting, and the procedure, which must not have any.
missing_on_routines AS (
    SELECT
        format(
            'EXECUTE ON ROUTINE %I.%I(%s)',
            current_schema(),
            routine.proname,
            pg_get_function_identity_arguments(routine.oid)
        ) AS privilege,
        routine.proname = ANY (
            '{restore_notifications,restore_next_batch,purge_notifications,'
            'notification_deleted_shards,notification_replicas,notification_cleanup_doctor,'
            'notification_cron_jobs,preview_notification_limits,stop_notification_cleanup,'
            'suspend_notification_cleanup,resume_notification_cleanup}'
        ) AS is_optional
    FROM pg_proc AS routine
    JOIN pg_namespace AS namespace ON namespace.oid = routine.pronamespace
        AND namespace.nspname = current_schema()
    WHERE NOT has_function_privilege(routine.oid, 'EXECUTE')
        AND (
            routine.proconfig @> '{row_security=off}'
            OR routine.proname = 'cleanup_notifications_in_batches'
        )
),
missing AS (
    SELECT
        r.privilege,
        r.is_optional
    FROM missing_on_relations AS r
    UNION ALL
    SELECT
        r.privilege,
        r.is_optional
    FROM missing_on_routines AS r
    UNION ALL
    SELECT
        'pg_read_all_stats',
        true
    WHERE NOT pg_has_role('pg_read_all_stats', 'USAGE')
)
SELECT
    CASE
        WHEN bool_or(NOT m.is_optional) THEN 'failure'
        WHEN count(*) > 0 THEN 'note'
        ELSE 'ok'
    END AS severity,
    CASE count(*)
        WHEN 0 THEN NULL
        WHEN 1 THEN '1 grant is missing'
        ELSE count(*) || ' grants are missing'
    END || CASE WHEN bool_and(m.is_optional) THEN ', which no run needs' ELSE '' END AS found,
    string_agg(
        format('GRANT %s TO %I;', m.privilege, current_user),
        ' '
        ORDER BY
            m.is_optional,
            m.privilege
    ) AS advice
FROM missing AS m;
