-- Written by make snapshot: edit sql/, never this copy.

-- +goose Up
-- SET search_path FROM CURRENT then pins the schema that goose installs into,
-- and temporary objects last.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- For Citus: routines and history are the coordinator's alone.
SET LOCAL citus.enable_ddl_propagation = off;

-- frozen copy of sql/citus/notification_deleted_shards.sql
-- Where the notifications lie that purge or undo comes to next: for Citus, which locks rows in one shard only.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_deleted_shards(deleted_from timestamptz, deleted_before timestamptz, max_rows integer)
RETURNS TABLE (user_ids notification_user_id[], notifications bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
BEGIN
    IF notification_shards('{}') IS NULL THEN
        RETURN QUERY SELECT NULL::notification_user_id[], max_rows::bigint;
        RETURN;
    END IF;
    DO $citus$ BEGIN  -- the workers plan as the caller does
        SET LOCAL citus.propagate_set_commands = 'local';
        SET LOCAL enable_hashjoin = off; SET LOCAL random_page_cost = 0;
    END $citus$;
    RETURN QUERY
    SELECT array_agg(u.user_id), sum(u.notifications)::bigint
    FROM (
        SELECT array_agg(c.user_id) AS user_ids, array_agg(c.notifications) AS notifications
        FROM (
            SELECT n.user_id::notification_user_id, count(*) AS notifications
            FROM (
                SELECT n.user_id FROM notifications AS n WHERE n.deleted_at >= deleted_from AND n.deleted_at < deleted_before
                ORDER BY n.deleted_at LIMIT least(max_rows, 100000)
            ) AS n
            GROUP BY n.user_id
        ) AS c
    ) AS all_users
    CROSS JOIN unnest(all_users.user_ids, all_users.notifications, notification_shards(all_users.user_ids)) AS u (user_id, notifications, shard)
    GROUP BY u.shard;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_deleted_shards(timestamptz, timestamptz, integer) IS
'Of the first max_rows notifications that were soft-deleted in that time, the users and how many they are: a row a shard where Citus distributes them, elsewhere one row with NULL for all users.';
REVOKE ALL ON FUNCTION notification_deleted_shards(timestamptz, timestamptz, integer) FROM PUBLIC;
-- end of sql/citus/notification_deleted_shards.sql

-- frozen copy of sql/citus/notification_shards.sql
-- Which shard each user's notifications are in, where the table is distributed by Citus: its batches stay within one.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_shards(user_ids notification_user_id[])
RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_shards bigint[];
BEGIN
    IF to_regclass('pg_dist_partition') IS NOT NULL THEN
        EXECUTE $shards$  -- because elsewhere there is no such function
            SELECT ARRAY(SELECT get_shard_id_for_distribution_column(p.logicalrelid, u.user_id) FROM unnest($1) WITH ORDINALITY AS u (user_id, number) ORDER BY u.number)
            FROM pg_dist_partition AS p
            WHERE p.logicalrelid = 'notifications'::regclass AND p.partmethod = 'h'
        $shards$ INTO v_shards USING user_ids;
    END IF;
    RETURN v_shards;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_shards(notification_user_id[]) IS
'The shard of each of these users, where Citus distributes the notifications; NULL where they are in one place.';
REVOKE ALL ON FUNCTION notification_shards(notification_user_id[]) FROM PUBLIC;
-- end of sql/citus/notification_shards.sql

-- frozen copy of sql/doctor/notification_cleanup_doctor.sql.tmpl
-- Is all well, for this role and on this server? A row a check, in the order below. `make snapshot`
-- fills in the checks, each from its file: that of "row-level security" is
-- check_row_level_security.sql. A check is one SELECT of one row (severity, found, advice).
--
--     SELECT * FROM notification_cleanup_doctor();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_cleanup_doctor()
RETURNS TABLE (
    name text,
    severity text,
    found text,
    advice text
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_name text;
    v_severity text;
    v_found text;
    v_advice text;
BEGIN
    FOREACH v_name IN ARRAY ARRAY[
        'rights',
        'table',
        'indexes',
        'row-level security',
        'triggers',
        'replica identity',
        'vacuum',
        'server',
        'last run',
        'unfinished runs',
        'max_wal_size',
        'idle in transaction',
        'pg_cron'
    ] LOOP
        BEGIN
            CASE v_name
                WHEN 'rights' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
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
            'notifications_planned,notifications_deleted,notifications_skipped}',
            false
        ),
        ('{UPDATE}', 'notification_cleanup_runs', '{notifications_restored}', true),
        ('{SELECT,INSERT,UPDATE,DELETE}', 'notification_cleanup_cutoffs', NULL, false),
        ('{SELECT,INSERT,UPDATE,DELETE}', 'notification_cleanup_batches', NULL, false),
        ('{SELECT,INSERT,UPDATE,DELETE}', 'notification_cleanup_throttles', NULL, false),
        ('{SELECT,INSERT,DELETE}', 'notification_cleanup_positions', NULL, false),
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
            'notification_cron_jobs,preview_notification_limits,stop_notification_cleanup}'
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
FROM missing AS m
) AS result;

                WHEN 'table' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_table.sql: the table must still be what it was when it was adopted. The routines
-- are made for its columns, and their types are those of our domains.
WITH wanted (name) AS (
    VALUES
        ('id'::name),
        ('user_id'),
        ('created_at'),
        ('status'),
        ('deleted_at'),
        ('ctid'),
        ('tableoid')
),
columns AS (
    SELECT
        w.name,
        c.oid AS relation,
        c.relkind,
        a.attnum,
        format_type(a.atttypid, a.atttypmod) AS type_name,
        t.typname AS domain_name,
        format_type(t.typbasetype, t.typtypmod) AS domain_type
    FROM wanted AS w
    LEFT JOIN pg_class AS c ON c.oid = to_regclass('notifications')
    LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid
        AND a.attname = w.name
    LEFT JOIN pg_type AS t ON t.oid = to_regtype('notification_' || w.name)
        AND w.name IN ('id', 'user_id', 'created_at')
),
problems AS (
    SELECT CASE
        WHEN c.attnum IS NULL THEN format('%s is missing', c.name)
        WHEN c.type_name <> c.domain_type
            THEN format('%s is not of type %s', c.name, c.domain_name)
        WHEN c.name = 'deleted_at'
            AND NOT pg_column_is_updatable(c.relation, c.attnum, false)
            THEN 'deleted_at cannot be updated'
        WHEN c.name = 'id'
            AND c.relkind <> 'v'
            AND NOT EXISTS (
                SELECT
                FROM pg_index AS i
                WHERE i.indrelid = c.relation
                    AND i.indisunique
                    AND i.indisvalid
                    AND i.indpred IS NULL
                    AND c.attnum = ANY (i.indkey)
            )
            THEN 'id has no unique index'
    END AS problem
    FROM columns AS c
)
SELECT
    CASE WHEN count(p.problem) = 0 THEN 'ok' ELSE 'failure' END AS severity,
    string_agg(p.problem, '; ' ORDER BY p.problem) AS found,
    'Undo that, or adopt it as it is now: notification-cleanup migrate down, and up.' AS advice
FROM problems AS p
) AS result;

                WHEN 'indexes' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_indexes.sql: without an index for live notifications each run reads the whole
-- table, and without one for deleted ones undo and purge do. Both work, but slowly.
SELECT
    CASE
        WHEN bool_and(i.index IS NOT NULL) IS NOT FALSE THEN 'ok'
        ELSE 'warning'
    END AS severity,
    string_agg(
        format('%s has no valid one for %s notifications', i.relation, i.purpose),
        '; '
    ) FILTER (WHERE i.index IS NULL) AS found,
    coalesce(
        string_agg(i.statement || ';', ' '),
        'Build one on what the view shows as user_id, WHERE what it shows as deleted_at IS NULL; '
        'and one on what it shows as deleted_at.'
    ) AS advice
FROM notification_cleanup_indexes() AS i
WHERE i.purpose IS NOT NULL
) AS result;

                WHEN 'row-level security' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_row_level_security.sql: where row-level security would hide rows from a run, it
-- fails instead of reporting too few. Behind a view the rights of the view's owner count, unless it
-- is a security_invoker.
WITH owner AS (
    SELECT v.relowner AS role
    FROM pg_class AS v
    WHERE v.oid = to_regclass('notifications')
        AND v.relkind = 'v'
        AND NOT EXISTS (
            SELECT
            FROM pg_options_to_table(v.reloptions) AS o
            WHERE o.option_name = 'security_invoker'
                AND o.option_value::boolean
        )
),
readers AS (
    SELECT
        t.relation,
        coalesce(owner.role, quote_ident(current_user)::regrole) AS role
    FROM notification_tables() AS t
    LEFT JOIN owner ON true
    UNION ALL
    SELECT
        ours.oid,
        quote_ident(current_user)::regrole
    FROM pg_class AS ours
    JOIN pg_namespace AS namespace ON namespace.oid = ours.relnamespace
        AND namespace.nspname = current_schema()
    WHERE starts_with(ours.relname, 'notification_cleanup_')
        AND ours.relname <> 'notification_cleanup_schema_version'
),
filtered AS (
    SELECT
        c.oid::regclass AS relation,
        role.rolname
    FROM readers AS r
    JOIN pg_class AS c ON c.oid = r.relation
    JOIN pg_roles AS role ON role.oid = r.role
    WHERE c.relrowsecurity
        AND NOT c.relispartition
        AND NOT role.rolsuper
        AND NOT role.rolbypassrls
        AND (c.relforcerowsecurity OR NOT pg_has_role(role.oid, c.relowner, 'USAGE'))
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'failure' END AS severity,
    string_agg(format('hides rows of %s from %I', f.relation, f.rolname), '; ') AS found,
    string_agg(DISTINCT format('ALTER ROLE %I BYPASSRLS;', f.rolname), ' ') AS advice
FROM filtered AS f
) AS result;

                WHEN 'triggers' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_triggers.sql: a trigger that fires when deleted_at is set fires for each
-- notification of a run, and whatever it waits for, the run waits for.
WITH firing AS (
    SELECT format('%s of %s fires', t.tgname, t.tgrelid::regclass) AS description
    FROM pg_trigger AS t
    JOIN notification_tables() AS behind ON behind.relation = t.tgrelid
    WHERE NOT t.tgisinternal
        AND t.tgparentid = 0
        AND t.tgenabled IN ('O', 'A')
        AND t.tgtype & 16 > 0  -- UPDATE
        AND (
            cardinality(t.tgattr::smallint[]) = 0
            OR EXISTS (
                SELECT
                FROM pg_attribute AS a
                WHERE a.attrelid = t.tgrelid
                    AND a.attnum = ANY (t.tgattr)
                    AND a.attname = 'deleted_at'
            )
        )
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END AS severity,
    string_agg(f.description, '; ') AS found,
    'Let it be cheap and wait for nobody, or limit it to UPDATE OF other columns.' AS advice
FROM firing AS f
) AS result;

                WHEN 'replica identity' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_replica_identity.sql: no row of a table can be updated that a publication
-- publishes the updates of, unless the table has a replica identity.
WITH published AS (
    SELECT
        c.oid::regclass AS relation,
        publication.pubname
    FROM notification_tables() AS behind
    JOIN pg_class AS c ON c.oid = behind.relation
    -- A partition is published through the table that it belongs to as well.
    JOIN pg_class AS whole ON whole.oid = c.oid
        OR whole.oid IN (SELECT pg_partition_ancestors(c.oid))
    JOIN pg_namespace AS namespace ON namespace.oid = whole.relnamespace
    JOIN pg_publication_tables AS p ON p.schemaname = namespace.nspname
        AND p.tablename = whole.relname
    JOIN pg_publication AS publication ON publication.pubname = p.pubname
        AND publication.pubupdate
    WHERE behind.is_leaf
        AND c.relreplident <> 'f'
        AND NOT EXISTS (
            SELECT
            FROM pg_index AS i
            WHERE i.indrelid = c.oid
                AND CASE c.relreplident
                    WHEN 'd' THEN i.indisprimary
                    WHEN 'i' THEN i.indisreplident
                END
        )
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'failure' END AS severity,
    string_agg(
        format('%s has none, for publication %s', p.relation, p.pubname),
        '; '
    ) AS found,
    string_agg(
        DISTINCT format('ALTER TABLE %s REPLICA IDENTITY FULL;', p.relation),
        ' '
    ) AS advice
FROM published AS p
) AS result;

                WHEN 'vacuum' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_vacuum.sql: counting by user stays index-only while the visibility map is fresh,
-- which takes a VACUUM now and then, and an autovacuum that does not wait for a fifth of the table.
WITH settings AS (
    SELECT
        t.relation,
        t.visible_share,
        max(o.option_value) FILTER (
            WHERE o.option_name = 'autovacuum_enabled'
        )::boolean IS FALSE AS is_off,
        coalesce(
            max(o.option_value) FILTER (
                WHERE o.option_name = 'autovacuum_vacuum_scale_factor'
            ),
            current_setting('autovacuum_vacuum_scale_factor')
        )::numeric AS scale_factor
    FROM notification_tables() AS t
    JOIN pg_class AS c ON c.oid = t.relation
    LEFT JOIN LATERAL pg_options_to_table(c.reloptions) AS o ON true
    WHERE t.pages >= 1000
    GROUP BY
        t.relation,
        t.visible_share
)
SELECT
    CASE
        WHEN bool_and(
            s.visible_share >= 0.9
            AND s.scale_factor <= 0.05
            AND NOT s.is_off
        ) IS NOT FALSE THEN 'ok'
        ELSE 'warning'
    END AS severity,
    string_agg(
        format(
            '%s: %s %% of pages all-visible, %s',
            s.relation,
            floor(100 * s.visible_share),
            CASE
                WHEN s.is_off THEN 'autovacuum is off'
                ELSE 'scale factor ' || s.scale_factor
            END
        ),
        '; '
    ) AS found,
    string_agg(
        format(
            'ALTER TABLE %s SET (autovacuum_enabled = on, autovacuum_vacuum_scale_factor = 0.01, '
            'autovacuum_vacuum_insert_scale_factor = 0.01); VACUUM %1$s;',
            s.relation
        ),
        ' '
    ) AS advice
FROM settings AS s
) AS result;

                WHEN 'server' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_server.sql: a standby shows what would go, but nothing can be deleted there.
SELECT
    CASE WHEN server.is_standby THEN 'note' ELSE 'ok' END AS severity,
    CASE WHEN server.is_standby THEN 'a standby' ELSE 'a primary' END AS found,
    'This is only to look; clean up on the primary.' AS advice
FROM pg_is_in_recovery() AS server (is_standby)
) AS result;

                WHEN 'last run' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_last_run.sql: a nightly run that has not ended for 26 hours has probably not
-- been started, or does not come to its end.
WITH last_run AS (
    SELECT date_trunc('second', now() - max(r.finished_at)) AS age
    FROM notification_cleanup_runs AS r
)
SELECT
    CASE
        WHEN r.age IS NULL THEN 'note'
        WHEN r.age < interval '26 hours' THEN 'ok'
        ELSE 'warning'
    END AS severity,
    coalesce('ended ' || r.age || ' ago', 'none yet') AS found,
    CASE
        WHEN r.age IS NOT NULL THEN 'Is it still scheduled? See its log.'
    END AS advice
FROM last_run AS r
) AS result;

                WHEN 'unfinished runs' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_unfinished_runs.sql: a run was stopped or killed and nobody goes on with it.
-- A session that rests between two batches still shows the call of the last one.
WITH unfinished AS (
    SELECT
        r.*,
        EXISTS (
            SELECT
            FROM notification_cleanup_throttles AS t
            WHERE t.run_id = r.id
                AND t.stopped_at IS NOT NULL
        ) AS is_stopped
    FROM notification_cleanup_runs AS r
    WHERE r.finished_at IS NULL
        AND EXISTS (
            SELECT
            FROM notification_cleanup_batches AS b
            WHERE b.run_id = r.id
        )
        AND NOT EXISTS (
            SELECT
            FROM pg_stat_activity AS a
            WHERE a.datname = current_database()
                AND (
                    a.query LIKE '%cleanup\_next\_batch%'
                    OR a.query LIKE '%cleanup\_notifications\_in\_batches%'
                )
        )
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END AS severity,
    string_agg(
        format(
            'run %s, %s of %s deleted%s',
            u.id,
            u.notifications_deleted,
            u.notifications_planned,
            CASE WHEN u.is_stopped THEN ', stopped' END
        ),
        '; '
    ) AS found,
    string_agg(
        format(
            'Whoever runs with max_notifications => %s, min_keep => %s goes on with run %s.',
            u.max_notifications,
            u.min_keep,
            u.id
        ),
        ' '
    ) AS advice
FROM unfinished AS u
) AS result;

                WHEN 'max_wal_size' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_max_wal_size.sql: a backlog that writes more WAL than max_wal_size forces
-- checkpoints, after each of which every page is written in full once more. A run writes each page
-- that it touches in full, and a new version of each row.
WITH limits AS (
    SELECT
        r.max_notifications,
        r.min_keep,
        r.id
    FROM notification_cleanup_runs AS r
    UNION ALL
    SELECT
        1000,
        100,
        0
),
last_limits AS (
    SELECT
        l.max_notifications,
        l.min_keep
    FROM limits AS l
    ORDER BY l.id DESC
    LIMIT 1
),
backlog AS (
    SELECT coalesce(sum(p.deletable_notifications), 0) AS rows
    FROM last_limits AS l
    CROSS JOIN preview_notification_cleanup(l.max_notifications, l.min_keep) AS p
),
size AS (
    SELECT
        sum(pg_relation_size(t.relation)) AS table_bytes,
        sum(pg_relation_size(t.relation) + pg_indexes_size(t.relation)) AS all_bytes,
        sum(greatest(c.reltuples, 0))::numeric AS rows
    FROM notification_tables() AS t
    JOIN pg_class AS c ON c.oid = t.relation
    WHERE t.is_leaf
),
written AS (
    SELECT
        b.rows,
        ceil(
            least(b.rows * current_setting('block_size')::numeric, s.all_bytes)
            + b.rows * coalesce(s.table_bytes / nullif(s.rows, 0), 0)
        )::bigint AS bytes
    FROM backlog AS b
    CROSS JOIN size AS s
)
SELECT
    CASE
        WHEN w.bytes > pg_size_bytes(current_setting('max_wal_size')) THEN 'warning'
        ELSE 'ok'
    END AS severity,
    format(
        '%s; deleting %s writes about %s%s',
        current_setting('max_wal_size'),
        w.rows,
        pg_size_pretty(w.bytes),
        -- On Citus the coordinator knows the size of its own tables only.
        CASE
            WHEN notification_shards('{}') IS NOT NULL THEN ' here, and the rest on the workers'
        END
    ) AS found,
    'Raise it for the first run, switch wal_compression on, or spread that over some nights with a '
    'time limit.' AS advice
FROM written AS w
) AS result;

                WHEN 'idle in transaction' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_idle_in_transaction.sql: what a session holds that does nothing is skipped by
-- every run, and VACUUM cannot clean up behind it.
WITH holders AS (
    SELECT
        a.pid,
        a.usename,
        date_trunc('second', a.state_change) AS since
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database()
        AND a.state LIKE 'idle in transaction%'
        AND a.state_change < now() - interval '1 second'
        AND EXISTS (
            SELECT
            FROM pg_locks AS l
            JOIN notification_tables() AS t ON t.relation = l.relation
            WHERE l.pid = a.pid
                AND l.mode <> 'AccessShareLock'
        )
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END AS severity,
    string_agg(
        format('process %s of %s since %s', h.pid, h.usename, h.since),
        '; '
    ) AS found,
    'What it holds is skipped. '
    || string_agg(format('SELECT pg_terminate_backend(%s);', h.pid), ' ')
    || ' And set idle_in_transaction_session_timeout.' AS advice
FROM holders AS h
) AS result;

                WHEN 'pg_cron' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_pg_cron.sql: a job of pg_cron that fails at night tells nobody. Its tables are
-- there only where the extension is, so notification_cron_jobs() asks for them by dynamic SQL.
WITH jobs AS (
    SELECT
        j.*,
        CASE
            WHEN NOT j.is_active THEN 'not active'
            ELSE coalesce(j.status, 'never ran')
        END AS state
    FROM notification_cron_jobs() AS j
)
SELECT
    CASE
        WHEN bool_or(j.state = 'failed') THEN 'failure'
        WHEN bool_or(j.state = 'not active') THEN 'warning'
        WHEN bool_or(j.state = 'never ran') OR count(*) = 0 THEN 'note'
        ELSE 'ok'
    END AS severity,
    coalesce(
        string_agg(format('%s: %s', j.name, j.state), '; '),
        CASE
            WHEN EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pg_cron')
                THEN 'no job in this database'
        END,
        'it is in database ' || (
            SELECT s.setting
            FROM pg_settings AS s
            WHERE s.name = 'cron.database_name'
        ),
        'not used here'
    ) AS found,
    concat_ws(
        ' ',
        'It said: ' || string_agg(j.message, ' ') FILTER (WHERE j.state = 'failed'),
        string_agg(format('SELECT cron.alter_job(%s, active => true);', j.id), ' ')
            FILTER (WHERE j.state = 'not active')
    ) AS advice
FROM jobs AS j
) AS result;

            END CASE;
            v_found := coalesce(v_found, 'nothing is wrong');
            v_advice := CASE WHEN v_severity <> 'ok' THEN nullif(v_advice, '') END;
        -- What this role may not see, or what the table no longer has, must not hide the rest.
        EXCEPTION WHEN OTHERS THEN
            v_severity := 'failure';
            v_found := 'not known: ' || SQLERRM;
            v_advice := 'Mend the other findings first.';
        END;
        RETURN QUERY
        SELECT
            v_name,
            v_severity,
            v_found,
            v_advice;
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_cleanup_doctor() IS
'Whether all is well for this role on this server: a row a check, with what was found and what to '
'do. severity: failure for what breaks the next run, warning for what slows it down or will do '
'harm, note for information, ok. Reads only, but as much as a preview; works on a hot standby, and '
'for a role with few rights.';
REVOKE ALL ON FUNCTION notification_cleanup_doctor() FROM PUBLIC;
-- end of sql/doctor/notification_cleanup_doctor.sql.tmpl

-- frozen copy of sql/doctor/notification_cleanup_indexes.sql
-- Which index serves each table behind notifications, and what builds it where none does.
--
--     SELECT * FROM notification_cleanup_indexes();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_cleanup_indexes()
RETURNS TABLE (
    relation regclass,
    purpose text,
    index regclass,
    statement text
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    WITH templates AS MATERIALIZED (
        SELECT
            t.*,
            format(
                '%sON %I.%I (%s)%s WHERE %s',
                -- An index of that name may be on a table that was renamed, or on another one.
                CASE
                    WHEN c.oid = 'notifications'::regclass AND name_taken.oid IS NULL
                        THEN format('notifications_%s_idx ', t.purpose)
                END,
                namespace.nspname,
                c.relname,
                -- An expression stands in parentheses of its own.
                CASE WHEN cardinality(t.included) > 0 THEN format('(%s)', t.key) ELSE t.key END,
                ' INCLUDE (' || nullif(array_to_string(t.included, ', '), '') || ')',
                t.condition
            ) AS definition
        FROM notification_index_templates() AS t
        JOIN pg_class AS c ON c.oid = t.relation
        JOIN pg_namespace AS namespace ON namespace.oid = c.relnamespace
        LEFT JOIN pg_class AS name_taken ON name_taken.relnamespace = c.relnamespace
            AND name_taken.relname = format('notifications_%s_idx', t.purpose)
    ),
    -- Indexes that are just like the template, whether they are valid or not.
    alike AS MATERIALIZED (
        SELECT
            t.relation,
            t.purpose,
            i.indexrelid AS index,
            i.indisvalid AS is_valid,
            format('%I.%I', namespace.nspname, c.relname) AS name
        FROM templates AS t
        JOIN pg_index AS i ON i.indrelid = t.relation
            AND NOT i.indisunique
            AND i.indnkeyatts = 1
            AND i.indnatts = 1 + cardinality(t.included)
            AND pg_get_indexdef(i.indexrelid, 1, false) IN (t.key, format('(%s)', t.key))
            AND pg_get_expr(i.indpred, i.indrelid) = t.condition
        JOIN pg_class AS c ON c.oid = i.indexrelid
        JOIN pg_am AS m ON m.oid = c.relam
            AND m.amname = 'btree'
        JOIN pg_namespace AS namespace ON namespace.oid = c.relnamespace
    ),
    leaves AS MATERIALIZED (
        SELECT
            s.relation,
            s.purpose,
            coalesce(s.index, valid.index) AS index,
            valid.index IS NOT NULL AS has_alike,
            invalid.name AS invalid
        FROM notification_index_scans() AS s
        LEFT JOIN LATERAL (
            SELECT min(a.index)::regclass AS index
            FROM alike AS a
            WHERE a.relation = s.relation
                AND a.purpose = s.purpose
                AND a.is_valid
        ) AS valid ON true
        LEFT JOIN LATERAL (
            SELECT min(a.name) AS name
            FROM alike AS a
            WHERE a.relation = s.relation
                AND a.purpose = s.purpose
                AND NOT a.is_valid
        ) AS invalid ON true
    ),
    -- The partitioned table, from whose index a partition yet to come gets its own.
    roots AS (
        SELECT
            t.relation,
            t.purpose,
            t.definition,
            (
                SELECT i.indexrelid::regclass
                FROM pg_index AS i
                WHERE i.indrelid = t.relation
                    AND (
                        i.indexrelid IN (
                            SELECT a.index
                            FROM alike AS a
                            WHERE a.purpose = t.purpose
                        )
                        OR i.indexrelid IN (
                            SELECT pg_partition_root(l.index)
                            FROM leaves AS l
                            WHERE l.purpose = t.purpose
                        )
                    )
                ORDER BY
                    i.indisvalid DESC,
                    i.indexrelid
                LIMIT 1
            ) AS index
        FROM templates AS t
        JOIN pg_class AS c ON c.oid = t.relation
            AND c.relkind = 'p'
        WHERE NOT EXISTS (
            SELECT
            FROM pg_inherits AS i
            JOIN notification_tables() AS parent ON parent.relation = i.inhparent
            WHERE i.inhrelid = t.relation
        )
    ),
    found AS (
        SELECT
            l.relation,
            l.purpose,
            l.index,
            true AS is_leaf,
            CASE
                WHEN l.index IS NOT NULL THEN NULL
                WHEN l.invalid IS NOT NULL THEN 'REINDEX INDEX CONCURRENTLY ' || l.invalid
                ELSE 'CREATE INDEX CONCURRENTLY ' || t.definition
            END AS statement
        FROM leaves AS l
        LEFT JOIN templates AS t ON t.relation = l.relation
            AND t.purpose = l.purpose
        UNION ALL
        SELECT
            r.relation,
            r.purpose,
            valid.indexrelid::regclass,
            false,
            -- Once each partition has its index, that of the partitioned table only takes them.
            -- Where another index serves a partition, this one would be built there, and would
            -- stop everybody meanwhile.
            CASE
                WHEN r.index IS NULL AND NOT EXISTS (
                    SELECT
                    FROM leaves AS l
                    WHERE l.purpose = r.purpose
                        AND l.index IS NOT NULL
                        AND NOT l.has_alike
                ) THEN 'SET LOCAL statement_timeout = ''2s''; CREATE INDEX ' || r.definition
            END
        FROM roots AS r
        LEFT JOIN pg_index AS valid ON valid.indexrelid = r.index
            AND valid.indisvalid
    )
    SELECT
        f.relation,
        CASE WHEN f.is_leaf THEN f.purpose END,
        f.index,
        f.statement
    FROM found AS f
    ORDER BY
        f.purpose DESC,
        f.is_leaf DESC,
        f.relation::oid;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_cleanup_indexes() IS
'For each table or partition behind notifications, and each purpose (live: find and rank; deleted: '
'purge and undo), the valid index that serves, or NULL and what builds it; that is NULL too where '
'a view of several tables does not tell.
A partitioned table itself has no purpose, and comes behind its partitions: its index is for '
'partitions to come. In psql: '
'SELECT statement FROM notification_cleanup_indexes() WHERE statement IS NOT NULL \gexec';
REVOKE ALL ON FUNCTION notification_cleanup_indexes() FROM PUBLIC;
-- end of sql/doctor/notification_cleanup_indexes.sql

-- frozen copy of sql/doctor/notification_cron_jobs.sql
-- The jobs of pg_cron in this database that clean up or purge, and how each ran the last time.
--
--     SELECT * FROM notification_cron_jobs();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_cron_jobs()
RETURNS TABLE (
    id bigint,
    name text,
    is_active boolean,
    status text,
    message text
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM pg_extension AS e
        WHERE e.extname = 'pg_cron'
    ) THEN
        RETURN;
    END IF;
    -- By row-level security pg_cron shows each role its own jobs, instead of an error.
    PERFORM set_config('row_security', 'on', true);
    -- EXECUTE, because there are no such tables where the extension is not.
    RETURN QUERY EXECUTE $jobs$
        SELECT
            j.jobid,
            coalesce(j.jobname::text, 'job ' || j.jobid),
            j.active,
            d.status,
            d.return_message
        FROM cron.job AS j
        LEFT JOIN LATERAL (
            SELECT
                d.status,
                d.return_message
            FROM cron.job_run_details AS d
            WHERE d.jobid = j.jobid
            ORDER BY d.runid DESC
            LIMIT 1
        ) AS d ON true
        WHERE j.database = current_database()
            AND (
                j.command LIKE '%cleanup\_notifications%'
                OR j.command LIKE '%purge\_notifications%'
            )
    $jobs$;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_cron_jobs() IS
'The jobs of pg_cron in this database that clean up or purge, of those that the caller may see, '
'with the status and the message of their last run; none where the extension is not.';
REVOKE ALL ON FUNCTION notification_cron_jobs() FROM PUBLIC;
-- end of sql/doctor/notification_cron_jobs.sql

-- frozen copy of sql/doctor/notification_index_scans.sql
-- Which index the planner has for each table behind notifications, for each of two purposes.
--
--     SELECT * FROM notification_index_scans();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_index_scans()
RETURNS TABLE (
    relation regclass,
    purpose text,
    index regclass
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- The whole table, a bitmap and a sort cost more than any index that serves.
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_live json;
    v_deleted json;
BEGIN
    -- Live notifications are counted from an index alone. The order keeps out an index that finds
    -- them without their users.
    EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON)
    SELECT n.user_id
    INTO v_live
    FROM notifications AS n
    WHERE n.deleted_at IS NULL
    ORDER BY n.user_id;
    -- Purge reads the oldest ones first, and undo those of one moment. No partition by time is left
    -- out: all of them are before infinity.
    EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON)
    SELECT n.deleted_at
    INTO v_deleted
    FROM notifications AS n
    WHERE n.deleted_at < 'infinity'
    ORDER BY n.deleted_at;

    RETURN QUERY
    WITH RECURSIVE nodes (purpose, node, is_sorted) AS (
        SELECT
            plan.purpose,
            plan.node,
            false
        FROM (VALUES
            ('live', v_live::jsonb #> '{0,Plan}'),
            ('deleted', v_deleted::jsonb #> '{0,Plan}')
        ) AS plan (purpose, node)
        UNION ALL
        SELECT
            parent.purpose,
            child.node,
            parent.is_sorted OR parent.node ->> 'Node Type' = 'Sort'
        FROM nodes AS parent
        CROSS JOIN jsonb_array_elements(parent.node -> 'Plans') AS child (node)
    ),
    -- An index is in the schema of its table.
    scans AS (
        SELECT
            t.relation,
            s.purpose,
            s.node,
            s.is_sorted,
            to_regclass(s.schema || quote_ident(s.node ->> 'Index Name')) AS index
        FROM (
            SELECT
                n.*,
                quote_ident(n.node ->> 'Schema') || '.' AS schema
            FROM nodes AS n
        ) AS s
        JOIN notification_tables() AS t ON t.is_leaf
            AND t.relation = to_regclass(s.schema || quote_ident(s.node ->> 'Relation Name'))
    )
    SELECT
        s.relation,
        s.purpose,
        max(s.index::oid) FILTER (
            WHERE CASE s.purpose
                -- The index alone, and not one of all notifications whose entries are filtered. A
                -- partial index that the planner takes has no other; a filter is that of a view.
                WHEN 'live' THEN
                    s.node ->> 'Node Type' = 'Index Only Scan'
                    AND (NOT s.node ? 'Filter' OR s.node ? 'Index Cond' OR i.indpred IS NOT NULL)
                WHEN 'deleted' THEN
                    s.node ? 'Index Cond'
                    AND NOT s.is_sorted
            END
        )::regclass
    FROM scans AS s
    LEFT JOIN pg_index AS i ON i.indexrelid = s.index
    GROUP BY
        s.relation,
        s.purpose;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_index_scans() IS
'For each table behind notifications that has any rows to look at, and each purpose (live: find '
'and count; deleted: purge and undo), the index by which the planner reads them, or NULL where '
'none serves. For notification_cleanup_indexes(), which is what to call.';
REVOKE ALL ON FUNCTION notification_index_scans() FROM PUBLIC;
-- end of sql/doctor/notification_index_scans.sql

-- frozen copy of sql/doctor/notification_index_templates.sql
-- What the two indexes of each table behind notifications are to be on.
--
--     SELECT * FROM notification_index_templates();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_index_templates()
RETURNS TABLE (
    relation regclass,
    purpose text,
    key text,
    included text[],
    condition text
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
-- Only the scan of a whole table shows what each of its columns is to the view.
SET enable_indexscan = off
SET enable_indexonlyscan = off
SET enable_bitmapscan = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_explained json;
    v_plan jsonb;
BEGIN
    IF EXISTS (
        SELECT
        FROM pg_class AS c
        WHERE c.oid = to_regclass('notifications')
            AND c.relkind <> 'v'
    ) THEN
        RETURN QUERY
        SELECT
            t.relation,
            template.purpose,
            template.key,
            ARRAY[]::text[],
            template.condition
        FROM notification_tables() AS t
        JOIN pg_class AS c ON c.oid = t.relation
            AND c.relkind IN ('r', 'p')
        CROSS JOIN (VALUES
            ('live', 'user_id', '(deleted_at IS NULL)'),
            ('deleted', 'deleted_at', '(deleted_at IS NOT NULL)')
        ) AS template (purpose, key, condition);
        RETURN;
    END IF;

    -- Behind a view the columns have other names, or are expressions. The plan has them in the
    -- words of the table; they are for printing only, for whoever owns the table.
    EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON)
    SELECT
        n.user_id,
        n.deleted_at
    INTO v_explained
    FROM notifications AS n;
    v_plan := v_explained::jsonb #> '{0,Plan}';
    IF v_plan ->> 'Node Type' = 'Seq Scan' THEN
        v_plan := jsonb_build_object('Plans', jsonb_build_array(v_plan));
    ELSIF v_plan ->> 'Node Type' <> 'Append' THEN
        RETURN;  -- The view joins several tables: there is no telling which column is whose.
    END IF;

    RETURN QUERY
    WITH scans AS (
        SELECT
            to_regclass(
                format('%I.%I', s.node ->> 'Schema', s.node ->> 'Relation Name')
            ) AS relation,
            -- Takes the alias away: the pattern matches that, or a whole literal, which stays.
            -- In E'', because standard_conforming_strings may be off.
            E'(\'[^\']*\')|(?<!\\w)'
                || regexp_replace(quote_ident(s.node ->> 'Alias'), E'(\\W)', E'\\\\\\1', 'g')
                || E'\\.' AS alias,
            s.node #>> '{Output,0}' AS user_id,
            s.node #>> '{Output,1}' AS deleted_at,
            s.node ->> 'Filter' AS filter
        FROM jsonb_array_elements(v_plan -> 'Plans') AS s (node)
        WHERE s.node ->> 'Node Type' = 'Seq Scan'
            AND NOT s.node ? 'Plans'
    ),
    columns AS (
        SELECT
            s.relation,
            regexp_replace(s.user_id, s.alias, E'\\1', 'g') AS user_id,
            regexp_replace(s.deleted_at, s.alias, E'\\1', 'g') AS deleted_at,
            regexp_replace(s.filter, s.alias, E'\\1', 'g') AS filter
        FROM scans AS s
    ),
    templates AS (
        SELECT
            c.relation,
            template.purpose,
            template.key,
            CASE
                WHEN c.filter IS NULL THEN template.condition
                ELSE format('(%s AND %s)', template.condition, c.filter)
            END AS condition
        FROM columns AS c
        CROSS JOIN LATERAL (VALUES
            ('live', c.user_id, format('(%s IS NULL)', c.deleted_at)),
            ('deleted', c.deleted_at, format('(%s IS NOT NULL)', c.deleted_at))
        ) AS template (purpose, key, condition)
    ),
    -- An index-only scan computes an expression from its columns, which have to be in the index
    -- beside it.
    complete AS (
        SELECT
            t.relation,
            t.purpose,
            t.key,
            ARRAY(
                SELECT quote_ident(a.attname)
                FROM pg_attribute AS a
                WHERE a.attrelid = t.relation
                    AND a.attnum > 0
                    AND NOT a.attisdropped
                    AND t.key ~ (
                        E'(?<![\\w"])'
                        || regexp_replace(quote_ident(a.attname), E'(\\W)', E'\\\\\\1', 'g')
                        || E'(?![\\w"])'
                    )
                    AND NOT EXISTS (
                        SELECT
                        FROM pg_attribute AS whole
                        WHERE whole.attrelid = t.relation
                            AND quote_ident(whole.attname) = t.key
                    )
                ORDER BY a.attnum
            ) AS included,
            t.condition
        FROM templates AS t
    )
    SELECT
        c.relation,
        c.purpose,
        c.key,
        c.included,
        c.condition
    FROM complete AS c
    UNION ALL
    -- A partitioned table behind the view is like any of its partitions.
    SELECT
        p.relation,
        any_leaf.purpose,
        any_leaf.key,
        any_leaf.included,
        any_leaf.condition
    FROM notification_tables() AS p
    JOIN pg_class AS partitioned ON partitioned.oid = p.relation
        AND partitioned.relkind = 'p'
    CROSS JOIN (
        SELECT DISTINCT ON (c.purpose)
            c.*
        FROM complete AS c
        ORDER BY
            c.purpose,
            c.relation::oid
    ) AS any_leaf;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_index_templates() IS
'For each table or partitioned table behind notifications, and each purpose, what an index that '
'serves is on: key, included columns, condition. Behind a view they are taken from what EXPLAIN '
'says, and are to be looked at before they are executed. For notification_cleanup_indexes(), '
'which is what to call.';
REVOKE ALL ON FUNCTION notification_index_templates() FROM PUBLIC;
-- end of sql/doctor/notification_index_templates.sql

-- frozen copy of sql/doctor/notification_tables.sql
-- Which relations are behind notifications, itself included: the tables that have the rows, and
-- the views and partitioned tables above those. Nothing else in the product looks for them.
--
--     SELECT * FROM notification_tables() WHERE is_leaf;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_tables()
RETURNS TABLE (
    relation regclass,
    is_leaf boolean,
    pages bigint,
    visible_share numeric
)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
WITH RECURSIVE behind (relation) AS (
    SELECT to_regclass('notifications')::oid
    UNION
    SELECT part.relation
    FROM behind AS b
    CROSS JOIN LATERAL (
        -- Partitions, and children by INHERITS.
        SELECT i.inhrelid
        FROM pg_inherits AS i
        WHERE i.inhparent = b.relation
        UNION ALL
        -- A view shows the rows of the relation that both of these columns come from.
        SELECT d.refobjid
        FROM pg_rewrite AS r
        JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass
            AND d.objid = r.oid
            AND d.refclassid = 'pg_class'::regclass
        JOIN pg_attribute AS a ON a.attrelid = d.refobjid
            AND a.attnum = d.refobjsubid
            AND a.attname IN ('ctid', 'tableoid')
        WHERE r.ev_class = b.relation
        GROUP BY d.refobjid
        HAVING count(DISTINCT a.attname) = 2
    ) AS part (relation)
)
SELECT
    c.oid::regclass AS relation,
    c.relkind = 'r' AS is_leaf,
    size.pages,
    -- After a TRUNCATE more pages are known as visible than there are.
    CASE
        WHEN size.pages > 0 THEN least(c.relallvisible / size.pages::numeric, 1)
    END AS visible_share
FROM behind AS b
JOIN pg_class AS c ON c.oid = b.relation
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN c.relkind = 'r'
            THEN pg_relation_size(c.oid) / current_setting('block_size')::bigint
        ELSE 0
    END AS pages
) AS size
ORDER BY c.oid
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_tables() IS
'Every relation behind notifications, itself included. is_leaf: an ordinary table, which has rows '
'of its own (a partition, a child by INHERITS, the table behind a view); false for a view and for '
'a partitioned table. visible_share: the part of its pages that are all-visible, NULL for none.';
REVOKE ALL ON FUNCTION notification_tables() FROM PUBLIC;
-- end of sql/doctor/notification_tables.sql

-- frozen copy of sql/pace/notification_replicas.sql
-- Which standbys and slots there are, and how far each of them has come.
--
--     SELECT * FROM notification_replicas();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_replicas()
RETURNS TABLE (
    replica text,
    lsn pg_lsn
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF NOT pg_has_role('pg_read_all_stats', 'USAGE') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format(
                'max_replica_lag: %I may not see how far the standbys are behind',
                current_user
            ),
            HINT = format(
                'GRANT pg_read_all_stats TO %I, or leave max_replica_lag NULL.',
                current_user
            );
    END IF;
    RETURN QUERY
    SELECT
        format('standby %I', r.application_name),
        r.replay_lsn
    FROM pg_stat_replication AS r
    WHERE r.replay_lsn IS NOT NULL
    UNION ALL
    -- An active physical slot is that of a standby, which is listed above, or of a backup.
    SELECT
        format('%s slot %I', s.slot_type, s.slot_name),
        coalesce(s.confirmed_flush_lsn, s.restart_lsn)
    FROM pg_replication_slots AS s
    WHERE s.wal_status <> 'lost'
        AND (s.slot_type = 'logical' OR NOT s.active);
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_replicas() IS
'What max_replica_lag waits for: each standby with the position that it has replayed, each logical '
'slot with the position that its reader has confirmed, and each slot of a standby that is away.';
REVOKE ALL ON FUNCTION notification_replicas() FROM PUBLIC;
-- end of sql/pace/notification_replicas.sql

-- frozen copy of sql/pace/stop_notification_cleanup.sql
-- Stops a run that is under way, whoever works on it.
--
--     SELECT stop_notification_cleanup(7);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION stop_notification_cleanup(
    run_id bigint
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM notification_cleanup_runs AS r
        WHERE r.id = stop_notification_cleanup.run_id
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'no cleanup run %s',
                coalesce(stop_notification_cleanup.run_id::text, 'NULL')
            ),
            HINT = 'run_id takes an id of notification_cleanup_runs.';
    END IF;
    UPDATE notification_cleanup_throttles AS t
    SET stopped_at = clock_timestamp()
    WHERE t.run_id = stop_notification_cleanup.run_id;
    RETURN FOUND;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION stop_notification_cleanup(bigint) IS
'Lets every session that works on a run end after its batch, with a notice; what they deleted '
'stays. Returns whether the run had anything left.
The next call of the job with the same limits goes on with it. Not for cleanup_notifications(), '
'which is one statement: cancel that.';
REVOKE ALL ON FUNCTION stop_notification_cleanup(bigint) FROM PUBLIC;
-- end of sql/pace/stop_notification_cleanup.sql

-- frozen copy of sql/pace/throttle_notification_cleanup.sql
-- Waits until a batch of the run may begin, but a second at most, with no lock on anything but its own notes.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION throttle_notification_cleanup(run_id bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_throttle notification_cleanup_throttles;
    v_reason text;
    v_told boolean := false;
    v_called_at CONSTANT timestamptz := clock_timestamp();
BEGIN
    LOOP
        SELECT t.* INTO v_throttle FROM notification_cleanup_throttles AS t
        WHERE t.run_id = throttle_notification_cleanup.run_id AND EXISTS (SELECT FROM notification_cleanup_batches AS b WHERE b.run_id = t.run_id AND NOT b.done);
        IF v_throttle.stopped_at IS NOT NULL THEN
            RAISE NOTICE 'run %: stopped by stop_notification_cleanup(), the next call of the job goes on from here', run_id;
            RETURN NULL;
        ELSIF v_throttle.rest_until > clock_timestamp() THEN
            v_reason := format('resting for %s seconds, pause_factor is %s', round(extract(epoch FROM v_throttle.rest_until - clock_timestamp())::numeric, 1), v_throttle.pause_factor);
        ELSIF v_throttle.max_replica_lag IS NOT NULL THEN
            -- A replica is so far behind if it has not come to where the primary was that long ago, or when the run was planned.
            INSERT INTO notification_cleanup_positions (run_id, at, lsn)
            SELECT v_throttle.run_id, clock_timestamp(), pg_current_wal_flush_lsn()
            WHERE clock_timestamp() - least(v_throttle.max_replica_lag / 10, interval '1 second') > (
                SELECT p.at FROM notification_cleanup_positions AS p WHERE p.run_id = v_throttle.run_id ORDER BY p.lsn DESC, p.at DESC LIMIT 1
            );
            SELECT format('%s is %s behind, and more than max_replica_lag, %s', r.replica, pg_size_pretty(pg_current_wal_flush_lsn() - r.lsn), v_throttle.max_replica_lag)
            INTO v_reason
            FROM notification_replicas() AS r
            WHERE (SELECT p.at FROM notification_cleanup_positions AS p WHERE p.run_id = v_throttle.run_id AND p.lsn > r.lsn ORDER BY p.lsn, p.at LIMIT 1)
                < clock_timestamp() - v_throttle.max_replica_lag
            ORDER BY r.lsn LIMIT 1;
        END IF;
        EXIT WHEN v_reason IS NULL OR clock_timestamp() > v_called_at + interval '0.9 seconds';
        IF NOT v_told THEN RAISE NOTICE 'run %: waiting, %', run_id, v_reason; END IF;
        v_told := true;
        v_reason := NULL;
        PERFORM pg_sleep(0.05);
    END LOOP;
    RETURN v_reason IS NULL;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION throttle_notification_cleanup(bigint) IS
'Flow control, for cleanup_next_batch(): true when a batch may begin, false after a second of waiting, for the reason that it gave in a notice, NULL when the run was stopped.';
REVOKE ALL ON FUNCTION throttle_notification_cleanup(bigint) FROM PUBLIC;
-- end of sql/pace/throttle_notification_cleanup.sql

-- frozen copy of sql/rule/notification_excess.sql
-- The rule: who has more than max_notifications live notifications, how many of them go, and which is the newest that goes.
-- Nothing else finds or ranks: preview and plan are made from it.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_excess(
    max_notifications integer, min_keep integer, user_ids notification_user_id[], as_of timestamptz, to_delete boolean
)
RETURNS TABLE (user_id notification_user_id, total bigint, unread bigint, deletable bigint,
    created_at notification_created_at, id notification_id, shard bigint, pages bigint[])
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET row_security = off  -- a caller whom it would filter gets an error, never "0 deleted"
SET jit = off SET plan_cache_mode = force_custom_plan  -- for a few users, a generic plan would read the whole table
AS $$
#variable_conflict use_column
DECLARE
    v_user_ids notification_user_id[];
    v_totals bigint[];
    v_shards bigint[];
BEGIN
    IF (max_notifications >= 1 AND min_keep BETWEEN 0 AND max_notifications) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'max_notifications takes 1 or more, min_keep 0 to max_notifications.',
            MESSAGE = format('invalid limits: max_notifications => %L, min_keep => %L', max_notifications, min_keep);
    END IF;

    -- Find, by one index-only pass. EXECUTE, because PL/pgSQL gives parallel workers to no other query that it takes a value from.
    EXECUTE $find$
        SELECT array_agg(crowded.user_id), array_agg(crowded.total)
        FROM (
            SELECT n.user_id::notification_user_id, count(*) AS total
            FROM notifications AS n
            WHERE n.deleted_at IS NULL AND n.user_id IS NOT NULL AND ($2 IS NULL OR n.user_id = ANY ($2))
            GROUP BY n.user_id
            HAVING count(*) > $1
        ) AS crowded
    $find$ INTO v_user_ids, v_totals USING max_notifications, user_ids;
    IF v_user_ids IS NULL THEN RETURN; END IF;
    IF to_delete THEN v_shards := notification_shards(v_user_ids); END IF;

    RETURN QUERY
    SELECT crowded.user_id, crowded.total, coalesce(inbox.unread, 0), coalesce(inbox.deletable, 0), inbox.cutoff_at, inbox.cutoff_id,
        crowded.shard, inbox.pages
    FROM unnest(v_user_ids, v_totals, v_shards) AS crowded (user_id, total, shard)
    LEFT JOIN notification_inboxes(v_user_ids, min_keep, as_of, to_delete) AS inbox ON inbox.user_id = crowded.user_id ORDER BY 7, 4 DESC, 1;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_excess(integer, integer, notification_user_id[], timestamptz, boolean) IS
'The rule, for preview and plan: each user (of user_ids, unless NULL) with more than max_notifications live notifications as of then; how many, how many of them unread, how many to delete, and the newest that goes.
to_delete: instead of unread ones, the shard of the user, and the page of each notification that goes.';
REVOKE ALL ON FUNCTION notification_excess(integer, integer, notification_user_id[], timestamptz, boolean) FROM PUBLIC;
-- end of sql/rule/notification_excess.sql

-- frozen copy of sql/rule/notification_inboxes.sql
-- The ranking, by one pass over these inboxes: all of each, or, to delete, what may go at all, and on which page it lies.
-- Apart from the rule, because Citus ranks in all shards at once only what nothing else is joined to.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_inboxes(user_ids notification_user_id[], min_keep integer, as_of timestamptz, to_delete boolean)
RETURNS TABLE (user_id notification_user_id, unread bigint, deletable bigint, cutoff_at notification_created_at, cutoff_id notification_id, pages bigint[])
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET row_security = off
SET jit = off SET plan_cache_mode = force_custom_plan  -- for a few users, a generic plan would read the whole table
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        ranked.user_id::notification_user_id,
        count(*) FILTER (WHERE ranked.status = 'unread') AS unread,
        count(*) FILTER (WHERE ranked.deletable AND ranked.newest > min_keep) AS deletable,
        (array_agg(ranked.created_at) FILTER (WHERE ranked.deletable AND ranked.newest - 1 = min_keep))[1]::notification_created_at AS cutoff_at,
        (array_agg(ranked.id) FILTER (WHERE ranked.deletable AND ranked.newest - 1 = min_keep))[1]::notification_id AS cutoff_id,
        -- From the bytes of the ctid: from its text costs five times as much.
        array_agg((get_byte(ranked.place, 0)::bigint << 24) + (get_byte(ranked.place, 1) << 16) + (get_byte(ranked.place, 2) << 8)
            + get_byte(ranked.place, 3)) FILTER (WHERE to_delete AND ranked.newest > min_keep) AS pages
    FROM (
        SELECT live.*, tidsend(live.ctid) AS place,
            row_number() OVER (PARTITION BY live.user_id, live.deletable ORDER BY live.created_at DESC, live.id DESC) AS newest
        FROM (
            SELECT n.ctid, n.user_id, n.status, n.created_at, n.id, (n.status = 'read' AND n.created_at <= as_of) IS TRUE AS deletable
            FROM notifications AS n
            WHERE n.user_id = ANY (user_ids) AND n.deleted_at IS NULL
        ) AS live
        WHERE live.deletable OR NOT to_delete
    ) AS ranked
    GROUP BY ranked.user_id;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_inboxes(notification_user_id[], integer, timestamptz, boolean) IS
'The ranking of notification_excess(): of each of these users, what it returns of him.';
REVOKE ALL ON FUNCTION notification_inboxes(notification_user_id[], integer, timestamptz, boolean) FROM PUBLIC;
-- end of sql/rule/notification_inboxes.sql

-- frozen copy of sql/rule/notification_stats.sql
-- Live totals, counted in one pass over the live index.
--
--     SELECT * FROM notification_stats();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_stats(
    max_notifications integer DEFAULT 1000
)
RETURNS TABLE (
    total_notifications bigint,
    users_with_notifications bigint,
    users_over_limit bigint
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
AS $$
BEGIN
    IF (notification_stats.max_notifications >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid limit: max_notifications => %L',
                notification_stats.max_notifications
            ),
            HINT = 'max_notifications takes 1 or more.';
    END IF;
    RETURN QUERY
    SELECT
        coalesce(sum(inbox.total), 0)::bigint,
        count(inbox.user_id),
        count(inbox.user_id) FILTER (WHERE inbox.total > notification_stats.max_notifications)
    FROM (
        -- Rows without a user are one group of their own, which counts in the total only.
        SELECT
            n.user_id,
            count(*) AS total
        FROM notifications AS n
        WHERE n.deleted_at IS NULL
        GROUP BY n.user_id
    ) AS inbox;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_stats(integer) IS
'Live notifications, users who have any, and users with more than max_notifications of them. '
'Reads only; works on a hot standby.';
REVOKE ALL ON FUNCTION notification_stats(integer) FROM PUBLIC;
-- end of sql/rule/notification_stats.sql

-- frozen copy of sql/rule/preview_notification_cleanup.sql
-- The dry run: a row for each user over the limit, the one with the most to delete first.
--
--     SELECT * FROM preview_notification_cleanup(max_notifications => 500, min_keep => 50);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION preview_notification_cleanup(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100
)
RETURNS TABLE (
    user_id notification_user_id,
    total_notifications bigint,
    unread_notifications bigint,
    deletable_notifications bigint
)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT
    e.user_id,
    e.total,
    e.unread,
    e.deletable
FROM notification_excess(
    preview_notification_cleanup.max_notifications,
    preview_notification_cleanup.min_keep,
    NULL,
    statement_timestamp(),
    false
) AS e
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION preview_notification_cleanup(integer, integer) IS
'Dry run of cleanup_notifications() with the same limits: each user over the limit, with the live, '
'unread and deletable notifications. Reads only; works on a hot standby.';
REVOKE ALL ON FUNCTION preview_notification_cleanup(integer, integer) FROM PUBLIC;
-- end of sql/rule/preview_notification_cleanup.sql

-- frozen copy of sql/rule/preview_notification_limits.sql
-- Which limit is right? A row for each of several limits, all of them from one look at the table.
--
--     SELECT * FROM preview_notification_limits('{500,1000,2000}', min_keep => 50);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION preview_notification_limits(
    limits integer[] DEFAULT '{100,250,500,1000,2000,5000,10000}',
    min_keep integer DEFAULT 100
)
RETURNS TABLE (
    max_notifications integer,
    users_over_limit bigint,
    deletable_notifications bigint,
    deletable_percent numeric,
    users_still_over_limit bigint
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    -- NULL where one of the limits is NULL, or where there is none.
    v_smallest CONSTANT integer := (
        SELECT min(l)
        FROM unnest(preview_notification_limits.limits) AS l
        HAVING count(*) = count(l)
    );
BEGIN
    IF (
        v_smallest >= 1
        AND preview_notification_limits.min_keep BETWEEN 0 AND v_smallest
    ) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid limits: limits => %L, min_keep => %L',
                preview_notification_limits.limits,
                preview_notification_limits.min_keep
            ),
            HINT = 'limits takes one or more, each of 1 or more, '
                'min_keep 0 to the smallest of them.';
    END IF;
    -- A limit decides which users are over it, but not what goes of a user who is. So everybody
    -- over the smallest limit is ranked once, and serves every larger limit that they are over.
    RETURN QUERY
    SELECT
        l.max_notifications,
        count(e.total),
        coalesce(sum(e.deletable), 0)::bigint,
        coalesce(
            round(
                100 * sum(e.deletable)
                / (SELECT s.total_notifications FROM notification_stats() AS s),
                1
            ),
            0.0
        ),
        count(*) FILTER (WHERE e.total - e.deletable > l.max_notifications)
    FROM (
        SELECT DISTINCT unnest(preview_notification_limits.limits)
    ) AS l (max_notifications)
    LEFT JOIN notification_excess(
        v_smallest,
        preview_notification_limits.min_keep,
        NULL,
        statement_timestamp(),
        false
    ) AS e ON e.total > l.max_notifications
    GROUP BY l.max_notifications
    ORDER BY l.max_notifications;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION preview_notification_limits(integer[], integer) IS
'What each of these limits would do: as preview_notification_cleanup(max_notifications, min_keep) '
'in sum, and which percentage of all live notifications it would delete. Reads only; works on a '
'hot standby.';
REVOKE ALL ON FUNCTION preview_notification_limits(integer[], integer) FROM PUBLIC;
-- end of sql/rule/preview_notification_limits.sql

-- frozen copy of sql/run/cleanup_next_batch.sql
-- Does one batch of a run, or ends it: SELECT cleanup_next_batch(7); until it is NULL. Any number of sessions may call it.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_next_batch(run_id bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
SET plan_cache_mode = force_custom_plan  -- so that a condition on all users, or on all pages, folds away
SET enable_nestloop = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_batch notification_cleanup_batches;
    v_cutoffs record;
    v_kept notification_id[];
    v_lock_timeout text := current_setting('lock_timeout');
    v_called_at timestamptz := clock_timestamp();
    v_claimed_at timestamptz;
    v_may_begin boolean;
BEGIN
    DO $citus$ BEGIN  -- Citus pins its workers' plans too, if it is told by such a block; elsewhere it says nothing new
        SET LOCAL citus.propagate_set_commands = 'local';
        SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off; SET LOCAL jit = off;
    END $citus$;
    SELECT r.* INTO v_run FROM notification_cleanup_runs AS r WHERE r.id = cleanup_next_batch.run_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'run_id takes the id of a run: plan_notification_cleanup() opens one.',
            MESSAGE = format('no cleanup run %s', coalesce(run_id::text, 'NULL'));
    END IF;
    v_may_begin := throttle_notification_cleanup(v_run.id);
    IF v_may_begin IS NOT TRUE THEN RETURN CASE WHEN NOT v_may_begin THEN 0::bigint END; END IF;
    LOOP
        SELECT b.* INTO v_batch FROM notification_cleanup_batches AS b WHERE b.run_id = v_run.id AND NOT b.done
        ORDER BY b.attempts, b.number LIMIT 1 FOR UPDATE SKIP LOCKED;
        EXIT WHEN FOUND;
        IF NOT EXISTS (SELECT FROM notification_cleanup_batches AS b WHERE b.run_id = v_run.id AND NOT b.done) THEN
            PERFORM FROM notification_cleanup_runs AS r WHERE r.id = v_run.id FOR UPDATE SKIP LOCKED;
            IF FOUND THEN
                PERFORM end_notification_cleanup(v_run.id, true);
                RETURN NULL;
            END IF;
            v_called_at := '-infinity';  -- for whoever ends it waits for what has been locked here in vain
        END IF;
        PERFORM pg_sleep(0.05);
        IF clock_timestamp() > v_called_at + interval '0.9 seconds' THEN
            RETURN 0::bigint;
        END IF;
    END LOOP;
    PERFORM pg_sleep(0.1 * v_batch.attempts);  -- whoever was in the way gets on meanwhile
    v_claimed_at := clock_timestamp();
    SELECT array_agg(c.user_id) AS user_ids, array_agg(c.created_at) AS created_ats, array_agg(c.id) AS ids INTO v_cutoffs
    FROM notification_cleanup_cutoffs AS c
    WHERE c.run_id = v_run.id AND (v_batch.first_user IS NULL OR c.number >= v_batch.first_user AND c.number < v_batch.end_user);
    -- Lock what nobody holds, and update what was locked. SKIP LOCKED can wait all the same, for a row that is updated twice while it
    -- looks, and so can an application's trigger. Give way then, long before deadlock_timeout lets the server choose a victim.
    BEGIN
        WITH patience AS MATERIALIZED (
            -- Now the tables are locked: for those the caller's own lock_timeout counts.
            SELECT set_config('lock_timeout', CASE WHEN v_batch.attempts < 5 THEN '100ms' ELSE v_lock_timeout END, true) AS lock_timeout
        ),
        locked AS MATERIALIZED (
            SELECT n.user_id, n.id
            FROM notifications AS n
            JOIN unnest(v_cutoffs.user_ids, v_cutoffs.created_ats, v_cutoffs.ids) AS cutoff (user_id, created_at, id) ON cutoff.user_id = n.user_id
            WHERE (v_batch.first_user IS NULL OR n.user_id = ANY (v_cutoffs.user_ids))
                AND (v_batch.low IS NULL OR n.ctid >= v_batch.low AND n.ctid < v_batch.high)
                AND n.deleted_at IS NULL AND n.status = 'read' AND (n.created_at, n.id) <= (cutoff.created_at, cutoff.id)
                AND (SELECT p.lock_timeout FROM patience AS p) IS NOT NULL
            FOR NO KEY UPDATE OF n SKIP LOCKED
        ),
        soft_deleted AS (
            UPDATE notifications AS n SET deleted_at = v_run.started_at FROM locked
            WHERE (v_batch.first_user IS NULL OR n.user_id = ANY (v_cutoffs.user_ids))
                AND (v_batch.low IS NULL OR n.ctid >= v_batch.low AND n.ctid < v_batch.high)
                AND n.deleted_at IS NULL AND n.status = 'read' AND n.user_id = locked.user_id AND n.id = locked.id
            RETURNING n.user_id, n.id, n.deleted_at
        ),
        cleaned AS (
            SELECT s.user_id, count(*) AS deleted FROM soft_deleted AS s WHERE s.deleted_at = v_run.started_at GROUP BY s.user_id
        )
        SELECT
            coalesce(sum(c.deleted), 0)::bigint, array_agg(c.user_id::notification_user_id), array_agg(c.deleted),
            CASE WHEN (SELECT count(*) FROM locked) > coalesce(sum(c.deleted), 0) THEN  -- a trigger of the application has kept some
                ARRAY(SELECT locked.id::notification_id FROM locked WHERE locked.id NOT IN (SELECT s.id FROM soft_deleted AS s WHERE s.deleted_at = v_run.started_at))
            END
        INTO v_run.notifications_deleted, v_batch.user_ids, v_batch.deleted, v_kept
        FROM cleaned AS c;
    EXCEPTION
        WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN  -- the last: a row has moved to another partition
            IF v_batch.attempts >= 5 THEN
                RAISE;
            END IF;
            UPDATE notification_cleanup_batches AS b SET attempts = b.attempts + 1 WHERE b.run_id = v_run.id AND b.number = v_batch.number;
            RETURN 0::bigint;
    END;

    SELECT count(*), set_config('lock_timeout', v_lock_timeout, true)  -- both where the batch was
    INTO v_run.notifications_skipped, v_lock_timeout  -- is what is left
    FROM notifications AS n
    JOIN unnest(v_cutoffs.user_ids, v_cutoffs.created_ats, v_cutoffs.ids) AS cutoff (user_id, created_at, id) ON cutoff.user_id = n.user_id
    WHERE (v_batch.first_user IS NULL OR n.user_id = ANY (v_cutoffs.user_ids))
        AND (v_batch.low IS NULL OR n.ctid >= v_batch.low AND n.ctid < v_batch.high)
        AND n.deleted_at IS NULL AND n.status = 'read' AND (n.created_at, n.id) <= (cutoff.created_at, cutoff.id)
        AND (v_kept IS NULL OR n.id <> ALL (v_kept));
    UPDATE notification_cleanup_batches AS b SET done = true, user_ids = v_batch.user_ids, deleted = v_batch.deleted
    WHERE b.run_id = v_run.id AND b.number = v_batch.number;
    -- Last what all workers write, so that one waits for another no longer than a COMMIT takes.
    UPDATE notification_cleanup_throttles AS t
    SET rest_until = greatest(t.rest_until, clock_timestamp() + t.pause_factor * (clock_timestamp() - v_claimed_at))
    WHERE t.run_id = v_run.id AND t.pause_factor > 0;
    UPDATE notification_cleanup_runs AS r
    SET notifications_deleted = r.notifications_deleted + v_run.notifications_deleted,
        notifications_skipped = r.notifications_skipped + v_run.notifications_skipped
    WHERE r.id = v_run.id;
    RETURN v_run.notifications_deleted;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION cleanup_next_batch(bigint) IS
'Does one batch of a run of plan_notification_cleanup(), and returns how many notifications it deleted; skips rows that somebody holds.
Call it until it is NULL, each time in a transaction of its own: the run has ended then, or was stopped or given up. 0 also means that others are at work on all that is left, that the batch gave way to the application and comes again, or that it is not yet time for one: a notice says why.';
REVOKE ALL ON FUNCTION cleanup_next_batch(bigint) FROM PUBLIC;
-- end of sql/run/cleanup_next_batch.sql

-- frozen copy of sql/run/cleanup_notifications.sql
-- The job in one call and one transaction: SELECT * FROM cleanup_notifications(user_ids => ARRAY[42, 43]);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_notifications(
    max_notifications integer DEFAULT 1000, min_keep integer DEFAULT 100, user_ids notification_user_id[] DEFAULT NULL
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
BEGIN
    -- In as few batches as can be, because they are one transaction in any case. Nobody else sees the run before it has ended.
    v_run := open_notification_cleanup(max_notifications, min_keep, 9223372036854775807, user_ids);
    LOOP EXIT WHEN v_run.finished_at IS NOT NULL OR cleanup_next_batch(v_run.id) IS NULL; END LOOP;
    SELECT r.* INTO v_run FROM notification_cleanup_runs AS r WHERE r.id = v_run.id;
    RETURN v_run;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION cleanup_notifications(integer, integer, notification_user_id[]) IS
'Soft-deletes, for every user with more than max_notifications live notifications, all read ones except the min_keep newest, in one transaction; skips rows that somebody holds.
Returns the run''s record: SELECT * FROM cleanup_notifications(). user_ids: only those of the list who are over the limit.
Look before with preview_notification_cleanup(), undo with restore_notifications(id). On a table in use CALL cleanup_notifications_in_batches() instead: this holds what it deletes until its end.';
REVOKE ALL ON FUNCTION cleanup_notifications(integer, integer, notification_user_id[]) FROM PUBLIC;
-- end of sql/run/cleanup_notifications.sql

-- frozen copy of sql/run/cleanup_notifications_in_batches.sql
-- The job for pg_cron and for a backlog of any size: CALL cleanup_notifications_in_batches(time_limit => '2 hours');
-- +goose StatementBegin
CREATE OR REPLACE PROCEDURE cleanup_notifications_in_batches(
    max_notifications integer DEFAULT 1000, min_keep integer DEFAULT 100, batch_size integer DEFAULT 10000, time_limit interval DEFAULT NULL,
    pause_factor double precision DEFAULT 0, max_replica_lag interval DEFAULT NULL
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_run record;
    v_run_id bigint;  -- NULL: to be planned
    v_deleted bigint;
    v_called_at CONSTANT timestamptz := pg_catalog.clock_timestamp();
BEGIN
    -- A procedure that commits may carry no SET clause, and a local setting ends with its transaction.
    PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);
    BEGIN
        COMMIT;  -- never succeeds here, but the message tells whether it could outside of this block
    EXCEPTION WHEN invalid_transaction_termination THEN
        IF SQLERRM = 'invalid transaction termination' THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_termination',
                MESSAGE = 'cleanup_notifications_in_batches() commits, so it cannot run inside a transaction',
                HINT = 'CALL it alone: outside of BEGIN, not from a function, and as the only statement of its string. Inside a transaction use SELECT * FROM cleanup_notifications().';
        END IF;
    END;
    IF time_limit <= interval '0' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'time_limit takes a positive interval, or NULL for none.',
            MESSAGE = format('invalid limit: time_limit => %L', time_limit);
    END IF;
    LOOP
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;  -- at a stricter one this would fail, or the application, wherever the two meet
        PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);
        IF v_run_id IS NULL THEN
            SELECT * INTO v_run FROM plan_notification_cleanup(max_notifications, min_keep, batch_size, pause_factor, max_replica_lag);
            v_run_id := v_run.id;
            RAISE NOTICE 'run %: % users over the limit, % notifications to delete', v_run_id, v_run.users_over_limit, v_run.notifications_planned;
            EXIT WHEN v_run.finished_at IS NOT NULL;
        ELSE
            v_deleted := cleanup_next_batch(v_run_id);
            SELECT * INTO v_run FROM notification_cleanup_runs AS r WHERE r.id = v_run_id;
            IF v_deleted > 0 THEN
                RAISE NOTICE 'run %: % of % notifications deleted, % skipped, % elapsed', v_run_id, v_run.notifications_deleted,
                    v_run.notifications_planned, v_run.notifications_skipped, clock_timestamp() - v_called_at;
            ELSIF v_deleted IS NULL THEN
                EXIT WHEN v_run.started_at >= v_called_at OR v_run.finished_at IS NULL;  -- the latter: somebody stopped or undid it
                v_run_id := NULL;  -- that was what an earlier call had left
            END IF;
            EXIT WHEN clock_timestamp() - v_called_at >= time_limit;
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd
-- Writes the schema into the body: a caller's search_path must not decide what the procedure calls.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE replace(pg_get_functiondef('cleanup_notifications_in_batches(integer, integer, integer, interval, double precision, interval)'::regprocedure),
        '''schema of this procedure''', quote_literal(quote_ident(current_schema()) || ', pg_temp'));
END
$$;
-- +goose StatementEnd
COMMENT ON PROCEDURE cleanup_notifications_in_batches(integer, integer, integer, interval, double precision, interval) IS
'The job of cleanup_notifications() in batches of about batch_size notifications, with a COMMIT and a NOTICE of progress after each; stops after the batch that crosses time_limit. pause_factor and max_replica_lag: as of plan_notification_cleanup(); waiting counts against time_limit.
CALL it alone, not inside a transaction. What it leaves when it is stopped or killed, the next call with the same limits does first; two calls at the same time share the work.';
REVOKE ALL ON PROCEDURE cleanup_notifications_in_batches(integer, integer, integer, interval, double precision, interval) FROM PUBLIC;
-- end of sql/run/cleanup_notifications_in_batches.sql

-- frozen copy of sql/run/end_notification_cleanup.sql
-- Ends a run, or gives it up: it gets no finished_at then. Waits for batches in flight; does nothing where that has been done.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION end_notification_cleanup(run_id bigint, finished boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_cleaned bigint;
    v_left_over notification_user_id[];
BEGIN
    WITH done AS (
        DELETE FROM notification_cleanup_batches AS b WHERE b.run_id = end_notification_cleanup.run_id RETURNING b.user_ids, b.deleted
    ),
    cutoffs AS (
        DELETE FROM notification_cleanup_cutoffs AS c WHERE c.run_id = end_notification_cleanup.run_id RETURNING c.user_id, c.total, c.deletable
    ),
    cleaned AS (
        SELECT d.user_id, sum(d.deleted) AS deleted
        FROM done CROSS JOIN unnest(done.user_ids, done.deleted) AS d (user_id, deleted) GROUP BY d.user_id
    )
    SELECT
        CASE WHEN count(*) > 0 THEN count(cleaned.user_id) END,
        array_agg(c.user_id) FILTER (WHERE c.total - c.deletable <= r.max_notifications AND c.total - coalesce(cleaned.deleted, 0) > r.max_notifications)
    INTO v_cleaned, v_left_over
    FROM notification_cleanup_runs AS r
    CROSS JOIN cutoffs AS c
    LEFT JOIN cleaned ON cleaned.user_id = c.user_id
    WHERE r.id = end_notification_cleanup.run_id;
    -- Not before the batches: whoever does one writes there at its end.
    DELETE FROM notification_cleanup_throttles AS t WHERE t.run_id = end_notification_cleanup.run_id;
    -- Whom the plan would have brought under the limit, but the run did not, counts if he is over it now.
    UPDATE notification_cleanup_runs AS r
    SET finished_at = CASE WHEN finished THEN clock_timestamp() END, users_cleaned = v_cleaned,
        users_still_over_limit = r.users_still_over_limit
            + (SELECT count(*) FROM notification_excess(r.max_notifications, r.min_keep, coalesce(v_left_over, '{}'), now(), true))
    WHERE r.id = end_notification_cleanup.run_id AND v_cleaned IS NOT NULL;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION end_notification_cleanup(bigint, boolean) IS
'Ends a run for cleanup_next_batch(), or gives it up for plan_notification_cleanup() and restore_notifications(), which are what to call.';
REVOKE ALL ON FUNCTION end_notification_cleanup(bigint, boolean) FROM PUBLIC;
-- end of sql/run/end_notification_cleanup.sql

-- frozen copy of sql/run/open_notification_cleanup.sql
-- Opens a run: finds, ranks, and stores a cut-off for each user who has something to delete, and the batches that together delete it.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION open_notification_cleanup(
    max_notifications integer, min_keep integer, batch_size bigint, user_ids notification_user_id[]
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off SET jit = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_scans json;
BEGIN
    PERFORM notification_excess(max_notifications, min_keep, '{}', now(), true);  -- refuses bad limits before anything is written
    EXPLAIN (COSTS OFF, FORMAT JSON) SELECT n.user_id INTO v_scans FROM notifications AS n;  -- one for each partition, whatever is before them
    LOOP  -- started_at names the rows of a run, so two runs that open in the same microsecond must differ in it
        INSERT INTO notification_cleanup_runs (max_notifications, min_keep)
        VALUES (open_notification_cleanup.max_notifications, open_notification_cleanup.min_keep)
        ON CONFLICT (started_at) DO NOTHING RETURNING * INTO v_run;
        EXIT WHEN FOUND;
    END LOOP;
    -- Its id is new, unless somebody has emptied the history and begun to count again.
    DELETE FROM notification_cleanup_batches AS b WHERE b.run_id = v_run.id;
    DELETE FROM notification_cleanup_cutoffs AS c WHERE c.run_id = v_run.id;
    DELETE FROM notification_cleanup_throttles AS t WHERE t.run_id = v_run.id;
    WITH excess AS MATERIALIZED (
        SELECT e.*, sum(e.deletable) OVER (PARTITION BY e.shard ORDER BY e.number) - e.deletable AS before,
            CASE WHEN e.shard IS NOT NULL THEN min(e.number) OVER (PARTITION BY e.shard) END AS first_user,
            CASE WHEN e.shard IS NOT NULL THEN max(e.number) OVER (PARTITION BY e.shard) + 1 END AS end_user
        FROM notification_excess(v_run.max_notifications, v_run.min_keep, user_ids, v_run.started_at, true)
            WITH ORDINALITY AS e (user_id, total, unread, deletable, created_at, id, shard, pages, number)
    ),
    cutoffs AS (
        INSERT INTO notification_cleanup_cutoffs (run_id, number, user_id, total, deletable, created_at, id)
        SELECT v_run.id, e.number, e.user_id, e.total, e.deletable, e.created_at, e.id FROM excess AS e WHERE e.deletable > 0
    ),
    pages AS (
        SELECT e.shard, e.first_user, e.end_user, v.page, count(*) AS victims,
            v.page - coalesce(lag(v.page) OVER (PARTITION BY e.shard ORDER BY v.page) + 1, v.page) AS empty
        FROM excess AS e CROSS JOIN unnest(e.pages) AS v (page) GROUP BY e.shard, e.first_user, e.end_user, v.page
    ),
    -- A batch is a range of pages for all users, of the table or of a shard. An empty page weighs as much as a victim, so that no
    -- range spans a gap.
    ranges AS (
        SELECT p.first_user, p.end_user, min(p.page) AS first_page, max(p.page) + 1 AS end_page, sum(p.victims) AS victims, p.shard
        FROM (SELECT *, div(sum(victims + empty) OVER (PARTITION BY shard ORDER BY page) - victims, batch_size) AS batch FROM pages) AS p
        GROUP BY p.shard, p.first_user, p.end_user, p.batch
    ),
    -- Where that would read more pages, in each partition, than it deletes rows, it is some users for all pages; who has more than a batch is split by pages.
    shares AS (
        SELECT min(v.number) AS first_user, max(v.number) + 1 AS end_user, min(v.page) AS first_page, max(v.page) + 1 AS end_page, v.shard
        FROM (
            SELECT e.shard, e.number, CASE WHEN e.deletable > batch_size THEN v.page END AS page, div(e.before, batch_size) AS batch,
                div(rank() OVER (PARTITION BY e.number ORDER BY v.page) - 1, batch_size) AS part
            FROM excess AS e CROSS JOIN unnest(e.pages) AS v (page)
            WHERE (
                SELECT sum(r.end_page - r.first_page) * (SELECT greatest(count(*), 1) FROM regexp_matches(v_scans::text, '"Relation Name"', 'g')) > sum(r.victims)
                FROM ranges AS r
            )
        ) AS v
        GROUP BY v.shard, v.batch, v.part
    ),
    batches AS (
        INSERT INTO notification_cleanup_batches (run_id, first_user, end_user, low, high)
        SELECT v_run.id, b.first_user, b.end_user, ('(' || b.first_page || ',0)')::tid, ('(' || b.end_page || ',0)')::tid
        FROM (
            SELECT s.* FROM shares AS s UNION ALL
            SELECT r.first_user, r.end_user, r.first_page, r.end_page, r.shard FROM ranges AS r WHERE NOT EXISTS (SELECT FROM shares)
        ) AS b
        ORDER BY row_number() OVER (PARTITION BY b.shard ORDER BY b.first_user, b.first_page), b.shard  -- so that workers are on all nodes
    )
    UPDATE notification_cleanup_runs AS r
    SET (finished_at, users_over_limit, users_still_over_limit, notifications_planned) = (
        SELECT CASE WHEN coalesce(sum(e.deletable), 0) = 0 THEN clock_timestamp() END, count(*),
            count(*) FILTER (WHERE e.total - e.deletable > r.max_notifications), coalesce(sum(e.deletable), 0)
        FROM excess AS e
    )
    WHERE r.id = v_run.id RETURNING r.* INTO v_run;
    RETURN v_run;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION open_notification_cleanup(integer, integer, bigint, notification_user_id[]) IS
'The plan of cleanup_notifications() and plan_notification_cleanup(), which are what to call: opens a run with its cut-offs and batches, and returns its record.';
REVOKE ALL ON FUNCTION open_notification_cleanup(integer, integer, bigint, notification_user_id[]) FROM PUBLIC;
-- end of sql/run/open_notification_cleanup.sql

-- frozen copy of sql/run/plan_notification_cleanup.sql
-- Opens a run for cleanup_next_batch(), or returns one that has not ended: SELECT * FROM plan_notification_cleanup(batch_size => 3000);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION plan_notification_cleanup(
    max_notifications integer DEFAULT 1000, min_keep integer DEFAULT 100, batch_size integer DEFAULT 10000,
    pause_factor double precision DEFAULT 0, max_replica_lag interval DEFAULT NULL
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_left_over notification_cleanup_runs;
    v_without_index text;
BEGIN
    IF (batch_size >= 1 AND pause_factor BETWEEN 0 AND 1000 AND coalesce(max_replica_lag > interval '0', true)) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            HINT = 'batch_size takes 1 or more, pause_factor 0 to 1000, max_replica_lag a positive interval, or NULL for none.',
            MESSAGE = format('invalid limits: batch_size => %L, pause_factor => %L, max_replica_lag => %L', batch_size, pause_factor, max_replica_lag);
    ELSIF max_replica_lag IS NOT NULL THEN
        PERFORM notification_replicas();  -- refuses whom it may not show them
    END IF;
    -- One plan at a time: who comes second finds the run of the first.
    PERFORM pg_advisory_xact_lock('pg_class'::regclass::oid::integer, 'notification_cleanup_runs'::regclass::oid::integer);
    FOR v_left_over IN
        SELECT * FROM notification_cleanup_runs AS r
        WHERE r.finished_at IS NULL AND EXISTS (SELECT FROM notification_cleanup_batches AS b WHERE b.run_id = r.id)
        ORDER BY r.started_at FOR KEY SHARE
    LOOP
        IF v_left_over.started_at < clock_timestamp() - interval '36 hours' THEN
            PERFORM end_notification_cleanup(v_left_over.id, false);
        ELSIF (v_left_over.max_notifications, v_left_over.min_keep) = (plan_notification_cleanup.max_notifications, plan_notification_cleanup.min_keep) THEN
            v_run := v_left_over;
            EXIT;
        END IF;
    END LOOP;
    IF v_run.id IS NULL THEN
        SELECT string_agg(DISTINCT i.relation::text, ', ') INTO v_without_index
        FROM notification_cleanup_indexes() AS i
        WHERE i.purpose IS NOT NULL AND i.index IS NULL AND (  -- which is not asked where ours are valid: each partition has them then
            SELECT count(*) FROM pg_index AS x WHERE x.indrelid = 'notifications'::regclass AND x.indisvalid
                AND x.indexrelid IN (to_regclass('notifications_live_idx'), to_regclass('notifications_deleted_idx'))
        ) < 2;
        IF v_without_index IS NOT NULL THEN
            RAISE WARNING USING MESSAGE = 'no valid index serves the cleanup on ' || v_without_index,
                HINT = 'notification-cleanup migrate up builds it, or prints what the table behind a view lacks. In psql: SELECT * FROM notification_cleanup_indexes().';
        END IF;
        v_run := open_notification_cleanup(max_notifications, min_keep, batch_size, NULL);
    END IF;
    DELETE FROM notification_cleanup_positions AS p
    WHERE p.run_id = v_run.id OR NOT EXISTS (SELECT FROM notification_cleanup_throttles AS t WHERE t.run_id = p.run_id);
    IF v_run.finished_at IS NULL THEN  -- how fast it goes, and that it goes, is up to its last caller
        INSERT INTO notification_cleanup_throttles AS t (run_id, pause_factor, max_replica_lag)
        VALUES (v_run.id, plan_notification_cleanup.pause_factor, plan_notification_cleanup.max_replica_lag)
        ON CONFLICT (run_id) DO UPDATE
        SET pause_factor = excluded.pause_factor, max_replica_lag = excluded.max_replica_lag, rest_until = NULL, stopped_at = NULL;
        INSERT INTO notification_cleanup_positions (run_id, at, lsn)
        SELECT v_run.id, '-infinity', pg_current_wal_flush_lsn() WHERE max_replica_lag IS NOT NULL;
    END IF;
    RETURN v_run;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION plan_notification_cleanup(integer, integer, integer, double precision, interval) IS
'Opens a run in batches of about batch_size notifications, for cleanup_next_batch(id), and returns its record; it has ended already where there is nothing to delete.
Returns instead a run with the same limits that has not ended, if there is one: do its batches, then plan again. One that is older than 36 hours is given up.
pause_factor: after each batch rest so many times as long as it took. max_replica_lag: before each batch wait until no standby, no logical slot and no slot of a standby that is away is further behind; needs pg_read_all_stats. Of several callers of one run the last one''s count.';
REVOKE ALL ON FUNCTION plan_notification_cleanup(integer, integer, integer, double precision, interval) FROM PUBLIC;
-- end of sql/run/plan_notification_cleanup.sql

-- frozen copy of sql/undo/purge_notifications.sql
-- The end of the life cycle. Call it until it returns 0.
--
--     SELECT purge_notifications(retention => '30 days', max_rows => 10000);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION purge_notifications(
    retention interval DEFAULT '30 days',
    max_rows integer DEFAULT 10000
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET plan_cache_mode = force_custom_plan
-- The plan is to find by the index on deleted_at, and then to delete by the place (ctid), in the
-- one partition that can have the row: not to hash or sort the whole table for a batch of it.
SET enable_hashjoin = off
SET enable_sort = off
SET random_page_cost = 0
AS $$
DECLARE
    v_purged bigint := 0::bigint;
    v_users notification_user_id[];
    v_rows bigint;
BEGIN
    IF (
        purge_notifications.retention > interval '0'
        AND now() - purge_notifications.retention < now()
        AND purge_notifications.max_rows >= 1
    ) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid limits: retention => %L, max_rows => %L',
                purge_notifications.retention,
                purge_notifications.max_rows
            ),
            HINT = 'retention takes a positive interval, max_rows 1 or more.';
    END IF;
    FOR v_users, v_rows IN
        SELECT
            s.user_ids,
            s.notifications
        FROM notification_deleted_shards(
            '-infinity',
            now() - purge_notifications.retention,
            purge_notifications.max_rows
        ) AS s
    LOOP
        WITH expired AS MATERIALIZED (
            SELECT
                n.tableoid AS relation,
                n.ctid AS place,
                n.id,
                n.user_id,
                n.created_at,
                n.deleted_at
            FROM notifications AS n
            WHERE n.deleted_at < now() - purge_notifications.retention
                AND (v_users IS NULL OR n.user_id = ANY (v_users))
            ORDER BY n.deleted_at
            LIMIT v_rows
            FOR UPDATE SKIP LOCKED
        )
        -- Relation, place and id together are the row that was locked: an id may stand in several
        -- partitions. IS TRUE hides the condition from the index on deleted_at, which would be read
        -- once for each row.
        DELETE FROM notifications AS n
        USING expired
        WHERE n.tableoid = expired.relation
            AND n.ctid = expired.place
            AND n.id = expired.id
            AND (n.deleted_at = expired.deleted_at) IS TRUE
            AND (v_users IS NULL OR n.user_id = ANY (v_users))
            AND (n.user_id = expired.user_id OR n.user_id IS NULL)
            AND (n.created_at = expired.created_at OR n.created_at IS NULL);
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_purged := v_purged + v_rows;
    END LOOP;
    RETURN v_purged;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION purge_notifications(interval, integer) IS
'Deletes for good, oldest first, up to max_rows notifications that were soft-deleted longer than '
'retention ago, and returns how many; never a live one, and never waits for a row lock. What is '
'purged cannot be restored.';
REVOKE ALL ON FUNCTION purge_notifications(interval, integer) FROM PUBLIC;
-- end of sql/undo/purge_notifications.sql

-- frozen copy of sql/undo/restore_next_batch.sql
-- Undo of one run in batches: call it until it is NULL. Any number of sessions may call it.
--
--     SELECT restore_next_batch(7);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION restore_next_batch(
    run_id bigint,
    batch_size integer DEFAULT 10000
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET plan_cache_mode = force_custom_plan
-- The plan is to find by the index on deleted_at, and then to update by the place (ctid), in the
-- one partition that can have the row: not to hash the whole table for a batch of it.
SET enable_hashjoin = off
SET random_page_cost = 0
AS $$
DECLARE
    v_started_at timestamptz;
    v_users notification_user_id[];
    v_rows bigint;
    v_locked bigint;
    v_restored bigint;
    -- Rows by relation and place, as in '16384 (0,1)': an id may stand in several partitions.
    v_untouched text[];  -- of this round: locked, but the UPDATE left them as they were
    v_tried text[];  -- the same of the rounds before
    v_kept text[];  -- those that a trigger of the application keeps deleted
    v_held record;
BEGIN
    SELECT r.started_at
    INTO v_started_at
    FROM notification_cleanup_runs AS r
    WHERE r.id = restore_next_batch.run_id;
    IF (FOUND AND restore_next_batch.batch_size >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'no such run, or no such batch: run_id => %L, batch_size => %L',
                restore_next_batch.run_id,
                restore_next_batch.batch_size
            ),
            HINT = 'run_id takes an id of notification_cleanup_runs, batch_size 1 or more.';
    END IF;
    PERFORM end_notification_cleanup(restore_next_batch.run_id, false);
    LOOP
        v_locked := 0;
        v_restored := 0;
        v_untouched := NULL;
        FOR v_users, v_rows IN
            SELECT
                s.user_ids,
                s.notifications
            FROM notification_deleted_shards(
                v_started_at,
                v_started_at + interval '1 microsecond',
                restore_next_batch.batch_size
            ) AS s
        LOOP
            -- No other run and no user deleted at this very moment: started_at is unique, and read
            -- from the clock.
            WITH locked AS MATERIALIZED (
                SELECT
                    n.tableoid AS relation,
                    n.ctid AS place,
                    n.id,
                    n.user_id,
                    n.created_at,
                    n.deleted_at
                FROM notifications AS n
                WHERE n.deleted_at = v_started_at
                    AND (v_kept IS NULL OR concat_ws(' ', n.tableoid, n.ctid) <> ALL (v_kept))
                    AND (v_users IS NULL OR n.user_id = ANY (v_users))
                LIMIT v_rows
                FOR NO KEY UPDATE SKIP LOCKED
            ),
            -- Relation, place and id together are the row that was locked. IS TRUE hides the
            -- condition from the index on deleted_at, which would be read once for each row.
            updated AS (
                UPDATE notifications AS n
                SET deleted_at = NULL
                FROM locked
                WHERE n.tableoid = locked.relation
                    AND n.ctid = locked.place
                    AND n.id = locked.id
                    AND (n.deleted_at = locked.deleted_at) IS TRUE
                    AND (v_users IS NULL OR n.user_id = ANY (v_users))
                    AND (n.user_id = locked.user_id OR n.user_id IS NULL)
                    AND (n.created_at = locked.created_at OR n.created_at IS NULL)
                RETURNING
                    locked.relation,
                    locked.place,
                    n.tableoid AS new_relation,
                    n.ctid AS new_place,
                    n.deleted_at
            )
            SELECT
                v_locked + (SELECT count(*) FROM locked),
                v_restored + count(*) FILTER (WHERE u.deleted_at IS NULL),
                -- A trigger has set deleted_at again, in a new version of the row.
                v_kept || array_agg(concat_ws(' ', u.new_relation, u.new_place))
                    FILTER (WHERE u.deleted_at IS NOT NULL),
                v_untouched || CASE
                    WHEN count(*) FILTER (WHERE u.deleted_at IS NULL) = 0
                        THEN ARRAY(
                            SELECT concat_ws(' ', l.relation, l.place)
                            FROM locked AS l
                            EXCEPT
                            SELECT concat_ws(' ', t.relation, t.place)
                            FROM updated AS t
                        )
                END
            INTO
                v_locked,
                v_restored,
                v_kept,
                v_untouched
            FROM updated AS u;
        END LOOP;
        EXIT WHEN v_restored > 0;
        -- A row that was locked and not updated may have moved just before. When that happens to it
        -- a second time, in the same place, a trigger keeps it.
        v_kept := v_kept || ARRAY(
            SELECT untouched.place
            FROM unnest(v_untouched) AS untouched (place)
            WHERE untouched.place = ANY (v_tried)
        );
        v_tried := v_tried || v_untouched;
        -- Others hold all that is left: wait for one of them, by its place, so that this call never
        -- waits for a second one while it holds the first.
        IF v_locked = 0 THEN
            SELECT
                n.tableoid AS relation,
                n.ctid AS place,
                n.id,
                n.user_id,
                n.created_at
            INTO v_held
            FROM notifications AS n
            WHERE n.deleted_at = v_started_at
                AND (v_kept IS NULL OR concat_ws(' ', n.tableoid, n.ctid) <> ALL (v_kept))
            LIMIT 1;
            IF NOT FOUND THEN
                RETURN NULL;
            END IF;
            PERFORM
            FROM notifications AS n
            WHERE n.tableoid = v_held.relation
                AND n.ctid = v_held.place
                AND n.id = v_held.id
                AND (n.deleted_at = v_started_at) IS TRUE
                AND (v_held.user_id IS NULL OR n.user_id = v_held.user_id)
                AND (v_held.created_at IS NULL OR n.created_at = v_held.created_at)
            FOR NO KEY UPDATE;
            IF NOT FOUND THEN
                RETURN 0::bigint;
            END IF;
        END IF;
    END LOOP;
    UPDATE notification_cleanup_runs AS r
    SET notifications_restored = r.notifications_restored + v_restored
    WHERE r.id = restore_next_batch.run_id;
    RETURN v_restored;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION restore_next_batch(bigint, integer) IS
'Undoes the next batch_size notifications of one run, in the order of the table, and returns how '
'many. The first call gives up the batches that the run has left, after waiting for those in '
'flight.
Call it until it is NULL, each time in a transaction of its own. It skips what another session '
'holds, and waits for one of those when nothing else is left; 0 means that this one has changed or '
'gone meanwhile.';
REVOKE ALL ON FUNCTION restore_next_batch(bigint, integer) FROM PUBLIC;
-- end of sql/undo/restore_next_batch.sql

-- frozen copy of sql/undo/restore_notifications.sql
-- Undo of one run in one transaction.
--
--     SELECT restore_notifications(7);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION restore_notifications(
    run_id bigint
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_restored bigint := 0::bigint;
    v_batch bigint := 0::bigint;
BEGIN
    -- The calls that follow the first are for what another session held.
    WHILE v_batch IS NOT NULL LOOP
        v_restored := v_restored + v_batch;
        v_batch := restore_next_batch(restore_notifications.run_id, 100000);
    END LOOP;
    RETURN v_restored;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION restore_notifications(bigint) IS
'Undoes one run of notification_cleanup_runs: gives up the batches it has left, after waiting for '
'those in flight, clears deleted_at on exactly the rows it deleted that are still there, and '
'returns how many. Raise max_notifications first, or the next run deletes them again.
On a table in use call restore_next_batch() instead: this holds what it restores until its end.';
REVOKE ALL ON FUNCTION restore_notifications(bigint) FROM PUBLIC;
-- end of sql/undo/restore_notifications.sql

-- frozen copy of sql/doctor/notification_cleanup_health.sql
-- What a monitor asks, in one row.
--
--     SELECT * FROM notification_cleanup_health;
CREATE OR REPLACE VIEW notification_cleanup_health AS
SELECT
    last_run.finished_at AS last_finished_at,
    CASE
        WHEN EXISTS (
            SELECT
            FROM notification_cleanup_throttles AS t
            WHERE t.stopped_at IS NOT NULL
        ) THEN 'stopped'
        WHEN last_run.id IS NULL THEN 'never ran'
        WHEN last_run.notifications_skipped > 0 THEN 'left locked notifications'
        WHEN last_run.notifications_deleted > 0 THEN 'deleted'
        ELSE 'nothing to delete'
    END AS last_outcome,
    floor(
        extract(epoch FROM clock_timestamp() - last_run.finished_at) / 60
    )::bigint AS minutes_since_last_finished,
    last_run.users_still_over_limit,
    (
        SELECT count(*)
        FROM notification_cleanup_runs AS r
        WHERE r.finished_at IS NULL
            AND r.started_at > now() - interval '36 hours'
    ) AS runs_unfinished,
    (
        SELECT coalesce(sum(r.notifications_deleted), 0)::bigint
        FROM notification_cleanup_runs AS r
        WHERE coalesce(r.finished_at, r.started_at) > (
            SELECT min(coalesce(greatest(s.last_vacuum, s.last_autovacuum), '-infinity'))
            FROM notification_tables() AS t
            JOIN pg_stat_all_tables AS s ON s.relid = t.relation
            WHERE s.n_dead_tup > 0
        )
    ) AS notifications_to_vacuum
FROM (VALUES (1)) AS one_row
LEFT JOIN (
    SELECT *
    FROM notification_cleanup_runs AS r
    WHERE r.finished_at IS NOT NULL
    ORDER BY r.finished_at DESC
    LIMIT 1
) AS last_run ON true;
COMMENT ON VIEW notification_cleanup_health IS
'One row for a monitor: the last finished cleanup run, how long ago it was, the runs without an '
'end, and if the table needs a VACUUM.';
COMMENT ON COLUMN notification_cleanup_health.last_finished_at IS
'When the last finished run ended; NULL if none ever did.';
COMMENT ON COLUMN notification_cleanup_health.last_outcome IS
'Of that run: deleted, nothing to delete, left locked notifications; or never ran; or stopped, '
'while a run waits for the next call to go on.';
COMMENT ON COLUMN notification_cleanup_health.minutes_since_last_finished IS
'Whole minutes since last_finished_at.';
COMMENT ON COLUMN notification_cleanup_health.users_still_over_limit IS
'Users that the run left over the limit.';
COMMENT ON COLUMN notification_cleanup_health.runs_unfinished IS
'Runs of the last 36 hours without an end: running now, or stopped, killed or given up before it.';
COMMENT ON COLUMN notification_cleanup_health.notifications_to_vacuum IS
'What runs have deleted since the last VACUUM of the table: until the next one, each count of live '
'notifications reads it too. When it is a tenth of them or more: VACUUM notifications. Always 0 '
'on Citus.';
REVOKE ALL ON notification_cleanup_health FROM PUBLIC;
-- end of sql/doctor/notification_cleanup_health.sql

-- +goose Down
-- SET search_path FROM CURRENT then pins the schema that goose installs into,
-- and temporary objects last.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- For Citus: routines and history are the coordinator's alone.
SET LOCAL citus.enable_ddl_propagation = off;
DROP VIEW notification_cleanup_health;
DROP FUNCTION restore_notifications(bigint);
DROP FUNCTION restore_next_batch(bigint, integer);
DROP FUNCTION purge_notifications(interval, integer);
DROP FUNCTION plan_notification_cleanup(integer, integer, integer, double precision, interval);
DROP FUNCTION open_notification_cleanup(integer, integer, bigint, notification_user_id[]);
DROP FUNCTION end_notification_cleanup(bigint, boolean);
DROP PROCEDURE cleanup_notifications_in_batches(integer, integer, integer, interval, double precision, interval);
DROP FUNCTION cleanup_notifications(integer, integer, notification_user_id[]);
DROP FUNCTION cleanup_next_batch(bigint);
DROP FUNCTION preview_notification_limits(integer[], integer);
DROP FUNCTION preview_notification_cleanup(integer, integer);
DROP FUNCTION notification_stats(integer);
DROP FUNCTION notification_inboxes(notification_user_id[], integer, timestamptz, boolean);
DROP FUNCTION notification_excess(integer, integer, notification_user_id[], timestamptz, boolean);
DROP FUNCTION throttle_notification_cleanup(bigint);
DROP FUNCTION stop_notification_cleanup(bigint);
DROP FUNCTION notification_replicas();
DROP FUNCTION notification_tables();
DROP FUNCTION notification_index_templates();
DROP FUNCTION notification_index_scans();
DROP FUNCTION notification_cron_jobs();
DROP FUNCTION notification_cleanup_indexes();
DROP FUNCTION notification_cleanup_doctor();
DROP FUNCTION notification_shards(notification_user_id[]);
DROP FUNCTION notification_deleted_shards(timestamptz, timestamptz, integer);
