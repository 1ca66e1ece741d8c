-- Written by make snapshot: edit sql/, never this copy.

-- +goose Up
-- SET search_path FROM CURRENT then pins the schema that goose installs into,
-- behind it those where the types of the columns live with their operators (citext in a schema of
-- its own), and temporary objects last.
SELECT set_config(
    'search_path',
    concat_ws(
        ', ',
        quote_ident(current_schema()::text),
        (
            SELECT string_agg(DISTINCT quote_ident(namespace.nspname::text), ', ')
            FROM pg_type AS domain
            JOIN pg_type AS base ON base.oid = domain.typbasetype
            JOIN pg_namespace AS namespace ON namespace.oid = base.typnamespace
                AND namespace.nspname NOT IN ('pg_catalog', current_schema())
            WHERE domain.oid IN (
                'notification_user_id'::regtype,
                'notification_id'::regtype,
                'notification_created_at'::regtype
            )
        ),
        'pg_temp'
    ),
    true
);
-- For Citus: routines and history are the coordinator's alone.
SET LOCAL citus.enable_ddl_propagation = off;

-- frozen copy of sql/rights/refuse_namesakes.sql
-- Frozen at the beginning of the routines' migration: an upgrade that brings a new routine finds
-- the name taken, and leaves everything as it was. What an installation would find, the first
-- migration looks for, and says together with all else.
-- +goose StatementBegin
DO $$
DECLARE
    v_namesakes text;
BEGIN
    SELECT string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid::regprocedure::text)
    INTO v_namesakes
    FROM pg_proc AS p
    JOIN pg_namespace AS namespace ON namespace.oid = p.pronamespace
        AND namespace.nspname = current_schema()
    WHERE p.proname = ANY (
        '{
            await_cleanup_pace,
            check_calling_schema,
            check_cleanup_limits,
            check_cleanup_pace,
            check_delete_rules,
            check_distributed_cascades,
            check_notification_columns,
            check_planned_deletions,
            check_run_id,
            check_written_deleted_at,
            claim_cleanup_batch,
            cleanup_batch_is_rewritten,
            cleanup_batch_pruning_users,
            cleanup_next_batch,
            cleanup_notifications,
            cleanup_notifications_in_batches,
            cleanup_run_ids_repair,
            cleanup_run_is_rewritten,
            cleanup_run_lifetime,
            cleanup_suspension,
            cleanup_time_is_ahead,
            close_notification_cleanup,
            continue_notification_cleanup,
            count_deleted_rows,
            count_lost_commits,
            deleted_on_worker,
            explain_cleanup_shortfall,
            explain_notification_cleanup,
            find_notifications_to_rehearse,
            find_purges_with_others,
            find_undone_deletions,
            find_written_notifications,
            give_up_notification_cleanup,
            keep_cleanup_run,
            note_shard_files,
            notification_cleanup_doctor,
            notification_cleanup_grants,
            notification_cleanup_indexes,
            notification_cleanup_privileges,
            notification_cleanup_version,
            notification_column_problems,
            notification_cron_jobs,
            notification_crowds,
            notification_deleted_shards,
            notification_excess,
            notification_foreign_keys,
            notification_index_scans,
            notification_index_templates,
            notification_replicas,
            notification_sample_pages,
            notification_schema_creators,
            notification_shard_file,
            notification_shards,
            notification_siblings,
            notification_stats,
            notification_stray_schemas,
            notification_tables,
            notification_updates_are_followed,
            notification_view_hides_deleted,
            open_notification_cleanup,
            pace_after_batch,
            pace_notification_cleanup,
            pin_tid_scans_on_workers,
            pinned_planner_settings,
            plan_notification_cleanup,
            preview_notification_cleanup,
            preview_notification_limits,
            purge_listed_notifications,
            purge_next_batch,
            purge_notifications,
            queue_notification_cleanup,
            record_cleanup_batch,
            record_new_cleanup_run,
            refused_notifications,
            rehearse_cleanup_step,
            rehearse_notification_cleanup,
            restore_batch,
            restore_listed_notifications,
            restore_next_batch,
            restore_notifications,
            restore_or_purge,
            resume_notification_cleanup,
            sample_notifications,
            settle_notification_cleanup,
            spread_batches_over_shards,
            stop_notification_cleanup,
            suspend_notification_cleanup,
            sweep_cleanup_batch,
            try_restore_or_purge,
            warn_of_refused,
            warn_without_index
        }'::name[]
    )
        -- Ours have this setting, but for the procedure, which must not have any.
        AND NOT (
            coalesce(p.proconfig @> '{row_security=off}', false)
            OR p.prokind = 'p'
                AND strpos(p.prosrc, 'plan_notification_cleanup(') > 0
        );
    IF v_namesakes IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_function',
            MESSAGE = format(
                'cannot be installed: schema %I has routines of these names already: %s',
                current_schema(),
                v_namesakes
            ),
            HINT = 'Nothing was changed. Rename them, or move them to another schema.';
    END IF;
END
$$;
-- +goose StatementEnd
-- end of sql/rights/refuse_namesakes.sql

-- frozen copy of sql/rights/remember_objects.sql
-- Frozen at the beginning of each migration that creates objects: what is there already keeps its
-- grants.
-- +goose StatementBegin
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
-- +goose StatementEnd
-- end of sql/rights/remember_objects.sql

-- frozen copy of sql/citus/check_distributed_cascades.sql
-- Refuses a purge on Citus where notifications go along with others by ON DELETE CASCADE: workers
-- do not tell the coordinator what they have deleted.
--
--     SELECT check_distributed_cascades();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION check_distributed_cascades()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF EXISTS (
        SELECT
        FROM pg_constraint AS k
        WHERE k.contype = 'f'
            AND k.confdeltype = 'c'
            AND k.conrelid = to_regclass('notifications')
            AND k.confrelid = to_regclass('notifications')
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'on Citus a purge cannot see which other notifications a foreign key with '
                'ON DELETE CASCADE deletes along',
            HINT = 'Let the foreign key between notifications be one without CASCADE.';
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION check_distributed_cascades() IS
    'For purge_listed_notifications() on Citus: refuses where notifications go along with others.';
-- end of sql/citus/check_distributed_cascades.sql

-- frozen copy of sql/citus/count_lost_commits.sql
-- Counts for a run that is to be given up what batches that are not done have deleted all the same:
--
--     SELECT count_lost_commits(7);
--
-- Only on Citus, where a kill can come between the commit on the worker and the coordinator's: see
-- deleted_on_worker().
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION count_lost_commits(run_id bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_number bigint;
    v_listed bigint[];
    v_gone bigint[];
BEGIN
    FOR v_number, v_listed IN
        SELECT
            b.number,
            ARRAY(SELECT generate_series(1::bigint, cardinality(b.places)::bigint))
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = count_lost_commits.run_id
            AND b.done_at IS NULL
            AND b.shard IS NOT NULL
        ORDER BY b.number
        FOR UPDATE  -- waits for those in flight
    LOOP
        v_gone := deleted_on_worker(count_lost_commits.run_id, v_number, v_listed);
        CONTINUE WHEN v_gone = '{}';
        UPDATE notification_cleanup_batches AS b
        SET
            done_at = clock_timestamp(),
            users_left = ARRAY(
                SELECT listed.user_id
                FROM unnest(b.users) WITH ORDINALITY AS listed (user_id, number)
                WHERE listed.number <> ALL (v_gone)
            )
        WHERE b.run_id = count_lost_commits.run_id
            AND b.number = v_number;
        UPDATE notification_cleanup_runs AS r
        SET notifications_deleted = r.notifications_deleted + cardinality(v_gone)
        WHERE r.id = count_lost_commits.run_id;
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION count_lost_commits(bigint) IS
    'Adds to the record of a run what its unfinished batches have soft-deleted in transactions of '
    'which only the half on the worker was committed; elsewhere than on Citus nothing.';
-- end of sql/citus/count_lost_commits.sql

-- frozen copy of sql/citus/deleted_on_worker.sql
-- What a batch finds deleted already by its own run:
--
--     SELECT deleted_on_worker(7, 1, '{3,4}');
--
-- Citus commits on the worker and on the coordinator one after the other. When a kill comes between
-- the two, the notifications are soft-deleted and the batch is not done: it comes again, and counts
-- them then. Elsewhere a batch and its record are one transaction, so there are none.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION deleted_on_worker(
    run_id bigint,
    number bigint,
    missed bigint[]  -- positions in the list
)
RETURNS bigint[]
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET plan_cache_mode = force_custom_plan
SET timezone = 'UTC'
AS $$
DECLARE
    v_batch notification_cleanup_batches;
    v_started_at timestamptz;
    v_users notification_user_id[];
    v_ids notification_id[];
    v_created_ats notification_created_at[];
BEGIN
    SELECT b.*
    INTO STRICT v_batch
    FROM notification_cleanup_batches AS b
    WHERE b.run_id = deleted_on_worker.run_id
        AND b.number = deleted_on_worker.number;
    IF v_batch.shard IS NULL THEN
        RETURN ARRAY[]::bigint[];
    END IF;

    SELECT r.started_at
    INTO STRICT v_started_at
    FROM notification_cleanup_runs AS r
    WHERE r.id = deleted_on_worker.run_id;
    v_users := cleanup_batch_pruning_users(v_batch.run_id, v_batch.number);

    SELECT
        array_agg(n.id::notification_id),
        array_agg(n.user_id::notification_user_id),
        array_agg(n.created_at::notification_created_at)
    INTO
        v_ids,
        v_users,
        v_created_ats
    FROM notifications AS n
    WHERE n.deleted_at = v_started_at
        AND n.user_id = ANY (v_users)
        AND n.created_at BETWEEN v_batch.oldest AND v_batch.newest;

    -- Without their places, which the update has changed.
    RETURN ARRAY(
        SELECT DISTINCT listed.number
        FROM unnest(v_batch.ids, v_batch.users, v_batch.created_ats)
            WITH ORDINALITY AS listed (id, user_id, created_at, number)
        JOIN unnest(v_ids, v_users, v_created_ats) AS gone (id, user_id, created_at)
            ON gone.id = listed.id
            AND gone.user_id = listed.user_id
            AND gone.created_at = listed.created_at
        WHERE listed.number = ANY (deleted_on_worker.missed)
    );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION deleted_on_worker(bigint, bigint, bigint[]) IS
    'The positions of those missed notifications of a batch that its own run has soft-deleted in a '
    'transaction of which only the half on the worker was committed; elsewhere than on Citus none.';
-- end of sql/citus/deleted_on_worker.sql

-- frozen copy of sql/citus/note_shard_files.sql
-- Notes for each batch of a run in which file it lies on its worker, so that a rewrite is noticed:
--
--     SELECT note_shard_files(7);
--
-- Elsewhere than on Citus the plan knows the files itself.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION note_shard_files(run_id bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_shard bigint;
    v_relation oid;
    v_users notification_user_id[];
    v_file oid;
BEGIN
    -- A shard of a partitioned table is several tables.
    FOR v_shard, v_relation, v_users IN
        SELECT DISTINCT ON (b.shard, b.relations[1])
            b.shard,
            b.relations[1],
            b.users[1:1]
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = note_shard_files.run_id
            AND b.shard IS NOT NULL
        ORDER BY b.shard, b.relations[1]
    LOOP
        v_file := notification_shard_file(v_users, v_relation);
        UPDATE notification_cleanup_batches AS b
        SET file = v_file
        WHERE b.run_id = note_shard_files.run_id
            AND b.shard = v_shard
            AND b.relations[1] = v_relation;
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION note_shard_files(bigint) IS
    'For open_notification_cleanup(): notes the files of the tables on the workers of Citus in '
    'which the batches of a run lie.';
-- end of sql/citus/note_shard_files.sql

-- frozen copy of sql/citus/notification_deleted_shards.sql
-- Where the notifications lie that purge or undo comes to next, for Citus, which locks rows in one
-- shard only:
--
--     SELECT * FROM notification_deleted_shards('-infinity', now() - interval '30 days', 10000);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_deleted_shards(
    deleted_from timestamptz,
    deleted_before timestamptz,
    max_rows integer
)
RETURNS TABLE (
    user_ids notification_user_id[],
    notifications bigint
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_users notification_user_id[];
    v_notifications bigint[];
BEGIN
    IF notification_shards('{}') IS NULL THEN
        RETURN QUERY
        SELECT
            NULL::notification_user_id[],
            notification_deleted_shards.max_rows::bigint;
        RETURN;
    END IF;

    DO $citus$
    BEGIN
        -- The workers plan as the caller does.
        SET LOCAL citus.propagate_set_commands = 'local';
        SET LOCAL enable_hashjoin = off;
        SET LOCAL random_page_cost = 0;
    END
    $citus$;
    WITH oldest AS (
        SELECT n.user_id
        FROM notifications AS n
        WHERE n.deleted_at >= notification_deleted_shards.deleted_from
            AND n.deleted_at < notification_deleted_shards.deleted_before
        ORDER BY n.deleted_at
        LIMIT least(notification_deleted_shards.max_rows, 100000)
    ),
    inboxes AS (
        SELECT
            o.user_id::notification_user_id AS user_id,
            count(*) AS notifications
        FROM oldest AS o
        GROUP BY o.user_id
    )
    SELECT
        array_agg(i.user_id),
        array_agg(i.notifications)
    INTO
        v_users,
        v_notifications
    FROM inboxes AS i;

    RETURN QUERY
    SELECT
        array_agg(u.user_id),
        sum(u.notifications)::bigint
    FROM unnest(v_users, v_notifications, notification_shards(v_users))
        AS u (user_id, notifications, shard)
    GROUP BY u.shard;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_deleted_shards(timestamptz, timestamptz, integer) IS
'Of the first max_rows notifications that were soft-deleted in that time, the users and how many '
'they are: a row a shard where Citus distributes them, elsewhere one row with NULL for all users.';
-- end of sql/citus/notification_deleted_shards.sql

-- frozen copy of sql/citus/notification_shard_file.sql
-- The file of the table on a worker of Citus in which notifications of these users lie, who share a
-- shard: of this one, or, where it has none of them, of another one. NULL where none is left:
--
--     SELECT notification_shard_file(ARRAY[42, 43], 16384);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_shard_file(
    user_ids notification_user_id[],
    relation oid
)
RETURNS oid
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN (
        SELECT pg_relation_filenode(n.tableoid)
        FROM notifications AS n
        WHERE n.user_id = ANY (notification_shard_file.user_ids)
        ORDER BY n.tableoid = notification_shard_file.relation DESC
        LIMIT 1
    );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_shard_file(notification_user_id[], oid) IS
    'The file of this table on a worker of Citus, or of the one in which notifications of these '
    'users lie now; NULL where there are none.';
-- end of sql/citus/notification_shard_file.sql

-- frozen copy of sql/citus/notification_shards.sql
-- Which shard each user's notifications are in, where Citus distributes the table: a batch stays
-- within one.
--
--     SELECT notification_shards(ARRAY[42, 43]);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_shards(user_ids notification_user_id[])
RETURNS bigint[]
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_shards bigint[];
BEGIN
    IF to_regclass('pg_dist_partition') IS NOT NULL THEN
        -- Text, because elsewhere there is no such function.
        EXECUTE $shards$
            SELECT ARRAY(
                SELECT get_shard_id_for_distribution_column(p.logicalrelid, u.user_id)
                FROM unnest($1) WITH ORDINALITY AS u (user_id, number)
                ORDER BY u.number
            )
            FROM pg_dist_partition AS p
            WHERE p.logicalrelid = 'notifications'::regclass
                AND p.partmethod = 'h'
        $shards$
        INTO v_shards
        USING notification_shards.user_ids;
    END IF;
    RETURN v_shards;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_shards(notification_user_id[]) IS
'The shard of each of these users, where Citus distributes the notifications; NULL where they are '
'in one place.';
-- end of sql/citus/notification_shards.sql

-- frozen copy of sql/citus/pin_tid_scans_on_workers.sql
-- Lets the workers of Citus plan a batch as the coordinator does, until the caller's end:
--
--     SELECT pin_tid_scans_on_workers();
--
-- The settings of a function stay on the coordinator. Citus hands on a SET LOCAL of a DO block, and
-- only when it is told to.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pin_tid_scans_on_workers()
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    DO $citus$
    BEGIN
        SET LOCAL citus.propagate_set_commands = 'local';
        SET LOCAL jit = off;
        SET LOCAL enable_tidscan = on;
        SET LOCAL enable_nestloop = off;
        SET LOCAL enable_hashjoin = on;
        SET LOCAL enable_mergejoin = off;
        SET LOCAL enable_seqscan = off;
        SET LOCAL enable_indexscan = off;
        SET LOCAL enable_indexonlyscan = off;
        SET LOCAL enable_bitmapscan = off;
    END
    $citus$;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION pin_tid_scans_on_workers() IS
    'For the functions that carry the same settings on the coordinator: sets them on the workers '
    'of Citus as well.';
-- end of sql/citus/pin_tid_scans_on_workers.sql

-- frozen copy of sql/citus/spread_batches_over_shards.sql
-- Numbers the batches of a run so that they take turns in the shards, and several workers are at
-- work on several nodes:
--
--     SELECT spread_batches_over_shards(7);
--
-- Elsewhere than on Citus the batches stay in the order of the table.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION spread_batches_over_shards(run_id bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    WITH turns AS (
        SELECT
            b.number,
            b.shard,
            row_number() OVER (PARTITION BY b.shard ORDER BY b.number) AS turn,
            max(b.number) OVER () AS last_number
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = spread_batches_over_shards.run_id
            AND b.shard IS NOT NULL
    ),
    -- Behind the numbers that there are, since none may stand twice meanwhile.
    renumbered AS (
        SELECT
            t.number,
            t.last_number + row_number() OVER (ORDER BY t.turn, t.shard) AS new_number
        FROM turns AS t
    )
    UPDATE notification_cleanup_batches AS b
    SET number = r.new_number
    FROM renumbered AS r
    WHERE b.run_id = spread_batches_over_shards.run_id
        AND b.number = r.number;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION spread_batches_over_shards(bigint) IS
    'For open_notification_cleanup(): lets the batches of a run take turns in the shards of Citus.';
-- end of sql/citus/spread_batches_over_shards.sql

-- frozen copy of sql/doctor/find_notifications_to_rehearse.sql
-- Some notifications of the kind that a run deletes, to try it with: each a batch of its own.
--
--     SELECT * FROM find_notifications_to_rehearse(5);
--
-- Reads no more than some pages, spread over the table, however large that is: so it may find none
-- where such notifications are rare.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION find_notifications_to_rehearse(max_batches bigint)
RETURNS SETOF notification_cleanup_batches
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
-- By place and by nothing else (Tid Range Scan), so that no page is read but those named.
SET enable_tidscan = on
SET enable_seqscan = off
SET enable_indexscan = off
SET enable_indexonlyscan = off
SET enable_bitmapscan = off
SET seq_page_cost = 1e9
SET random_page_cost = 1e9
AS $$
DECLARE
    v_left bigint := find_notifications_to_rehearse.max_batches;
    v_rows bigint;
    v_spot record;
BEGIN
    FOR v_spot IN
        SELECT
            p.first_row,
            p.behind_last_row,
            count(*) OVER () - row_number() OVER () + 1 AS spots_left
        FROM notification_sample_pages() AS p
    LOOP
        RETURN QUERY
        WITH spot AS (
            SELECT
                n.tableoid AS relation,
                n.ctid AS place,
                n.id,
                n.user_id,
                n.created_at
            FROM notifications AS n
            WHERE n.ctid >= v_spot.first_row
                AND n.ctid < v_spot.behind_last_row
                AND n.deleted_at IS NULL
                AND n.status = 'read'
                AND n.user_id IS NOT NULL
                AND n.created_at <= now()
            -- Of each spot some, because a trigger may be about others only.
            LIMIT ceil(v_left::numeric / v_spot.spots_left::numeric)
        )
        SELECT
            NULL::bigint AS run_id,
            1::bigint AS number,
            0 AS attempts,
            NULL::timestamptz AS done_at,
            s.created_at::notification_created_at AS oldest,
            s.created_at::notification_created_at AS newest,
            (notification_shards(ARRAY[s.user_id]::notification_user_id[]))[1] AS shard,
            pg_relation_filenode(s.relation::regclass) AS file,
            ARRAY[s.relation] AS relations,
            ARRAY[s.place] AS places,
            ARRAY[s.id]::notification_id[] AS ids,
            ARRAY[s.user_id]::notification_user_id[] AS users,
            ARRAY[s.created_at]::notification_created_at[] AS created_ats,
            NULL::notification_user_id[] AS last_users,
            NULL::bigint[] AS last_users_planned,
            NULL::notification_user_id[] AS users_left
        FROM spot AS s;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_left := v_left - v_rows;
        EXIT WHEN v_left = 0;
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION find_notifications_to_rehearse(bigint) IS
    'For rehearse_notification_cleanup(), which is what to call: live read notifications from a '
    'few pages of the table, each as a batch of its own that is not in the queue.';
-- end of sql/doctor/find_notifications_to_rehearse.sql

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
        'grants',
        'schemas',
        'renamed schemas',
        'triggers',
        'replica identity',
        'foreign keys',
        'refused',
        'vacuum',
        'server',
        'suspension',
        'last run',
        'unfinished runs',
        'run ids',
        'clock',
        'max_wal_size',
        'idle in transaction',
        'prepared transactions',
        'pg_cron',
        'statuses',
        'deletions',
        'rehearsal'
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
-- sql/doctor/check_rights.sql: a run fails where its role lacks a grant that it needs. Other uses
-- may be the business of another role; whoever has all that one of them takes, and may not even
-- begin to clean up, is there for that one.
WITH privileges AS (
    SELECT
        p.*,
        CASE p.kind
            WHEN 'SCHEMA' THEN has_schema_privilege(p.object_id, p.privilege)
            WHEN 'ROUTINE' THEN has_function_privilege(p.object_id, p.privilege)
            WHEN 'ROLE' THEN pg_has_role(p.object_id, p.privilege)
            WHEN 'TABLE' THEN has_table_privilege(p.object_id, p.privilege)
                OR p.column_names IS NOT NULL AND NOT EXISTS (
                    SELECT
                    FROM pg_attribute AS a
                    WHERE a.attrelid = p.object_id
                        AND a.attname = ANY (p.column_names)
                        AND NOT has_column_privilege(p.object_id, a.attnum, p.privilege)
                )
        END AS is_held
    FROM notification_cleanup_privileges() AS p
),
uses AS (
    SELECT
        p.purpose,
        count(*) FILTER (WHERE NOT p.is_held) AS missing,
        bool_or(
            p.is_held
            AND p.kind = 'ROUTINE'
            AND NOT EXISTS (
                SELECT
                FROM privileges AS other
                WHERE other.object_id = p.object_id
                    AND other.purpose <> p.purpose
            )
        ) AS has_begun
    FROM privileges AS p
    GROUP BY p.purpose
),
summary AS (
    SELECT
        bool_or(u.purpose = 'clean up' AND u.missing > 0) AS cannot_clean_up,
        bool_or(u.purpose = 'clean up' AND u.has_begun) AS is_to_clean_up,
        bool_or(u.purpose IN ('undo', 'purge', 'watch') AND u.missing = 0) AS is_for_another_use,
        string_agg(u.purpose, ', ' ORDER BY u.purpose) FILTER (WHERE u.missing > 0) AS lacking
    FROM uses AS u
),
verdict AS (
    SELECT
        s.lacking,
        s.cannot_clean_up AND (s.is_to_clean_up OR NOT s.is_for_another_use) AS is_failure
    FROM summary AS s
)
SELECT
    CASE
        WHEN v.is_failure THEN 'failure'
        WHEN v.lacking IS NOT NULL THEN 'note'
        ELSE 'ok'
    END AS severity,
    CASE
        WHEN v.is_failure
            THEN (
                SELECT format(
                    '%I lacks what a run takes: %s%s',
                    current_user,
                    array_to_string((array_agg(m.privilege ORDER BY m.privilege))[1:3], ', '),
                    ' and ' || nullif(greatest(count(*) - 3, 0), 0) || ' more'
                )
                FROM (
                    SELECT concat_ws(
                        ' ',
                        p.privilege,
                        '(' || array_to_string(p.column_names, ', ') || ')',
                        'on',
                        p.object
                    ) AS privilege
                    FROM privileges AS p
                    WHERE p.purpose = 'clean up'
                        AND NOT p.is_held
                ) AS m
            )
        WHEN v.lacking IS NOT NULL
            THEN format('%I lacks grants for: %s', current_user, v.lacking)
    END AS found,
    format(
        E'As the owner, in psql: '
        'SELECT %I.notification_cleanup_grants(%L, %L) \\gexec',
        current_schema(),
        quote_ident(current_user::text),
        CASE WHEN v.is_failure THEN '{clean up}' ELSE format('{%s}', v.lacking) END
    ) AS advice
FROM verdict AS v
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
WITH columns AS (
    SELECT
        c.oid AS relation,
        c.relkind,
        wanted.name,
        a.attnum
    FROM (VALUES
        ('id'::name),
        ('deleted_at'),
        ('ctid'),
        ('tableoid')
    ) AS wanted (name)
    LEFT JOIN pg_class AS c ON c.oid = to_regclass('notifications')
    LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid
        AND a.attname = wanted.name
),
problems AS (
    SELECT p.problem
    FROM notification_column_problems() AS p
    UNION ALL
    SELECT 'the view hides what is soft-deleted, so that nothing can be restored or purged'
    WHERE notification_view_hides_deleted()
    UNION ALL
    SELECT CASE
        WHEN c.attnum IS NULL
            AND c.name IN ('ctid', 'tableoid')
            THEN format('%s is missing', c.name)
        WHEN c.name = 'deleted_at'
            AND NOT pg_column_is_updatable(c.relation::regclass, c.attnum, false)
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
    END
    FROM columns AS c
)
SELECT
    CASE WHEN count(p.problem) = 0 THEN 'ok' ELSE 'failure' END AS severity,
    string_agg(p.problem, '; ' ORDER BY p.problem) AS found,
    'Undo that, or adopt it as it is now: notification-cleanup migrate adopt.' AS advice
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
WITH served AS MATERIALIZED (
    SELECT i.*
    FROM notification_cleanup_indexes() AS i
    WHERE i.purpose IS NOT NULL
),
-- What the application reads an inbox by, with the soft-deleted notifications in it.
inboxes AS (
    SELECT
        i.indexrelid::regclass AS index,
        i.indrelid::regclass AS relation,
        ours.index AS live_index,
        c.relkind = 'r' AND NOT c.relispartition AS is_plain
    FROM notification_tables() AS t
    JOIN pg_class AS c ON c.oid = t.relation
    JOIN pg_index AS i ON i.indrelid = t.relation
        AND i.indisvalid
        AND NOT i.indisunique
        AND i.indpred IS NULL
        AND i.indnkeyatts = 2
        AND pg_get_indexdef(i.indexrelid, 1, false) = 'user_id'
        AND pg_get_indexdef(i.indexrelid, 2, false) = 'created_at'
    LEFT JOIN served AS ours ON ours.relation = t.relation
        AND ours.purpose = 'live'
        AND ours.index <> i.indexrelid
    -- A partition's goes with that of the whole.
    WHERE NOT EXISTS (
        SELECT
        FROM pg_inherits AS parent
        WHERE parent.inhrelid = i.indexrelid
    )
        -- Where such a one is there already, only the other one is too many.
        AND NOT EXISTS (
            SELECT
            FROM pg_index AS better
            WHERE better.indrelid = i.indrelid
                AND better.indisvalid
                AND pg_get_expr(better.indpred, better.indrelid) = '(deleted_at IS NULL)'
                AND pg_get_indexdef(better.indexrelid, 1, false) = 'user_id'
                AND pg_get_indexdef(better.indexrelid, 2, false) = 'created_at'
        )
        AND to_regclass('notifications') IN (
            SELECT n.oid
            FROM pg_class AS n
            WHERE n.relkind <> 'v'
        )
)
SELECT
    CASE
        WHEN (SELECT bool_or(s.index IS NULL) FROM served AS s) THEN 'warning'
        WHEN EXISTS (SELECT FROM inboxes) THEN 'note'
        ELSE 'ok'
    END AS severity,
    coalesce(
        (
            SELECT string_agg(
                format('%s has no valid one for %s notifications', s.relation, s.purpose),
                '; '
            )
            FROM served AS s
            WHERE s.index IS NULL
        ),
        (
            SELECT string_agg(
                format('%s, by user and time, has the soft-deleted notifications in it', i.index),
                '; '
            )
            FROM inboxes AS i
        )
    ) AS found,
    CASE
        WHEN (SELECT bool_or(s.index IS NULL) FROM served AS s)
            THEN coalesce(
                (SELECT string_agg(s.statement || ';', ' ') FROM served AS s),
                'Build one on what the view shows as user_id, WHERE what it shows as deleted_at IS '
                'NULL; and one on what it shows as deleted_at.'
            )
        ELSE (
            SELECT
                'Where all queries of an inbox leave those out, one that leaves them out as well '
                'serves them and the cleanup, instead of two: '
                || string_agg(
                    CASE
                        WHEN i.is_plain THEN concat_ws(
                            ' ',
                            format(
                                'CREATE INDEX CONCURRENTLY ON %s (user_id, created_at DESC) '
                                'WHERE deleted_at IS NULL;',
                                i.relation
                            ),
                            format('DROP INDEX CONCURRENTLY %s;', i.index),
                            'DROP INDEX CONCURRENTLY ' || i.live_index || ';'
                        )
                        ELSE format(
                            'on %s (user_id, created_at DESC) WHERE deleted_at IS NULL',
                            i.relation
                        )
                    END,
                    ' '
                )
            FROM inboxes AS i
        )
    END AS advice
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
        coalesce(owner.role, quote_ident(current_user::text)::regrole) AS role
    FROM notification_tables() AS t
    LEFT JOIN owner ON true
    UNION ALL
    SELECT
        ours.oid,
        quote_ident(current_user::text)::regrole
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

                WHEN 'grants' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
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
FROM grantees AS g
) AS result;

                WHEN 'schemas' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_schemas.sql: whoever may create a function or an operator where our routines
-- look for theirs has it executed as whoever cleans up.
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'failure' END AS severity,
    string_agg(
        format(
            '%s may create functions and operators in schema %I, which are executed by whoever '
            'cleans up where they match better than those of PostgreSQL',
            c.creator,
            c.schema_name
        ),
        '; '
    ) AS found,
    string_agg(
        format('REVOKE CREATE ON SCHEMA %I FROM %s;', c.schema_name, c.creator),
        ' '
    ) || ' Or install into a schema of its own, with a view of the table.' AS advice
FROM notification_schema_creators() AS c
) AS result;

                WHEN 'renamed schemas' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_renamed_schemas.sql: a path is made of names. Where a schema was renamed, its
-- routines look for their tables elsewhere, and may find those of this schema.
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'failure' END AS severity,
    string_agg(
        format(
            'the routines in schema %I, which was renamed, work on the tables of schema %I',
            s.schema_name,
            current_schema()
        ),
        '; '
    ) AS found,
    string_agg(
        format(
            'To make them anew: SCHEMA=%L notification-cleanup migrate adopt. To remove them: '
            'migrate down.',
            s.schema_name
        ),
        ' '
    ) AS advice
FROM notification_stray_schemas() AS s
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
-- notification of a run, and whatever it waits for, the run waits for. Whether it lets the run do
-- its work, the rehearsal tells.
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
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'note' END AS severity,
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
-- sql/doctor/check_replica_identity.sql: no row of a table can be updated or deleted that a
-- publication publishes the updates or deletes of, unless the table has a replica identity. The
-- rehearsal finds that out for one partition, this for all of them, and for our own tables.
WITH written AS (
    SELECT t.relation::oid AS relation
    FROM notification_tables() AS t
    WHERE t.is_leaf
    UNION ALL
    SELECT ours.oid
    FROM pg_class AS ours
    JOIN pg_namespace AS namespace ON namespace.oid = ours.relnamespace
        AND namespace.nspname = current_schema()
    WHERE starts_with(ours.relname, 'notification_cleanup_')
        AND ours.relkind = 'r'
),
published AS (
    SELECT
        c.oid::regclass AS relation,
        publication.pubname
    FROM written AS w
    JOIN pg_class AS c ON c.oid = w.relation
    -- A partition is published through the table that it belongs to as well.
    JOIN pg_class AS whole ON whole.oid = c.oid
        OR whole.oid IN (SELECT pg_partition_ancestors(c.oid))
    JOIN pg_namespace AS namespace ON namespace.oid = whole.relnamespace
    JOIN pg_publication_tables AS p ON p.schemaname = namespace.nspname
        AND p.tablename = whole.relname
    JOIN pg_publication AS publication ON publication.pubname = p.pubname
        AND (publication.pubupdate OR publication.pubdelete)
    WHERE c.relreplident <> 'f'
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

                WHEN 'foreign keys' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_foreign_keys.sql: for each notification that is purged the server looks for rows
-- of other tables that refer to it. Without an index it reads all of such a table each time.
SELECT
    CASE
        WHEN bool_or(NOT k.has_index AND k.pages >= 1000) THEN 'warning'
        WHEN bool_or(k.keeps OR NOT k.has_index) THEN 'note'
        ELSE 'ok'
    END AS severity,
    string_agg(
        format(
            '%s refers to %s%s%s',
            k.relation,
            k.refers_to,
            CASE WHEN k.keeps THEN ', and keeps those from being purged' END,
            CASE
                WHEN NOT k.has_index
                    THEN format(
                        ', and has no index for that: each one purged reads %s pages',
                        k.pages
                    )
            END
        ),
        '; '
        ORDER BY k.relation::text
    ) FILTER (WHERE k.keeps OR NOT k.has_index) AS found,
    string_agg(
        format('CREATE INDEX CONCURRENTLY ON %s (%I);', k.relation, k.first_column),
        ' '
        ORDER BY k.relation::text
    ) FILTER (WHERE NOT k.has_index) AS advice
FROM notification_foreign_keys() AS k
) AS result;

                WHEN 'refused' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_refused.sql: what undo and purge have stepped over within the last day.
WITH refused AS (
    SELECT
        f.operation,
        count(*) AS notifications,
        (array_agg(f.detail ORDER BY f.number DESC))[1] AS detail
    FROM notification_cleanup_refused AS f
    WHERE f.refused_at > now() - interval '1 day'
    GROUP BY f.operation
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END AS severity,
    string_agg(
        format('%s: %s refused, the last because %s', r.operation, r.notifications, r.detail),
        '; '
        ORDER BY r.operation
    ) AS found,
    'Mend that: SELECT * FROM notification_cleanup_refused; tells which. They are tried again '
    'after '
    'a day, or at once when these rows are deleted.' AS advice
FROM refused AS r
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
-- sql/doctor/check_server.sql: a standby shows what would go, but nothing can be deleted there, nor
-- where transactions are read-only by default.
SELECT
    CASE
        WHEN server.is_standby THEN 'note'
        WHEN NOT server.is_read_only THEN 'ok'
        -- Set by whoever is connected, perhaps to look only.
        WHEN server.source IN ('session', 'client') THEN 'warning'
        ELSE 'failure'
    END AS severity,
    CASE
        WHEN server.is_standby THEN 'a standby'
        WHEN server.is_read_only
            THEN 'a primary, but default_transaction_read_only is on: no run can write'
        ELSE 'a primary'
    END AS found,
    CASE
        WHEN server.is_standby THEN 'This is only to look; clean up on the primary.'
        WHEN server.source IN ('session', 'client')
            THEN 'This session has set it: SET default_transaction_read_only = off;'
        ELSE format(
            'ALTER ROLE %I IN DATABASE %I SET default_transaction_read_only = off;',
            current_user,
            current_database()
        )
    END AS advice
FROM (
    SELECT
        pg_is_in_recovery() AS is_standby,
        s.setting::boolean AS is_read_only,
        s.source
    FROM pg_settings AS s
    WHERE s.name = 'default_transaction_read_only'
) AS server
) AS result;

                WHEN 'suspension' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_suspension.sql: a suspension that somebody has forgotten is no better than a job
-- that nobody has scheduled.
SELECT
    CASE WHEN suspension IS NULL THEN 'ok' ELSE 'warning' END AS severity,
    'the job is suspended ' || suspension AS found,
    'When that is over: SELECT resume_notification_cleanup();' AS advice
FROM cleanup_suspension() AS suspension
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
    WHERE NOT cleanup_time_is_ahead(r.finished_at)
)
SELECT
    CASE
        WHEN r.age IS NULL THEN 'note'
        WHEN r.age < interval '26 hours' THEN 'ok'
        ELSE 'warning'
    END AS severity,
    coalesce('ended ' || r.age::text || ' ago', 'none yet') AS found,
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
-- A session between two batches still shows the call of the last one; but a call never waits for
-- more than a second, so one that has been idle for longer than that works on nothing.
WITH unfinished AS (
    SELECT
        r.*,
        EXISTS (
            SELECT
            FROM notification_cleanup_open_runs AS o
            WHERE o.run_id = r.id
                AND o.stopped_at IS NOT NULL
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
                AND (a.state <> 'idle' OR a.state_change > now() - interval '5 seconds')
                AND (
                    strpos(a.query, 'cleanup_next_batch') > 0
                    OR strpos(a.query, 'cleanup_notifications_in_batches') > 0
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

                WHEN 'run ids' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_run_ids.sql: logical replication and a restore of the rows alone do not carry
-- sequences. Then each new run would get the number of an old one.
WITH history AS (
    SELECT coalesce(max(r.id), bigint '0') AS newest
    FROM notification_cleanup_runs AS r
),
numbers AS (
    SELECT
        has_sequence_privilege(s.oid, 'SELECT, USAGE') AS is_known,
        coalesce(p.last_value, bigint '0') AS last_value
    FROM pg_class AS s
    JOIN pg_namespace AS n ON n.oid = s.relnamespace
    JOIN pg_sequences AS p ON p.schemaname = n.nspname
        AND p.sequencename = s.relname
    WHERE s.oid = pg_get_serial_sequence('notification_cleanup_runs', 'id')::regclass
)
SELECT
    CASE
        WHEN NOT n.is_known THEN 'note'
        WHEN n.last_value < h.newest THEN 'failure'
        ELSE 'ok'
    END AS severity,
    CASE
        WHEN NOT n.is_known THEN 'not known: this role may not see the sequence'
        WHEN n.last_value < h.newest
            THEN format('new runs begin after %s, but there is run %s', n.last_value, h.newest)
    END AS found,
    CASE WHEN n.is_known THEN 'As the owner: ' || cleanup_run_ids_repair() END AS advice
FROM history AS h
CROSS JOIN numbers AS n
) AS result;

                WHEN 'clock' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_clock.sql: a clock that was ahead once leaves times of the future behind, after
-- which nobody can go.
WITH ahead AS (
    SELECT
        r.id,
        date_trunc('second', greatest(r.started_at, r.finished_at)) AS noted_at
    FROM notification_cleanup_runs AS r
    WHERE cleanup_time_is_ahead(greatest(r.started_at, r.finished_at))
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END AS severity,
    string_agg(
        format('run %s is of the future, %s', a.id, a.noted_at),
        '; '
        ORDER BY a.id
    ) AS found,
    'Is the clock of the server right? Where it was ahead: what those runs deleted is kept until '
    'then, and purged later.' AS advice
FROM ahead AS a
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
    -- A preview refuses these; they are what the check of the table is about.
    WHERE NOT EXISTS (SELECT FROM notification_column_problems())
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
            + b.rows * coalesce(s.table_bytes / nullif(s.rows, numeric '0'), 0)
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
        '%s; %s%s',
        current_setting('max_wal_size'),
        CASE
            WHEN w.rows = numeric '0' THEN 'there is nothing to delete'
            ELSE format('deleting %s writes about %s', w.rows, pg_size_pretty(w.bytes))
        END,
        -- On Citus the coordinator knows the size of its own tables only.
        CASE
            WHEN w.rows > numeric '0' AND notification_shards('{}') IS NOT NULL
                THEN ' here, and the rest on the workers'
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

                WHEN 'prepared transactions' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_prepared_transactions.sql: what a prepared transaction holds is skipped by every
-- run, and VACUUM cannot clean up behind it, whatever it has touched, until somebody ends it: no
-- restart does.
WITH prepared AS (
    SELECT
        p.gid,
        p.owner,
        date_trunc('second', p.prepared) AS since,
        EXISTS (
            SELECT
            FROM pg_locks AS own
            JOIN pg_locks AS held ON held.virtualtransaction = own.virtualtransaction
                AND held.pid IS NULL
                AND held.mode <> 'AccessShareLock'
            JOIN notification_tables() AS t ON t.relation = held.relation
            WHERE own.transactionid = p.transaction
                AND own.pid IS NULL
                AND own.mode = 'ExclusiveLock'
        ) AS holds_notifications,
        EXISTS (
            SELECT
            FROM notification_tables() AS t
            JOIN pg_stat_all_tables AS s ON s.relid = t.relation
            WHERE greatest(s.last_vacuum, s.last_autovacuum) > p.prepared
        ) AS met_by_vacuum
    FROM pg_prepared_xacts AS p
    WHERE p.database = current_database()
        AND p.prepared < now() - interval '1 second'
)
SELECT
    CASE
        WHEN bool_or(p.holds_notifications OR p.met_by_vacuum) THEN 'warning'
        WHEN count(*) > 0 THEN 'note'
        ELSE 'ok'
    END AS severity,
    string_agg(
        format(
            '%L of %s since %s%s%s',
            p.gid,
            p.owner,
            p.since,
            CASE WHEN p.holds_notifications THEN ', holds notifications' END,
            CASE WHEN p.met_by_vacuum THEN ', and VACUUM has come since' END
        ),
        '; '
    ) AS found,
    'What it holds is skipped, and until it ends VACUUM removes nothing that was deleted since. '
    'If whoever prepared it does not end it: '
    || string_agg(format('ROLLBACK PREPARED %L;', p.gid), ' ') AS advice
FROM prepared AS p
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
        (
            SELECT CASE
                WHEN NOT has_schema_privilege(n.oid, 'USAGE')
                    THEN format('it is here, but %I may not see the jobs', current_user)
                WHEN r.rolsuper OR r.rolbypassrls
                    THEN 'no job in this database'
                ELSE format('no job of %I in this database', current_user)
            END
            FROM pg_extension AS e
            JOIN pg_namespace AS n ON n.nspname = 'cron'
            JOIN pg_roles AS r ON r.rolname = current_user
            WHERE e.extname = 'pg_cron'
        ),
        'it is in database ' || (
            SELECT s.setting
            FROM pg_settings AS s
            WHERE s.name = 'cron.database_name'
        ),
        CASE
            WHEN NOT pg_has_role('pg_read_all_settings'::name, 'USAGE')
                THEN format(
                    'not in this database; %I may not see whether it is in another one',
                    current_user
                )
        END,
        'not used here'
    ) AS found,
    concat_ws(
        ' ',
        'It said: ' || string_agg(j.message, ' ') FILTER (WHERE j.state = 'failed'),
        string_agg(format('SELECT cron.alter_job(%s, active => true);', j.id), ' ')
            FILTER (WHERE j.state = 'not active'),
        (
            SELECT format('GRANT USAGE ON SCHEMA cron TO %I;', current_user)
            FROM pg_extension AS e
            JOIN pg_namespace AS n ON n.nspname = 'cron'
            WHERE e.extname = 'pg_cron'
                AND NOT has_schema_privilege(n.oid, 'USAGE')
        )
    ) AS advice
FROM jobs AS j
) AS result;

                WHEN 'statuses' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_statuses.sql: only 'read' is deletable, written exactly so. Where the
-- application writes READ, or 1, nothing ever goes. A sample tells.
WITH sampled AS (
    SELECT
        s.status,
        sum(s.notifications) AS notifications,
        row_number() OVER (ORDER BY sum(s.notifications) DESC, s.status) AS number
    FROM sample_notifications() AS s
    WHERE s.deletion IS NULL
    GROUP BY s.status
)
SELECT
    CASE
        WHEN NOT coalesce(bool_or(s.status = 'read'), false)
            AND bool_or(s.status IS DISTINCT FROM 'unread')
            THEN 'warning'
        ELSE 'ok'
    END AS severity,
    format(
        'of %s live notifications looked at: %s',
        coalesce(sum(s.notifications), 0),
        coalesce(
            string_agg(
                format('%L %s', s.status, s.notifications),
                ', '
                ORDER BY s.number
            ) FILTER (WHERE s.number <= 5),
            'none'
        )
    ) AS found,
    'A run deletes those with status ''read'' only, so it may find nothing. Where the application '
    'writes that otherwise, let '
    || CASE
        WHEN EXISTS (
            SELECT
            FROM pg_class AS c
            WHERE c.oid = to_regclass('notifications')
                AND c.relkind = 'v'
        ) THEN 'the view'
        ELSE 'a view'
    END
    || ' show it as ''read''.' AS advice
FROM sampled AS s
) AS result;

                WHEN 'deletions' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_deletions.sql: a notification is live only while deleted_at IS NULL. Where the
-- application marks live ones by another value, infinity say, no run ever sees one, and a purge
-- may take them. A sample tells.
WITH sampled AS (
    SELECT
        coalesce(sum(s.notifications), 0)::bigint AS notifications,
        coalesce(sum(s.notifications) FILTER (WHERE s.deletion IS NULL), 0)::bigint AS live,
        coalesce(
            sum(s.notifications) FILTER (WHERE s.deletion = 'never'),
            0
        )::bigint AS never_deleted
    FROM sample_notifications() AS s
)
SELECT
    CASE
        WHEN s.never_deleted = 0 THEN 'ok'
        WHEN s.never_deleted = s.notifications THEN 'failure'
        WHEN s.never_deleted > (s.notifications - s.live) / 2 THEN 'warning'
        ELSE 'note'
    END AS severity,
    format(
        'of %s notifications looked at %s are live, and %s have a deleted_at before they were '
        'created or in the future',
        s.notifications,
        s.live,
        s.never_deleted
    ) AS found,
    'A run takes a notification for live only where deleted_at IS NULL, and a purge deletes for '
    'good what has an old one. If these are not deleted, do not purge: set it to NULL, and let '
    'the application write NULL.' AS advice
FROM sampled AS s
) AS result;

                WHEN 'rehearsal' THEN

SELECT
    result.severity,
    result.found,
    result.advice
INTO
    v_severity,
    v_found,
    v_advice
FROM (
-- sql/doctor/check_rehearsal.sql: what fails when it is tried with one notification fails at night.
-- All of it is taken back.
WITH results AS MATERIALIZED (
    SELECT
        min(r.number) AS number,
        r.outcome,
        r.advice,
        concat_ws(
            ': ',
            string_agg(r.step, ', ' ORDER BY r.number),
            -- The message of the others tells it.
            CASE WHEN r.outcome NOT IN ('works', 'accepted') THEN r.outcome END,
            nullif(r.message, ''),
            nullif(rtrim(r.detail, '.'), '')
        ) AS told
    FROM rehearse_notification_cleanup() WITH ORDINALITY
        AS r (step, outcome, sqlstate, message, detail, advice, number)
    GROUP BY
        r.outcome,
        r.message,
        r.detail,
        r.advice
)
SELECT
    CASE
        WHEN bool_or(r.outcome IN ('fails', 'kept')) THEN 'failure'
        WHEN bool_or(r.outcome = 'refused') THEN 'warning'
        WHEN bool_and(r.outcome = 'works') THEN 'ok'
        ELSE 'note'
    END AS severity,
    string_agg(r.told, '; ' ORDER BY r.number)
    || CASE
        WHEN bool_or(r.outcome NOT IN ('not tried', 'accepted'))
            THEN '. What stays is what triggers did outside of the database or with sequences, '
                'and dead rows.'
        ELSE ''
    END AS found,
    string_agg(DISTINCT r.advice, ' ')
    || ' To see it: SELECT * FROM rehearse_notification_cleanup();' AS advice
FROM results AS r
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
'harm, note for information, ok. Reads as much as a preview, and tries what a run does with one '
'notification, all of which is taken back: see rehearse_notification_cleanup(). Works on a hot '
'standby, and for a role with few rights.';
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
-- It compares what the server prints of an index.
SET quote_all_identifiers = off
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    WITH templates AS MATERIALIZED (
        SELECT
            t.*,
            format(
                '%sON %I.%I (%s)%s WHERE %s',
                CASE WHEN c.oid = 'notifications'::regclass THEN free_name.name || ' ' END,
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
        -- An index of the first name may be on a table that was renamed, or on another one.
        CROSS JOIN LATERAL (
            SELECT candidate.name
            FROM generate_series(0, 9) AS number
            CROSS JOIN LATERAL (
                SELECT concat('notifications_', t.purpose, '_idx', nullif(number, 0))
            ) AS candidate (name)
            WHERE NOT EXISTS (
                SELECT
                FROM pg_class AS holder
                WHERE holder.relnamespace = c.relnamespace
                    AND holder.relname = candidate.name
            )
            ORDER BY number
            LIMIT 1
        ) AS free_name
    ),
    -- Indexes that are just like the template, and those that a failure has left invalid, also with
    -- more columns behind.
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
            AND (
                i.indnkeyatts = 1
                AND i.indnatts = 1 + cardinality(t.included)
                OR NOT i.indisvalid
                AND cardinality(t.included) = 0
            )
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
E'For each table or partition behind notifications, and each purpose (live: find and rank; '
'deleted: purge and undo), the valid index that serves, or NULL and what builds it; that is NULL '
'too where a view of several tables does not tell.
A partitioned table itself has no purpose, and comes behind its partitions: its index is for '
'partitions to come. In psql: '
'SELECT statement FROM notification_cleanup_indexes() WHERE statement IS NOT NULL \\gexec';
-- end of sql/doctor/notification_cleanup_indexes.sql

-- frozen copy of sql/doctor/notification_cron_jobs.sql
-- The jobs of pg_cron in this database that clean up, purge or forget old runs, and how each ran
-- the last time.
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
        JOIN pg_namespace AS n ON n.nspname = 'cron'
        WHERE e.extname = 'pg_cron'
            AND has_schema_privilege(n.oid, 'USAGE')
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
                strpos(j.command, 'cleanup_notifications') > 0
                OR strpos(j.command, 'purge_notifications') > 0
                OR strpos(j.command, 'notification_cleanup_runs') > 0
            )
    $jobs$;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_cron_jobs() IS
'The jobs of pg_cron in this database that clean up, purge or forget old runs, of those that the '
'caller may see, with the status and the message of their last run; none where the extension is '
'not, nor for whoever may not use its schema.';
-- end of sql/doctor/notification_cron_jobs.sql

-- frozen copy of sql/doctor/notification_foreign_keys.sql
-- Which foreign keys a purge has to do with: those that refer to notifications, and those that
-- refer to what goes with them by ON DELETE CASCADE.
--
--     SELECT * FROM notification_foreign_keys();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_foreign_keys()
RETURNS TABLE (
    relation regclass,
    refers_to regclass,
    first_column name,
    keeps boolean,
    has_index boolean,
    pages bigint
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE keys AS (
        SELECT k.*
        FROM pg_constraint AS k
        JOIN notification_tables() AS t ON t.relation = k.confrelid
        WHERE k.contype = 'f'
            AND k.conparentid = oid '0'
        UNION
        SELECT k.*
        FROM keys AS cascading
        JOIN pg_constraint AS k ON k.confrelid = cascading.conrelid
        WHERE cascading.confdeltype = 'c'
            AND k.contype = 'f'
            AND k.conparentid = oid '0'
    )
    SELECT
        k.conrelid::regclass,
        k.confrelid::regclass,
        a.attname,
        k.confdeltype IN ('a', 'r')  -- NO ACTION, RESTRICT
            -- A purge takes no notification along that is not to go itself.
            OR k.confdeltype = 'c'
            AND k.conrelid IN (SELECT t.relation FROM notification_tables() AS t),
        EXISTS (
            SELECT
            FROM pg_index AS i
            WHERE i.indrelid = k.conrelid
                AND i.indisvalid
                AND i.indpred IS NULL
                AND i.indkey[0] = ANY (k.conkey)
        ),
        (
            SELECT sum(pg_relation_size(part.oid) / current_setting('block_size')::bigint)::bigint
            FROM (
                SELECT k.conrelid AS oid
                UNION
                SELECT tree.relid
                FROM pg_partition_tree(k.conrelid) AS tree
            ) AS part
        )
    FROM keys AS k
    JOIN pg_attribute AS a ON a.attrelid = k.conrelid
        AND a.attnum = k.conkey[1];
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_foreign_keys() IS
    'The foreign keys that refer to notifications, or to what is deleted with them: from which '
    'table and its first column, whether it keeps what it refers to from being purged (NO ACTION, '
    'RESTRICT, or a CASCADE to other notifications), whether it has an index, and how many pages '
    'are read for each notification that is purged where it has none.';
-- end of sql/doctor/notification_foreign_keys.sql

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
-- It compares what the server prints of an index.
SET quote_all_identifiers = off
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
            E'(''[^'']*'')|(?<!\\w)'
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
                SELECT quote_ident(a.attname::text)
                FROM pg_attribute AS a
                WHERE a.attrelid = t.relation
                    AND a.attnum > 0
                    AND NOT a.attisdropped
                    AND t.key ~ (
                        E'(?<![\\w"])'
                        || regexp_replace(quote_ident(a.attname::text), E'(\\W)', E'\\\\\\1', 'g')
                        || E'(?![\\w"])'
                    )
                    AND NOT EXISTS (
                        SELECT
                        FROM pg_attribute AS whole
                        WHERE whole.attrelid = t.relation
                            AND quote_ident(whole.attname::text) = t.key
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
-- end of sql/doctor/notification_index_templates.sql

-- frozen copy of sql/doctor/notification_sample_pages.sql
-- Some pages, spread over notifications, for whoever wants a sample of it: so few that they are
-- read in no time, however large the table is.
--
--     SELECT * FROM notification_sample_pages();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_sample_pages()
RETURNS TABLE (
    first_row tid,
    behind_last_row tid
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_pages bigint;  -- of the largest table or partition
    v_width bigint;
    v_spots bigint;
BEGIN
    SELECT
        coalesce(max(t.pages), 0),
        -- Each spot is read in all of them at once.
        64 / greatest(count(*), 1) + 1
    INTO
        v_pages,
        v_width
    FROM notification_tables() AS t
    WHERE t.is_leaf;
    v_spots := least(v_pages / v_width, 15) + 1;
    RETURN QUERY
    SELECT
        format('(%s,0)', first.page)::tid,
        format('(%s,0)', first.page + v_width)::tid
    FROM generate_series(0::bigint, v_spots - 1) AS spot (number)
    CROSS JOIN LATERAL (
        SELECT spot.number * greatest(v_pages / v_spots, v_width) AS page
    ) AS first;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_sample_pages() IS
'Up to 16 ranges of places (ctid), spread over notifications, of some pages each: for samples.';
-- end of sql/doctor/notification_sample_pages.sql

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
        WHEN size.pages > 0 THEN least(c.relallvisible::numeric / size.pages::numeric, 1)
    END AS visible_share
FROM behind AS b
JOIN pg_class AS c ON c.oid = b.relation
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN c.relkind = 'r'
            THEN pg_relation_size(c.oid::regclass) / current_setting('block_size')::bigint
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
-- end of sql/doctor/notification_tables.sql

-- frozen copy of sql/doctor/notification_view_hides_deleted.sql
-- Whether notifications is a view that cannot show what is soft-deleted, as with
-- WHERE deleted_at IS NULL. Undo and purge would find nothing there.
--
--     SELECT notification_view_hides_deleted();
--
-- The planner tells: what two conditions exclude it does not read. A condition that it does not
-- understand is found by the rehearsal.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_view_hides_deleted()
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET constraint_exclusion = on
AS $$
DECLARE
    v_plan json;
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid
            AND a.attname = 'deleted_at'
        WHERE c.oid = to_regclass('notifications')
            AND c.relkind = 'v'
    ) THEN
        RETURN false;
    END IF;
    EXPLAIN (FORMAT JSON)
    SELECT n.deleted_at
    INTO v_plan
    FROM notifications AS n
    WHERE n.deleted_at IS NOT NULL;
    RETURN coalesce(v_plan #>> '{0,Plan,One-Time Filter}' = 'false', false);
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_view_hides_deleted() IS
'For the doctor: whether notifications is a view whose condition keeps out what is soft-deleted.';
-- end of sql/doctor/notification_view_hides_deleted.sql

-- frozen copy of sql/doctor/rehearse_cleanup_step.sql
-- Does one step to the one notification of a batch that is not in the queue, looks at it, and takes
-- all of it back:
--
--     SELECT r.*
--     FROM find_notifications_to_rehearse(1) AS batch
--     CROSS JOIN rehearse_cleanup_step('purge', batch) AS r;
--
-- By the routines that a run, an undo and a purge call. Waits for nobody: 100 ms for a lock at
-- most, since the notification is one that the application may want. With an empty list it finds
-- out whether the server accepts the statements at all.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION rehearse_cleanup_step(
    step text,  -- soft-delete; or restore or purge, which begin with that
    batch notification_cleanup_batches,
    OUT outcome text,
    OUT sqlstate text,
    OUT message text,
    OUT detail text,
    OUT advice text
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET lock_timeout = '100ms'
-- What our routines and the application's triggers tell is not for whoever calls this.
SET client_min_messages = error
AS $$
DECLARE
    v_lock_timeout CONSTANT text := current_setting('lock_timeout');
    v_id CONSTANT notification_id := (rehearse_cleanup_step.batch).ids[1];
    v_user_id CONSTANT notification_user_id := (rehearse_cleanup_step.batch).users[1];
    v_created_at CONSTANT notification_created_at := (rehearse_cleanup_step.batch).created_ats[1];
    v_run notification_cleanup_runs;
    v_sweep record;
    v_deleted_at timestamptz;
    -- Where it lies once it is deleted.
    v_relations oid[] := ARRAY[]::oid[];
    v_places tid[] := ARRAY[]::tid[];
    v_is_done boolean;
BEGIN
    PERFORM check_notification_columns();
    -- A number that no run has, nor a rehearsal in another session: none is missing afterwards.
    INSERT INTO notification_cleanup_runs (id, max_notifications, min_keep)
    OVERRIDING SYSTEM VALUE
    VALUES (-pg_backend_pid(), 1, 1)
    RETURNING * INTO v_run;
    rehearse_cleanup_step.batch.run_id := v_run.id;
    INSERT INTO notification_cleanup_batches
    SELECT (rehearse_cleanup_step.batch).*;

    v_sweep := sweep_cleanup_batch(v_run.id, 1, v_lock_timeout);
    PERFORM record_cleanup_batch(
        v_run.id,
        1,
        v_sweep.deleted,
        v_sweep.missed,
        v_sweep.kept,
        interval '0'
    );
    -- Deferred ones would speak at COMMIT only. It is for the steps that follow as well.
    SET CONSTRAINTS ALL IMMEDIATE;
    IF v_id IS NULL THEN
        rehearse_cleanup_step.outcome := 'accepted';
        rehearse_cleanup_step.message := 'the server takes the statement, but '
            'no read notification was found to try it with';
    ELSIF v_sweep.deleted = 0 AND v_sweep.kept IS NULL THEN
        rehearse_cleanup_step.outcome := 'held';
        rehearse_cleanup_step.message := 'another session holds it, or has changed it';
    ELSE
        SELECT
            n.deleted_at,
            ARRAY[n.tableoid],
            ARRAY[n.ctid]
        INTO
            v_deleted_at,
            v_relations,
            v_places
        FROM notifications AS n
        WHERE n.id = v_id
            AND n.user_id = v_user_id
            AND n.created_at = v_created_at;
        rehearse_cleanup_step.outcome := CASE
            WHEN NOT FOUND THEN 'fails'
            WHEN v_deleted_at IS DISTINCT FROM v_run.started_at THEN 'kept'
            ELSE 'works'
        END;
    END IF;

    IF rehearse_cleanup_step.outcome IN ('accepted', 'works')
        AND rehearse_cleanup_step.step <> 'soft-delete'
    THEN
        IF rehearse_cleanup_step.step = 'restore' THEN
            PERFORM restore_listed_notifications(
                v_relations,
                v_places,
                (rehearse_cleanup_step.batch).ids,
                (rehearse_cleanup_step.batch).users,
                (rehearse_cleanup_step.batch).created_ats
            );
        ELSE
            PERFORM check_delete_rules();
            PERFORM purge_listed_notifications(
                v_relations,
                v_places,
                (rehearse_cleanup_step.batch).ids,
                (rehearse_cleanup_step.batch).users,
                (rehearse_cleanup_step.batch).created_ats
            );
        END IF;
        SELECT n.deleted_at
        INTO v_deleted_at
        FROM notifications AS n
        WHERE n.id = v_id
            AND n.user_id = v_user_id
            AND n.created_at = v_created_at;
        v_is_done := CASE rehearse_cleanup_step.step
            WHEN 'restore' THEN FOUND AND v_deleted_at IS NULL
            WHEN 'purge' THEN NOT FOUND
        END;
        IF v_id IS NOT NULL AND NOT v_is_done THEN
            rehearse_cleanup_step.outcome := 'kept';
        END IF;
    END IF;

    -- All of it is taken back, but not what the variables say.
    RAISE EXCEPTION USING ERRCODE = 'NC001', MESSAGE = 'taken back';
EXCEPTION
    WHEN SQLSTATE 'NC001' THEN
        IF rehearse_cleanup_step.outcome = 'works' THEN
            rehearse_cleanup_step.message := format('done to %s, and taken back', v_id);
        ELSIF rehearse_cleanup_step.outcome = 'kept' THEN
            rehearse_cleanup_step.message := 'a trigger or rule keeps it as it is, or writes '
                'another deleted_at afterwards';
            rehearse_cleanup_step.advice := 'Let that trigger or rule pass what the step does.';
        ELSIF rehearse_cleanup_step.outcome = 'fails' AND v_sweep.kept IS NOT NULL THEN
            rehearse_cleanup_step.message := 'a trigger deletes it for good, or the view hides it '
                'once it is deleted, so that nothing could be restored';
            rehearse_cleanup_step.advice := 'Let both leave what is deleted in sight.';
        ELSIF rehearse_cleanup_step.outcome = 'fails' THEN
            rehearse_cleanup_step.message := 'the view hides it once it is deleted, so that '
                'nothing could be restored or purged';
            rehearse_cleanup_step.advice := 'Let the view show what is deleted as well.';
        END IF;
    WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
        rehearse_cleanup_step.outcome := 'held';
        rehearse_cleanup_step.message := SQLERRM;
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS
            rehearse_cleanup_step.sqlstate = RETURNED_SQLSTATE,
            rehearse_cleanup_step.message = MESSAGE_TEXT,
            rehearse_cleanup_step.detail = PG_EXCEPTION_DETAIL,
            rehearse_cleanup_step.advice = PG_EXCEPTION_HINT;
        -- There it is the whole notification, which is nothing for a log.
        IF rehearse_cleanup_step.sqlstate IN ('23502', '23514') THEN
            rehearse_cleanup_step.detail := NULL;
        END IF;
        rehearse_cleanup_step.outcome := CASE
            -- Undo and purge step over what a key or constraint refuses; a run fails of it.
            WHEN rehearse_cleanup_step.sqlstate LIKE '23%'
                AND rehearse_cleanup_step.step <> 'soft-delete'
                THEN 'refused'
            ELSE 'fails'
        END;
        -- Our own statements have been found here; what is not is what somebody else's names.
        IF rehearse_cleanup_step.sqlstate IN ('42P01', '42883', '42704', '42703', '3F000') THEN
            rehearse_cleanup_step.message := format(
                '%s, because a trigger of the application runs under the search_path that is '
                'pinned here (%s)',
                rehearse_cleanup_step.message,
                current_setting('search_path')
            );
            rehearse_cleanup_step.advice := (
                SELECT
                    'Let its function name the schema, or give it a search_path of its own: '
                    || coalesce(
                        string_agg(
                            DISTINCT format(
                                'ALTER FUNCTION %s SET search_path = %s;',
                                t.tgfoid::regprocedure,
                                s.reset_val
                            ),
                            ' '
                        ),
                        'ALTER FUNCTION ... SET search_path = ...;'
                    )
                FROM pg_settings AS s
                LEFT JOIN (
                    notification_tables() AS behind
                    JOIN pg_trigger AS t ON t.tgrelid = behind.relation
                        AND NOT t.tgisinternal
                    JOIN pg_proc AS p ON p.oid = t.tgfoid
                        AND p.proconfig IS NULL
                ) ON true
                WHERE s.name = 'search_path'
            );
        END IF;
        rehearse_cleanup_step.advice := coalesce(
            nullif(rehearse_cleanup_step.advice, ''),
            CASE rehearse_cleanup_step.sqlstate
                WHEN '42P10' THEN
                    'Publish without a row filter and a list of columns, or only by the columns of '
                    'the primary key, or ALTER TABLE ... REPLICA IDENTITY FULL.'
                WHEN '42501' THEN
                    'Grant it. Behind a view it is the owner of the view who needs it.'
                WHEN '0A000' THEN 'Replace the rule by a trigger.'
                WHEN '23514' THEN 'Let the constraint allow that deleted_at alone changes.'
                ELSE 'It is the application''s own; let it pass what the step does.'
            END
        );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION rehearse_cleanup_step(text, notification_cleanup_batches) IS
    'For rehearse_notification_cleanup(), which is what to call: does a step to the one '
    'notification of the batch, takes it back, and returns how it went. outcome: works; held by '
    'another session; kept as it is by a trigger; refused by a constraint, which undo '
    'and purge step over; '
    'fails; accepted, where there is no notification.';
-- end of sql/doctor/rehearse_cleanup_step.sql

-- frozen copy of sql/doctor/rehearse_notification_cleanup.sql
-- What would fail at night, found by doing it to one notification and taking it back:
--
--     SELECT * FROM rehearse_notification_cleanup();
--
-- No list of checks foresees every trigger, rule, constraint, policy, publication and right. All
-- that stays is dead rows and what the application's triggers do outside of the database or with
-- sequences. To switch it off for a database:
--
--     ALTER DATABASE mine SET notification_cleanup.rehearsal = off;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION rehearse_notification_cleanup()
RETURNS TABLE (
    step text,
    outcome text,
    sqlstate text,
    message text,
    detail text,
    advice text
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_batches notification_cleanup_batches[];
    v_batch notification_cleanup_batches;
    v_obstacle text;  -- to all that is still to be tried
    v_may boolean;
BEGIN
    v_obstacle := CASE
        WHEN current_setting('notification_cleanup.rehearsal', true) IN ('off', 'false', 'no', '0')
            THEN 'notification_cleanup.rehearsal is off'
        WHEN pg_is_in_recovery()
            THEN 'nothing can be written on a standby'
        WHEN current_setting('transaction_read_only')::boolean
            THEN 'nothing can be written in a read-only transaction'
    END;
    IF v_obstacle IS NULL THEN
        v_batches := ARRAY(
            SELECT f
            FROM find_notifications_to_rehearse(6) AS f
        );
        IF cardinality(v_batches) = 0 THEN
            -- The statements alone, with an empty list, which Citus could not route.
            v_batches := ARRAY[
                ROW(
                    NULL, 1, 0, NULL, now(), now(), NULL, NULL,
                    '{}', '{}', '{}', '{}', '{}', NULL, NULL, NULL
                )::notification_cleanup_batches
            ];
            IF notification_shards('{}') IS NOT NULL THEN
                v_obstacle := 'no read notification was found to try it with';
            END IF;
        END IF;
    END IF;

    FOREACH rehearse_notification_cleanup.step IN ARRAY
        ARRAY['soft-delete', 'restore', 'purge']
    LOOP
        v_may := CASE rehearse_notification_cleanup.step
            WHEN 'soft-delete' THEN
                has_column_privilege('notifications', 'deleted_at', 'UPDATE')
                AND has_column_privilege('notification_cleanup_runs', 'id', 'INSERT')
            WHEN 'restore' THEN
                has_column_privilege(
                    'notification_cleanup_runs',
                    'notifications_restored',
                    'UPDATE'
                )
            WHEN 'purge' THEN has_table_privilege('notifications', 'DELETE')
        END;
        IF rehearse_notification_cleanup.step = 'purge' THEN
            v_obstacle := coalesce(v_obstacle, (
                SELECT 'it would read all of ' || string_agg(k.relation::text, ', ')
                FROM notification_foreign_keys() AS k
                WHERE NOT k.has_index
                    AND k.pages >= 1000
            ));
        END IF;
        IF v_obstacle IS NOT NULL OR NOT v_may THEN
            RETURN QUERY
            SELECT
                rehearse_notification_cleanup.step,
                'not tried',
                NULL,
                coalesce(v_obstacle, 'this role may not do it'),
                NULL,
                NULL;
            CONTINUE;
        END IF;

        FOREACH v_batch IN ARRAY v_batches LOOP
            SELECT r.*
            INTO
                rehearse_notification_cleanup.outcome,
                rehearse_notification_cleanup.sqlstate,
                rehearse_notification_cleanup.message,
                rehearse_notification_cleanup.detail,
                rehearse_notification_cleanup.advice
            FROM rehearse_cleanup_step(rehearse_notification_cleanup.step, v_batch) AS r;
            -- None of these says anything of other notifications.
            EXIT WHEN rehearse_notification_cleanup.outcome NOT IN ('held', 'kept', 'refused');
        END LOOP;
        RETURN NEXT;
        IF rehearse_notification_cleanup.step = 'soft-delete'
            AND rehearse_notification_cleanup.outcome NOT IN ('works', 'accepted')
        THEN
            v_obstacle := 'it begins with a soft-delete';
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION rehearse_notification_cleanup() IS
'Does to a notification what a run, an undo and a purge would do, and takes all of it back. A row '
'a step, with its outcome: works; fails, as it would at night; kept, where a trigger or rule keeps '
'each notification that was tried as it is; refused, where undo or purge would step over each; '
'held by other sessions; accepted by the server, where no notification was found to try it with; '
'or not tried, which message explains. It looks at a few pages of the table, waits 100 ms for a '
'lock at most, and leaves nothing but dead rows and what triggers do outside of the database or '
'with sequences. Not tried where notification_cleanup.rehearsal is off, on a standby, or without '
'the rights.';
-- end of sql/doctor/rehearse_notification_cleanup.sql

-- frozen copy of sql/doctor/sample_notifications.sql
-- What a sample of the notifications is like, a row for each page range, status and deletion:
--
--     SELECT * FROM sample_notifications();
--
-- A deletion is NULL where a notification is live, else 'then' for a deleted_at that may be the
-- time of a deletion, and 'never' for another one: infinity, one of the future, or one before the
-- notification was created. Whoever marks live ones like that has notifications that no run sees.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION sample_notifications()
RETURNS TABLE (
    status text,
    deletion text,
    notifications bigint
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
-- By place and by nothing else (Tid Range Scan), so that no page is read but those named.
SET enable_tidscan = on
SET enable_seqscan = off
SET enable_indexscan = off
SET enable_indexonlyscan = off
SET enable_bitmapscan = off
SET seq_page_cost = 1e9
SET random_page_cost = 1e9
AS $$
DECLARE
    -- For a created_at without zone, and clocks that are not quite right.
    v_tolerance CONSTANT interval := interval '1 day';
    v_spot record;
BEGIN
    FOR v_spot IN
        SELECT
            p.first_row,
            p.behind_last_row
        FROM notification_sample_pages() AS p
    LOOP
        RETURN QUERY
        SELECT
            sampled.status,
            sampled.deletion,
            count(*)
        FROM (
            SELECT
                n.status::text AS status,
                CASE
                    WHEN n.deleted_at IS NULL
                        THEN NULL
                    WHEN NOT isfinite(n.deleted_at)
                        OR n.deleted_at > now() + v_tolerance
                        OR n.deleted_at < n.created_at - v_tolerance AND n.created_at <= now()
                        THEN 'never'
                    ELSE 'then'
                END AS deletion
            FROM notifications AS n
            WHERE n.ctid >= v_spot.first_row
                AND n.ctid < v_spot.behind_last_row
        ) AS sampled
        GROUP BY
            sampled.status,
            sampled.deletion;
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION sample_notifications() IS
    'For the doctor: how many of some notifications from a few pages of the table have each '
    'status, and whether they are live (deletion NULL), deleted at that time (then), or have a '
    'deleted_at that is not the time of a deletion (never).';
-- end of sql/doctor/sample_notifications.sql

-- frozen copy of sql/pace/await_cleanup_pace.sql
-- Waits until a batch of the run may begin, until the deadline at most:
--
--     SELECT await_cleanup_pace(7, clock_timestamp() + interval '1 second');
--
-- It holds no lock meanwhile, and a notice tells what it waits for.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION await_cleanup_pace(
    run_id bigint,
    deadline timestamptz
)
RETURNS text
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_open notification_cleanup_open_runs;
    v_reason text;
    v_result text;
    v_told boolean := false;
    v_suspension text;
BEGIN
    LOOP
        SELECT o.*
        INTO v_open
        FROM notification_cleanup_open_runs AS o
        WHERE o.run_id = await_cleanup_pace.run_id
            -- A run of which only the end is left need not wait for it.
            AND EXISTS (
                SELECT
                FROM notification_cleanup_batches AS b
                WHERE b.run_id = o.run_id
                    AND b.done_at IS NULL
            );
        IF v_open.stopped_at IS NOT NULL THEN
            RAISE NOTICE
                'run %: stopped by stop_notification_cleanup(), the next call of the job continues '
                'it',
                await_cleanup_pace.run_id;
            v_result := 'stopped';
            EXIT;
        END IF;
        v_suspension := cleanup_suspension();
        IF v_open.run_id IS NOT NULL AND v_suspension IS NOT NULL THEN
            RAISE NOTICE 'run %: suspended %', await_cleanup_pace.run_id, v_suspension;
            v_result := 'stopped';
            EXIT;
        END IF;

        v_reason := NULL;
        -- Outside of these spans the clock was set back since they were noted.
        IF clock_timestamp() BETWEEN v_open.resting_since AND v_open.rest_until THEN
            v_reason := format(
                'resting for %s seconds, pause_factor is %s',
                round(extract(epoch FROM v_open.rest_until - clock_timestamp()), 1),
                v_open.pause_factor
            );
        ELSIF v_open.replicas_mark IS NOT NULL
            AND clock_timestamp() NOT BETWEEN
                v_open.replicas_due - v_open.max_replica_lag AND v_open.replicas_due
        THEN
            SELECT format(
                '%s is %s behind, and more than max_replica_lag, %s',
                r.replica,
                pg_size_pretty(pg_current_wal_flush_lsn() - r.lsn),
                v_open.max_replica_lag
            )
            INTO v_reason
            FROM notification_replicas() AS r
            WHERE r.lsn < v_open.replicas_mark
            ORDER BY r.lsn
            LIMIT 1;
        END IF;
        v_result := CASE WHEN v_reason IS NULL THEN 'begin' ELSE 'wait' END;
        EXIT WHEN v_result = 'begin' OR clock_timestamp() > await_cleanup_pace.deadline;

        IF NOT v_told THEN
            RAISE NOTICE 'run %: waiting, %', await_cleanup_pace.run_id, v_reason;
            v_told := true;
        END IF;
        PERFORM pg_sleep(double precision '0.05');
    END LOOP;
    RETURN v_result;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION await_cleanup_pace(bigint, timestamptz) IS
    'For cleanup_next_batch(): begin, when a batch of the run may begin; wait, when the deadline '
    'has passed before, for the reason that a notice gave; stopped, when somebody has stopped the '
    'run, or suspended all.';
-- end of sql/pace/await_cleanup_pace.sql

-- frozen copy of sql/pace/check_cleanup_pace.sql
-- Refuses a pace that makes no sense, or that this role cannot keep:
--
--     SELECT check_cleanup_pace(1, interval '30 seconds');
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION check_cleanup_pace(
    pause_factor double precision,
    max_replica_lag interval
)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF (
        check_cleanup_pace.pause_factor BETWEEN double precision '0' AND '1000'
        AND coalesce(check_cleanup_pace.max_replica_lag > interval '0', true)
    ) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid pace: pause_factor => %L, max_replica_lag => %L',
                check_cleanup_pace.pause_factor,
                check_cleanup_pace.max_replica_lag
            ),
            HINT = 'pause_factor takes 0 to 1000, max_replica_lag a positive interval, or NULL for '
                'none.';
    END IF;
    IF check_cleanup_pace.max_replica_lag IS NOT NULL THEN
        -- Raises an error for a role that may not see the replicas.
        PERFORM notification_replicas();
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION check_cleanup_pace(double precision, interval) IS
    'Raises invalid_parameter_value (22023) unless this is a pace that a run can have, and '
    'insufficient_privilege (42501) where this role may not see how far the replicas are.';
-- end of sql/pace/check_cleanup_pace.sql

-- frozen copy of sql/pace/cleanup_suspension.sql
-- Since when, by whom and why the job is suspended, as words to be put into a sentence; NULL where
-- it is not:
--
--     SELECT cleanup_suspension();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_suspension()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN (
        SELECT format(
            'since %s by %s: %s',
            date_trunc('second', s.suspended_at),
            s.suspended_by,
            s.reason
        )
        FROM notification_cleanup_suspension AS s
    );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION cleanup_suspension() IS
    'Since when, by whom and why suspend_notification_cleanup() has suspended the job; NULL where '
    'it is not suspended.';
-- end of sql/pace/cleanup_suspension.sql

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
    IF NOT pg_has_role('pg_read_all_stats'::name, 'USAGE') THEN
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
-- end of sql/pace/notification_replicas.sql

-- frozen copy of sql/pace/pace_after_batch.sql
-- Notes after a batch until when the run rests, and from when on replicas are too far behind:
--
--     SELECT pace_after_batch(7, interval '0.2 seconds');
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pace_after_batch(
    run_id bigint,
    took interval
)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_mark pg_lsn;
    -- One that seems to have taken longer has seen the clock being set forward.
    v_longest_batch CONSTANT interval := interval '10 minutes';
BEGIN
    UPDATE notification_cleanup_open_runs AS o
    SET
        resting_since = CASE
            WHEN v_now BETWEEN o.resting_since AND o.rest_until THEN o.resting_since
            ELSE v_now
        END,
        rest_until = greatest(
            v_now + o.pause_factor * least(pace_after_batch.took, v_longest_batch),
            CASE WHEN v_now BETWEEN o.resting_since AND o.rest_until THEN o.rest_until END
        )
    WHERE o.run_id = pace_after_batch.run_id
        AND o.pause_factor > double precision '0';

    -- One mark at a time is enough: when all replicas have passed it, the next one is set.
    -- A role that may not see them can still do a batch of a run that does not wait for them.
    SELECT o.replicas_mark
    INTO v_mark
    FROM notification_cleanup_open_runs AS o
    WHERE o.run_id = pace_after_batch.run_id;
    IF v_mark IS NOT NULL AND NOT EXISTS (
        SELECT
        FROM notification_replicas() AS r
        WHERE r.lsn < v_mark
    ) THEN
        UPDATE notification_cleanup_open_runs AS o
        SET
            replicas_mark = pg_current_wal_flush_lsn(),
            replicas_due = v_now + o.max_replica_lag
        WHERE o.run_id = pace_after_batch.run_id;
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION pace_after_batch(bigint, interval) IS
    'For record_cleanup_batch(): applies pause_factor and max_replica_lag of the run after a batch '
    'that took so long.';
-- end of sql/pace/pace_after_batch.sql

-- frozen copy of sql/pace/pace_notification_cleanup.sql
-- Lets a run that is under way go on at another pace, whoever works on it:
--
--     SELECT pace_notification_cleanup(7, pause_factor => 3);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pace_notification_cleanup(
    run_id bigint,
    pause_factor double precision DEFAULT 0,
    max_replica_lag interval DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    PERFORM check_calling_schema();
    PERFORM check_run_id(pace_notification_cleanup.run_id);
    PERFORM check_cleanup_pace(
        pace_notification_cleanup.pause_factor,
        pace_notification_cleanup.max_replica_lag
    );
    UPDATE notification_cleanup_open_runs AS o
    SET
        pause_factor = pace_notification_cleanup.pause_factor,
        max_replica_lag = pace_notification_cleanup.max_replica_lag,
        resting_since = NULL,
        rest_until = NULL,
        -- Each replica must first come to where the primary is now.
        replicas_mark = CASE
            WHEN pace_notification_cleanup.max_replica_lag IS NOT NULL
            THEN pg_current_wal_flush_lsn()
        END,
        replicas_due = clock_timestamp()
    WHERE o.run_id = pace_notification_cleanup.run_id;
    RETURN FOUND;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION pace_notification_cleanup(bigint, double precision, interval) IS
    'Sets pause_factor and max_replica_lag of a run that has not ended, from its next batch on: '
    'see plan_notification_cleanup(). Returns whether the run had anything left.';
-- end of sql/pace/pace_notification_cleanup.sql

-- frozen copy of sql/pace/resume_notification_cleanup.sql
-- Ends a suspension. The next call of the job goes on with what was left:
--
--     SELECT resume_notification_cleanup();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION resume_notification_cleanup()
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    PERFORM check_calling_schema();
    DELETE FROM notification_cleanup_suspension AS s;
    RETURN FOUND;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION resume_notification_cleanup() IS
    'Ends what suspend_notification_cleanup() began. Returns whether the job was suspended.';
-- end of sql/pace/resume_notification_cleanup.sql

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
    PERFORM check_calling_schema();
    PERFORM check_run_id(stop_notification_cleanup.run_id);
    UPDATE notification_cleanup_open_runs AS o
    SET stopped_at = clock_timestamp()
    WHERE o.run_id = stop_notification_cleanup.run_id;
    RETURN FOUND;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION stop_notification_cleanup(bigint) IS
'Lets every session that works on a run end after its batch, with a notice; what they deleted '
'stays. Returns whether the run had anything left.
The next call of the job with the same limits goes on with it. Not for cleanup_notifications(), '
'which is one statement: cancel that.';
-- end of sql/pace/stop_notification_cleanup.sql

-- frozen copy of sql/pace/suspend_notification_cleanup.sql
-- Suspends the job until somebody resumes it, whoever calls it and however often:
--
--     SELECT suspend_notification_cleanup('run 7 is being undone, ask Ada');
--
-- It is written down in a table, so that a restart or a failover changes nothing about it.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION suspend_notification_cleanup(reason text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_was_suspended boolean;
BEGIN
    PERFORM check_calling_schema();
    IF coalesce(btrim(suspend_notification_cleanup.reason), '') = '' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a suspension without a reason',
            HINT = 'reason takes a text: whoever finds the job suspended will want to know why.';
    END IF;
    -- Again only where somebody has resumed it between the two statements.
    WHILE v_was_suspended IS NULL LOOP
        INSERT INTO notification_cleanup_suspension (reason)
        VALUES (suspend_notification_cleanup.reason)
        ON CONFLICT (is_suspended) DO NOTHING;
        IF FOUND THEN
            v_was_suspended := false;
            CONTINUE;
        END IF;
        RAISE NOTICE 'was suspended already %', cleanup_suspension();
        UPDATE notification_cleanup_suspension AS s
        SET
            reason = suspend_notification_cleanup.reason,
            suspended_at = DEFAULT,
            suspended_by = DEFAULT,
            application_name = DEFAULT;
        IF FOUND THEN
            v_was_suspended := true;
        END IF;
    END LOOP;
    RETURN NOT v_was_suspended;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION suspend_notification_cleanup(text) IS
    'Suspends the job: until resume_notification_cleanup() nobody plans or continues a run, and '
    'whoever works on one ends after the batch, with a notice that gives the reason. Undo and '
    'purge go on. Returns whether it was not suspended before; where it was, the new reason '
    'counts.';
-- end of sql/pace/suspend_notification_cleanup.sql

-- frozen copy of sql/rights/check_calling_schema.sql
-- Refuses to work for a routine of a schema that was renamed, whose path leads here:
--
--     SELECT check_calling_schema();
--
-- No routine knows the schema in which it stands. But among those that call this one, a routine
-- that is not found by the path is named with its schema. Only the procedure has no path of its
-- own: it says which one is found by its caller's.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION check_calling_schema(procedure_found regprocedure DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_callers text;
    v_stray name;
BEGIN
    GET DIAGNOSTICS v_callers = PG_CONTEXT;
    SELECT s.schema_name
    INTO v_stray
    FROM notification_stray_schemas() AS s
    JOIN pg_namespace AS namespace ON namespace.nspname = s.schema_name
    JOIN pg_proc AS p ON p.pronamespace = namespace.oid
    WHERE strpos(v_callers, format(' %I.%I(', s.schema_name, p.proname)) > 0
        OR (
            p.oid = check_calling_schema.procedure_found
            AND strpos(v_callers, format(' %I.%I(', current_schema(), p.proname)) = 0
        )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format(
                'the routine stands in schema %I, and works on the notifications in schema %I',
                v_stray,
                current_schema()
            ),
            DETAIL = format(
                'Schema %I was renamed, and its routines still look for its former name. Nothing '
                'was changed.',
                v_stray
            ),
            HINT = format(
                'Make them anew: SCHEMA=%L notification-cleanup migrate adopt. Or remove them, '
                'with migrate down.',
                v_stray
            );
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION check_calling_schema(regprocedure) IS
    'Raises object_not_in_prerequisite_state (55000) where a routine of a schema that was renamed '
    'calls. procedure_found: which procedure is found by the path of its caller, for that alone.';
-- end of sql/rights/check_calling_schema.sql

-- frozen copy of sql/rights/notification_cleanup_grants.sql
-- The statements that let a role do something, and nothing else:
--
--     SELECT notification_cleanup_grants('cleaner', '{clean up, undo}') \gexec
--
-- Execute them as the owner of the tables; after an upgrade once more, for what has been added.
-- +goose StatementBegin
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
-- +goose StatementEnd
COMMENT ON FUNCTION notification_cleanup_grants(regrole, text[]) IS
E'The GRANT statements that a role needs for some uses: clean up, undo, purge, watch (doctor, '
'health, history), schedule (with pg_cron) and replicas (max_replica_lag). In psql as the owner: '
'SELECT notification_cleanup_grants(''cleaner'', ''{clean up, undo}'') \\gexec';
-- end of sql/rights/notification_cleanup_grants.sql

-- frozen copy of sql/rights/notification_cleanup_privileges.sql
-- What each use takes: every privilege, on which object. Documentation, doctor and tests have it
-- from here, and no list of grants stands anywhere else.
--
--     SELECT * FROM notification_cleanup_privileges() WHERE purpose = 'purge';
--
-- Whoever adds a routine that users call adds a line to entry_points; what it calls in turn is
-- found. Whoever adds a table adds what each use does with it.
-- +goose StatementBegin
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
-- +goose StatementEnd
COMMENT ON FUNCTION notification_cleanup_privileges() IS
'Every privilege that a use takes: clean up, undo, purge, watch, schedule (with pg_cron, beside '
'what its jobs do) and replicas (for max_replica_lag). For notification_cleanup_grants(), which is '
'what to call.';
-- end of sql/rights/notification_cleanup_privileges.sql

-- frozen copy of sql/rights/notification_schema_creators.sql
-- Who may put a function or an operator where our routines look for theirs: what matches better
-- than that of PostgreSQL, such as div(numeric, bigint), is executed as whoever cleans up.
--
--     SELECT * FROM notification_schema_creators();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_schema_creators()
RETURNS TABLE (
    schema_name name,
    creator text
)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT
    n.nspname,
    CASE
        WHEN granted.grantee = oid '0' THEN 'PUBLIC'
        ELSE granted.grantee::regrole::text
    END
FROM pg_namespace AS n
CROSS JOIN aclexplode(n.nspacl) AS granted
LEFT JOIN pg_roles AS r ON r.oid = granted.grantee
WHERE n.nspname = ANY (current_schemas(false))
    AND granted.privilege_type = 'CREATE'
    AND granted.grantee <> n.nspowner
    AND r.rolsuper IS NOT TRUE
    -- Whoever has installed all this could change the routines themselves.
    AND granted.grantee NOT IN (
        SELECT c.relowner
        FROM pg_class AS c
        WHERE c.oid = to_regclass('notification_cleanup_runs')
    )
ORDER BY
    n.nspname,
    granted.grantee
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_schema_creators() IS
'Who may create objects in the schemas of the search_path that our routines have, beside the '
'owners of these schemas, the owner of our tables and superusers. There should be nobody.';
-- end of sql/rights/notification_schema_creators.sql

-- frozen copy of sql/rights/notification_stray_schemas.sql
-- Schemas that were renamed, and whose routines work on the tables of this schema, because their
-- path leads here:
--
--     SELECT * FROM notification_stray_schemas();
--
-- Either this schema has taken the former name, or it comes later in the path, as the one where the
-- type of a column lives does.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_stray_schemas()
RETURNS TABLE (schema_name name)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT namespace.nspname
FROM pg_proc AS p
JOIN pg_namespace AS namespace ON namespace.oid = p.pronamespace
WHERE p.proname = 'sweep_cleanup_batch'
    AND namespace.nspname <> current_schema()
    AND EXISTS (
        SELECT
        FROM unnest(p.proconfig) AS s (setting)
        WHERE starts_with(s.setting, 'search_path=')
            AND NOT starts_with(s.setting, format('search_path=%I, ', namespace.nspname))
            AND strpos(
                replace(s.setting, 'search_path=', ', ') || ', ',
                format(', %I, ', current_schema())
            ) > 0
    )
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_stray_schemas() IS
    'Schemas whose routines work on the tables of this one, because they were renamed.';
-- end of sql/rights/notification_stray_schemas.sql

-- frozen copy of sql/rule/check_cleanup_limits.sql
-- Refuses limits that make no sense, before anything is written:
--
--     SELECT check_cleanup_limits(1000, 100);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION check_cleanup_limits(
    max_notifications integer,
    min_keep integer,
    max_deletions bigint DEFAULT NULL  -- NULL: none
)
RETURNS void
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF (
        check_cleanup_limits.max_notifications >= 1
        AND check_cleanup_limits.min_keep >= 0
        AND check_cleanup_limits.min_keep <= check_cleanup_limits.max_notifications
        AND coalesce(check_cleanup_limits.max_deletions >= 0, true)
    ) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid limits: max_notifications => %L, min_keep => %L%s',
                check_cleanup_limits.max_notifications,
                check_cleanup_limits.min_keep,
                format(', max_deletions => %s', check_cleanup_limits.max_deletions)
            ),
            HINT = 'max_notifications takes 1 or more, min_keep 0 to max_notifications, '
                'max_deletions 0 or more, or NULL for none.';
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION check_cleanup_limits(integer, integer, bigint) IS
    'Raises invalid_parameter_value (22023) unless these are limits that a run can have.';
-- end of sql/rule/check_cleanup_limits.sql

-- frozen copy of sql/rule/explain_notification_cleanup.sql
-- One user's notifications, newest first, and why each of them stays, would go, or went:
--
--     SELECT * FROM explain_notification_cleanup('42');
--
-- What support asks when a user misses something, and a developer before trusting the rule.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION explain_notification_cleanup(
    user_id notification_user_id,
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100
)
RETURNS TABLE (
    id notification_id,
    created_at notification_created_at,
    status text,
    deleted_at timestamptz,
    newest bigint,
    fate text,
    reason text,
    run_id bigint
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_users CONSTANT notification_user_id[] := ARRAY[explain_notification_cleanup.user_id];
    v_max CONSTANT integer := explain_notification_cleanup.max_notifications;
    v_keep CONSTANT integer := explain_notification_cleanup.min_keep;
    v_is_over boolean;
BEGIN
    PERFORM check_cleanup_limits(v_max, v_keep);
    IF explain_notification_cleanup.user_id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'invalid user_id => NULL',
            HINT = 'user_id takes a user. Notifications without one are left alone.';
    END IF;
    v_is_over := EXISTS (
        SELECT
        FROM notification_crowds(v_max, v_users) AS c
    );

    RETURN QUERY
    WITH inbox AS MATERIALIZED (
        SELECT
            n.tableoid AS relation,
            n.ctid AS place,
            n.id,
            n.created_at,
            n.status::text AS status,
            n.deleted_at,
            count(*) FILTER (WHERE n.deleted_at IS NULL) OVER () AS live
        FROM notifications AS n
        WHERE n.user_id = ANY (v_users)
    ),
    -- All that the rule ranks of this user, not only what goes.
    ranked AS MATERIALIZED (
        SELECT
            e.relation,
            e.place,
            e.newest
        FROM notification_excess(v_users, 0, statement_timestamp()) AS e
    )
    SELECT
        i.id::notification_id,
        i.created_at::notification_created_at,
        i.status,
        i.deleted_at,
        r.newest,
        CASE
            WHEN run.id IS NOT NULL THEN 'went'
            WHEN i.deleted_at IS NOT NULL THEN 'deleted'
            WHEN v_is_over AND r.newest > v_keep THEN 'would go'
            ELSE 'stays'
        END,
        CASE
            WHEN run.id IS NOT NULL THEN format('run %s deleted it', run.id)
            WHEN i.deleted_at IS NOT NULL
            THEN 'somebody else deleted it: no run has this deleted_at'
            WHEN i.status IS NULL THEN 'it has no status'
            WHEN i.status <> 'read' THEN format('it is %s', i.status)
            WHEN i.created_at IS NULL THEN 'it has no created_at'
            WHEN i.id IS NULL THEN 'it has no id'
            WHEN r.newest IS NULL THEN 'its created_at is in the future'
            WHEN NOT v_is_over
                THEN format('the user has %s live ones, and may have %s', i.live, v_max)
            WHEN r.newest <= v_keep THEN format('it is one of the %s newest read ones', v_keep)
            ELSE format(
                'the user has %s live ones, more than %s, and it is not one of the %s newest read '
                'ones',
                i.live,
                v_max,
                v_keep
            )
        END,
        run.id
    FROM inbox AS i
    LEFT JOIN ranked AS r ON r.relation = i.relation
        AND r.place = i.place
    LEFT JOIN notification_cleanup_runs AS run ON run.started_at = i.deleted_at
    ORDER BY
        i.created_at DESC NULLS LAST,
        i.id DESC;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION explain_notification_cleanup(notification_user_id, integer, integer) IS
    'A row a notification of this user, newest first. fate: stays, would go (with the next run '
    'that has these limits), went (with the run run_id), or deleted (by somebody else, or by a run '
    'that is no longer in the history). newest: its rank among the read ones that the rule counts. '
    'Reads only; works on a hot standby. What was deleted is found by the application''s own index '
    'on the user; without one it reads the table.';
-- end of sql/rule/explain_notification_cleanup.sql

-- frozen copy of sql/rule/notification_crowds.sql
-- The users over the limit, each with the number of their live notifications:
--
--     SELECT * FROM notification_crowds(1000, NULL);
--
-- One index-only pass over the live index. Nothing else in the product finds who is over.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_crowds(
    max_notifications integer,
    user_ids notification_user_id[]  -- NULL: everybody
)
RETURNS TABLE (
    user_id notification_user_id,
    total bigint
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    PERFORM check_notification_columns();
    RETURN QUERY
    SELECT
        n.user_id::notification_user_id,
        count(*) AS total
    FROM notifications AS n
    WHERE n.deleted_at IS NULL
        AND n.user_id IS NOT NULL
        AND (
            notification_crowds.user_ids IS NULL
            OR n.user_id = ANY (notification_crowds.user_ids)
        )
    GROUP BY n.user_id
    HAVING count(*) > notification_crowds.max_notifications;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_crowds(integer, notification_user_id[]) IS
    'The users (of user_ids, unless that is NULL) with more than max_notifications live '
    'notifications, and how many each has.';
-- end of sql/rule/notification_crowds.sql

-- frozen copy of sql/rule/notification_excess.sql
-- The rule: of users who are over the limit, the notifications that go.
--
--     SELECT * FROM notification_excess(ARRAY[42, 43], 100, now());
--
-- Nothing else ranks: preview and plan are both made from this. It reads these inboxes once.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_excess(
    user_ids notification_user_id[],
    min_keep integer,
    as_of timestamptz
)
RETURNS TABLE (
    relation oid,
    place tid,
    id notification_id,
    user_id notification_user_id,
    created_at notification_created_at,
    newest bigint,
    is_last boolean
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- For a few users, a generic plan would read the whole table.
SET plan_cache_mode = force_custom_plan
-- An index scan would fetch the rows user by user, each page many times over. A few users' rows are
-- fetched page by page through a bitmap, those of many by reading the table.
SET enable_indexscan = off
-- A created_at without time zone is read as UTC, whatever the caller's zone.
SET timezone = 'UTC'
AS $$
BEGIN
    RETURN QUERY
    WITH ranked AS (
        SELECT
            n.tableoid AS relation,
            n.ctid AS place,
            n.id,
            n.user_id,
            n.created_at,
            row_number() OVER inbox AS newest,
            lead(true) OVER inbox IS NULL AS is_last
        FROM notifications AS n
        WHERE n.user_id = ANY (notification_excess.user_ids)
            AND n.deleted_at IS NULL
            AND n.status = 'read'
            AND n.created_at <= notification_excess.as_of
            AND n.id IS NOT NULL
        WINDOW inbox AS (
            PARTITION BY n.user_id
            ORDER BY n.created_at DESC, n.id DESC
        )
    )
    SELECT
        r.relation,
        r.place,
        r.id::notification_id,
        r.user_id::notification_user_id,
        r.created_at::notification_created_at,
        r.newest,
        r.is_last
    FROM ranked AS r
    WHERE r.newest > notification_excess.min_keep;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_excess(notification_user_id[], integer, timestamptz) IS
    'The notifications of these users that go: read, live, not of the future, and not among the '
    'min_keep newest such of their user. Of each: the table (tableoid) and the place in it (ctid), '
    'its rank, newest first, and whether it is the last of its user.';
-- end of sql/rule/notification_excess.sql

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
    PERFORM check_notification_columns();
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
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_users notification_user_id[];
    v_totals bigint[];
    v_unread_users notification_user_id[];
    v_unread bigint[];
BEGIN
    PERFORM check_cleanup_limits(
        preview_notification_cleanup.max_notifications,
        preview_notification_cleanup.min_keep
    );
    SELECT
        array_agg(c.user_id),
        array_agg(c.total)
    INTO
        v_users,
        v_totals
    FROM notification_crowds(preview_notification_cleanup.max_notifications, NULL) AS c;

    -- A statement of its own: Citus would send the other one, with our functions in it, to workers
    -- that do not have them.
    SELECT
        array_agg(inbox.user_id::notification_user_id),
        array_agg(inbox.unread)
    INTO
        v_unread_users,
        v_unread
    FROM (
        SELECT
            n.user_id,
            count(*) AS unread
        FROM notifications AS n
        WHERE n.user_id = ANY (v_users)
            AND n.deleted_at IS NULL
            AND n.status = 'unread'
        GROUP BY n.user_id
    ) AS inbox;

    RETURN QUERY
    WITH excess AS (
        SELECT
            e.user_id,
            count(*) AS notifications
        FROM notification_excess(
            v_users,
            preview_notification_cleanup.min_keep,
            statement_timestamp()
        ) AS e
        GROUP BY e.user_id
    )
    SELECT
        c.user_id,
        c.total,
        coalesce(u.unread, 0),
        coalesce(e.notifications, 0)
    FROM unnest(v_users, v_totals) AS c (user_id, total)
    LEFT JOIN unnest(v_unread_users, v_unread) AS u (user_id, unread) ON u.user_id = c.user_id
    LEFT JOIN excess AS e ON e.user_id = c.user_id
    ORDER BY
        coalesce(e.notifications, 0) DESC,
        c.user_id;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION preview_notification_cleanup(integer, integer) IS
'Dry run of cleanup_notifications() with the same limits: each user over the limit, with the live, '
'unread and deletable notifications. Reads only; works on a hot standby.';
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
    v_users notification_user_id[];
    v_totals bigint[];
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
    SELECT
        array_agg(c.user_id),
        array_agg(c.total)
    INTO
        v_users,
        v_totals
    FROM notification_crowds(v_smallest, NULL) AS c;

    -- A limit decides which users are over it, but not what goes of a user who is. So everybody
    -- over the smallest limit is ranked once, and serves every larger limit that they are over.
    RETURN QUERY
    WITH excess AS (
        SELECT
            e.user_id,
            count(*) AS notifications
        FROM notification_excess(
            v_users,
            preview_notification_limits.min_keep,
            statement_timestamp()
        ) AS e
        GROUP BY e.user_id
    ),
    crowds AS (
        SELECT
            c.total,
            coalesce(e.notifications, 0) AS deletable
        FROM unnest(v_users, v_totals) AS c (user_id, total)
        LEFT JOIN excess AS e ON e.user_id = c.user_id
    )
    SELECT
        l.max_notifications,
        count(c.total),
        coalesce(sum(c.deletable), 0)::bigint,
        coalesce(
            round(
                numeric '100' * sum(c.deletable)
                / (SELECT s.total_notifications::numeric FROM notification_stats() AS s),
                1
            ),
            0.0
        ),
        count(*) FILTER (WHERE c.total - c.deletable > l.max_notifications)
    FROM (
        SELECT DISTINCT unnest(preview_notification_limits.limits)
    ) AS l (max_notifications)
    LEFT JOIN crowds AS c ON c.total > l.max_notifications
    GROUP BY l.max_notifications
    ORDER BY l.max_notifications;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION preview_notification_limits(integer[], integer) IS
'What each of these limits would do: as preview_notification_cleanup(max_notifications, min_keep) '
'in sum, and which percentage of all live notifications it would delete. Reads only; works on a '
'hot standby.';
-- end of sql/rule/preview_notification_limits.sql

-- frozen copy of sql/run/check_planned_deletions.sql
-- Refuses a run that would delete more than its caller expects, the brake for a first night:
--
--     SELECT check_planned_deletions(r, 50000) FROM notification_cleanup_runs AS r WHERE r.id = 7;
--
-- A run that is continued counts with what it has left.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION check_planned_deletions(
    run notification_cleanup_runs,
    max_deletions bigint  -- NULL: any number
)
RETURNS void
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_run CONSTANT notification_cleanup_runs := check_planned_deletions.run;
    v_left CONSTANT bigint := v_run.notifications_planned
        - v_run.notifications_deleted
        - v_run.notifications_skipped
        - v_run.notifications_changed;
BEGIN
    IF v_left > check_planned_deletions.max_deletions THEN
        RAISE EXCEPTION USING
            ERRCODE = 'NC001',
            MESSAGE = format(
                '%s notifications to delete are more than max_deletions, %s',
                v_left,
                check_planned_deletions.max_deletions
            ),
            DETAIL = format(
                '%s users are over the limit of %s. Nothing was written.',
                v_run.users_over_limit,
                v_run.max_notifications
            ),
            HINT = 'Look with SELECT * FROM preview_notification_cleanup(). If all of it may go, '
                'raise max_deletions, or leave it out.';
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION check_planned_deletions(notification_cleanup_runs, bigint) IS
    'Raises NC001 where the run has more left to delete than max_deletions.';
-- end of sql/run/check_planned_deletions.sql

-- frozen copy of sql/run/check_run_id.sql
-- Refuses the id of a run that there is not:
--
--     SELECT check_run_id(7);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION check_run_id(run_id bigint)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM notification_cleanup_runs AS r
        WHERE r.id = check_run_id.run_id
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('no cleanup run %s', coalesce(check_run_id.run_id::text, 'NULL')),
            DETAIL = 'There never was one, or somebody has removed its record, and with that what '
                'the run had left.',
            HINT = 'run_id takes an id of notification_cleanup_runs. The next call of the job '
                'plans anew.';
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION check_run_id(bigint) IS
    'Raises invalid_parameter_value (22023) unless there is a run with this id.';
-- end of sql/run/check_run_id.sql

-- frozen copy of sql/run/check_written_deleted_at.sql
-- Refuses another deleted_at than the run's, which a trigger or rule has written:
--
--     SELECT check_written_deleted_at(NULL, now());
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION check_written_deleted_at(
    other timestamptz,  -- NULL: there is none
    started_at timestamptz
)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF check_written_deleted_at.other IS NULL THEN
        RETURN;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'triggered_data_change_violation',
        MESSAGE = format(
            'a trigger or rule wrote deleted_at = %s where the run writes %s',
            check_written_deleted_at.other,
            check_written_deleted_at.started_at
        ),
        DETAIL = 'With it the record of the run would be wrong, and undo would not find these '
            'notifications. Nothing of this batch was changed.',
        HINT = 'Let the trigger or rule leave a deleted_at alone that the statement sets.';
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION check_written_deleted_at(timestamptz, timestamptz) IS
    'For sweep_cleanup_batch() and find_undone_deletions(): refuses another deleted_at than that '
    'of the run.';
-- end of sql/run/check_written_deleted_at.sql

-- frozen copy of sql/run/claim_cleanup_batch.sql
-- Claims a batch that nobody has, and locks it until the end of the transaction:
--
--     SELECT claim_cleanup_batch(7, clock_timestamp() + interval '1 second');
--
-- Any number of sessions may work on a run. While others hold all that is left, it waits for one of
-- them until the deadline, and holds nothing meanwhile.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION claim_cleanup_batch(
    run_id bigint,
    deadline timestamptz,
    OUT number bigint,
    OUT attempts integer,
    OUT all_done boolean
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    LOOP
        SELECT
            b.number,
            b.attempts
        INTO
            claim_cleanup_batch.number,
            claim_cleanup_batch.attempts
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = claim_cleanup_batch.run_id
            AND b.done_at IS NULL
        ORDER BY b.attempts, b.number
        LIMIT 1
        FOR UPDATE SKIP LOCKED;
        claim_cleanup_batch.all_done := NOT FOUND AND NOT EXISTS (
            SELECT
            FROM notification_cleanup_batches AS b
            WHERE b.run_id = claim_cleanup_batch.run_id
                AND b.done_at IS NULL
        );
        EXIT WHEN claim_cleanup_batch.number IS NOT NULL
            OR claim_cleanup_batch.all_done
            OR clock_timestamp() >= claim_cleanup_batch.deadline;
        PERFORM pg_sleep(double precision '0.05');
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION claim_cleanup_batch(bigint, timestamptz) IS
    'For cleanup_next_batch(), which is what to call: a batch of the run, how often it has given '
    'way, or whether none is left; number NULL and all_done false: others hold all that is left.';
-- end of sql/run/claim_cleanup_batch.sql

-- frozen copy of sql/run/cleanup_batch_is_rewritten.sql
-- Whether the table of a batch is another file than when the run was planned, or is no longer part
-- of notifications:
--
--     SELECT cleanup_batch_is_rewritten(7, 1);
--
-- VACUUM FULL, CLUSTER, TRUNCATE, a partition that was detached, a new table under the old name:
-- the places of the list say nothing any more.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_batch_is_rewritten(
    run_id bigint,
    number bigint
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = cleanup_batch_is_rewritten.run_id
            AND b.number = cleanup_batch_is_rewritten.number
            AND CASE
                -- On Citus a worker has to be asked. It does not know where nothing is left.
                WHEN b.shard IS NOT NULL
                THEN b.file <> notification_shard_file(b.users, b.relations[1])
                ELSE b.file IS DISTINCT FROM pg_relation_filenode(b.relations[1]::regclass)
                    OR b.relations[1] NOT IN (SELECT t.relation FROM notification_tables() AS t)
            END
    );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION cleanup_batch_is_rewritten(bigint, bigint) IS
    'Whether the table of a batch was rewritten or replaced since the plan.';
-- end of sql/run/cleanup_batch_is_rewritten.sql

-- frozen copy of sql/run/cleanup_batch_pruning_users.sql
-- The users of a batch, where naming them leaves out other partitions or shards:
--
--     SELECT cleanup_batch_pruning_users(7, 1);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_batch_pruning_users(
    run_id bigint,
    number bigint
)
RETURNS notification_user_id[]
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN (
        -- Elsewhere it is left out: the planner compares each of 10,000 users with its statistics.
        SELECT ARRAY(SELECT DISTINCT listed.user_id FROM unnest(b.users) AS listed (user_id))
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = cleanup_batch_pruning_users.run_id
            AND b.number = cleanup_batch_pruning_users.number
            AND (
                b.shard IS NOT NULL
                OR EXISTS (
                    SELECT
                    FROM pg_class AS c
                    WHERE c.oid = b.relations[1]
                        AND c.relispartition
                )
            )
    );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION cleanup_batch_pruning_users(bigint, bigint) IS
    'The users of a batch of a partitioned or distributed table; NULL for any other table.';
-- end of sql/run/cleanup_batch_pruning_users.sql

-- frozen copy of sql/run/cleanup_next_batch.sql
-- Does one batch of a run, or closes it. Call it until it returns NULL, each time in a transaction
-- of its own; any number of sessions may:
--
--     SELECT cleanup_next_batch(7);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_next_batch(run_id bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    -- A call that has to wait returns within a second, so that whoever calls can say so or stop.
    v_deadline CONSTANT timestamptz := clock_timestamp() + interval '0.9 seconds';
    -- So often a batch gives way; then it waits as long as the caller's own lock_timeout allows.
    v_last_attempt CONSTANT integer := 5;
    v_nothing CONSTANT bigint := 0::bigint;
    v_batch record;
    v_claimed_at timestamptz;
    v_sweep record;
BEGIN
    PERFORM check_run_id(cleanup_next_batch.run_id);
    PERFORM check_notification_columns();
    IF cleanup_run_is_rewritten(cleanup_next_batch.run_id) THEN
        PERFORM give_up_notification_cleanup(cleanup_next_batch.run_id);
        RETURN NULL;
    END IF;
    CASE await_cleanup_pace(cleanup_next_batch.run_id, v_deadline)
        WHEN 'begin' THEN NULL;
        WHEN 'wait' THEN RETURN v_nothing;
        WHEN 'stopped' THEN RETURN NULL;
    END CASE;

    PERFORM keep_cleanup_run(cleanup_next_batch.run_id);
    v_batch := claim_cleanup_batch(cleanup_next_batch.run_id, v_deadline);
    IF v_batch.all_done THEN
        RETURN CASE
            WHEN close_notification_cleanup(cleanup_next_batch.run_id) THEN NULL
            ELSE v_nothing  -- another session is about to
        END;
    ELSIF v_batch.number IS NULL THEN
        RETURN v_nothing;
    END IF;

    -- Those who were in the way get on meanwhile.
    PERFORM pg_sleep(double precision '0.1' * v_batch.attempts::double precision);
    v_claimed_at := clock_timestamp();
    BEGIN
        v_sweep := sweep_cleanup_batch(
            cleanup_next_batch.run_id,
            v_batch.number,
            CASE
                -- SKIP LOCKED can wait all the same, for a row that is updated twice while it
                -- looks, and so can a trigger of the application. The batch gives way then, long
                -- before deadlock_timeout lets the server choose a victim.
                WHEN v_batch.attempts < v_last_attempt THEN '100ms'
                ELSE current_setting('lock_timeout')
            END
        );
    EXCEPTION
        -- A serialization failure: the row has moved to another partition.
        WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
            IF v_batch.attempts >= v_last_attempt THEN
                RAISE;
            END IF;
            UPDATE notification_cleanup_batches AS b
            SET attempts = b.attempts + 1
            WHERE b.run_id = cleanup_next_batch.run_id
                AND b.number = v_batch.number;
            RETURN v_nothing;
    END;
    RETURN record_cleanup_batch(
        cleanup_next_batch.run_id,
        v_batch.number,
        v_sweep.deleted,
        v_sweep.missed,
        v_sweep.kept,
        clock_timestamp() - v_claimed_at
    );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION cleanup_next_batch(bigint) IS
    'Does one batch of a run of plan_notification_cleanup(), and returns how many notifications it '
    'deleted; skips rows that somebody holds. Call it until it is NULL, each time in a transaction '
    'of its own: the run has ended then, or was stopped or given up. 0 also means that others are '
    'at work on all that is left, that the batch gave way to the application and comes again, or '
    'that it is not yet time for one: a notice says why.';
-- end of sql/run/cleanup_next_batch.sql

-- frozen copy of sql/run/cleanup_notifications.sql
-- The job in one call and one transaction:
--
--     SELECT * FROM cleanup_notifications(user_ids => ARRAY[42, 43]);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_notifications(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100,
    user_ids notification_user_id[] DEFAULT NULL,
    max_deletions bigint DEFAULT NULL
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_run record;
    v_suspension text;
BEGIN
    IF to_regclass('notification_cleanup_runs') IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_schema_name',
            MESSAGE = format(
                'cleanup_notifications() has lost its tables, which were in schema %s',
                split_part(current_setting('search_path'), ', ', 1)
            ),
            HINT = 'Where that schema was renamed: SCHEMA=new_name notification-cleanup migrate '
                'adopt.';
    END IF;
    PERFORM check_cleanup_limits(
        cleanup_notifications.max_notifications,
        cleanup_notifications.min_keep,
        cleanup_notifications.max_deletions
    );
    v_suspension := cleanup_suspension();
    IF v_suspension IS NOT NULL THEN
        RAISE NOTICE 'the cleanup is suspended %', v_suspension;
        RETURN NULL;
    END IF;
    -- Nobody else sees this run before it has ended, so it neither continues another one nor can be
    -- joined. A batch that gave way comes again at once, until it waits.
    v_run := open_notification_cleanup(
        cleanup_notifications.max_notifications,
        cleanup_notifications.min_keep,
        NULL,
        cleanup_notifications.user_ids
    );
    PERFORM check_planned_deletions(v_run, cleanup_notifications.max_deletions);
    WHILE v_run.finished_at IS NULL LOOP
        EXIT WHEN cleanup_next_batch(v_run.id) IS NULL;
    END LOOP;
    -- Where it was suspended meanwhile: what is left of it nobody else could do.
    PERFORM give_up_notification_cleanup(v_run.id);

    SELECT r.*
    INTO v_run
    FROM notification_cleanup_runs AS r
    WHERE r.id = v_run.id;
    RETURN v_run;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION cleanup_notifications(integer, integer, notification_user_id[], bigint) IS
    'Soft-deletes, for every user with more than max_notifications live notifications, all read '
    'ones except the min_keep newest, in one transaction; skips rows that somebody holds. Returns '
    'the record of the run: SELECT * FROM cleanup_notifications(). user_ids: only those of the '
    'list who are over the limit. max_deletions: where more is to be deleted, nothing is written, '
    'and the call fails with NC001. Look before with preview_notification_cleanup(), undo with '
    'restore_notifications(id). NULL, with a notice, while the cleanup is suspended. On a table in '
    'use CALL cleanup_notifications_in_batches() instead: this one holds what it deletes until its '
    'end.';
-- end of sql/run/cleanup_notifications.sql

-- frozen copy of sql/run/cleanup_notifications_in_batches.sql
-- The job for pg_cron and for a backlog of any size:
--
--     CALL cleanup_notifications_in_batches(time_limit => '2 hours');
-- +goose StatementBegin
CREATE OR REPLACE PROCEDURE cleanup_notifications_in_batches(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100,
    batch_size integer DEFAULT 10000,
    time_limit interval DEFAULT NULL,
    pause_factor double precision DEFAULT 0,
    max_replica_lag interval DEFAULT NULL,
    max_deletions bigint DEFAULT NULL
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_run record;
    v_run_id bigint;  -- NULL: to be planned
    v_newest_run_before bigint;
    v_deleted bigint;
    v_why_no_commit text;
    v_why_no_rollback text;
    v_called_at CONSTANT timestamptz := pg_catalog.clock_timestamp();
    v_found CONSTANT regprocedure := pg_catalog.to_regprocedure(
        'cleanup_notifications_in_batches(
            integer, integer, integer, interval, double precision, interval, bigint
        )'
    );
BEGIN
    -- A procedure that commits may carry no SET clause, and a local setting ends with its
    -- transaction.
    PERFORM pg_catalog.set_config('search_path', 'path of this procedure', true);
    -- Neither succeeds in a block that catches errors. Where the call is inside a transaction both
    -- say so, in the same words; where it is not, each says that it is not for such a block. The
    -- words are in the language of the server.
    BEGIN
        COMMIT;
    EXCEPTION
        WHEN invalid_transaction_termination THEN
            v_why_no_commit := SQLERRM;
    END;
    BEGIN
        ROLLBACK;
    EXCEPTION
        WHEN invalid_transaction_termination THEN
            v_why_no_rollback := SQLERRM;
    END;
    IF v_why_no_commit = v_why_no_rollback THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_transaction_termination',
            MESSAGE = 'cleanup_notifications_in_batches() commits, so it cannot run inside a '
                'transaction',
            HINT = 'CALL it alone: outside of BEGIN, not from a function, and as the only '
                'statement of its string. Inside a transaction use '
                'SELECT * FROM cleanup_notifications().';
    END IF;
    IF to_regclass('notification_cleanup_runs') IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_schema_name',
            MESSAGE = format(
                'cleanup_notifications_in_batches() has lost its tables, which were in schema %s',
                split_part(current_setting('search_path'), ', ', 1)
            ),
            HINT = 'Where that schema was renamed: SCHEMA=new_name notification-cleanup migrate '
                'adopt.';
    END IF;
    PERFORM check_calling_schema(v_found);
    IF cleanup_notifications_in_batches.time_limit <= interval '0' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid limit: time_limit => %L',
                cleanup_notifications_in_batches.time_limit
            ),
            HINT = 'time_limit takes a positive interval, or NULL for none.';
    END IF;

    -- By their numbers, because a clock may be set back.
    SELECT coalesce(max(r.id), bigint '0')
    INTO v_newest_run_before
    FROM notification_cleanup_runs AS r;
    LOOP
        COMMIT;
        -- At a stricter level this would fail, or the application, wherever the two meet.
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
        PERFORM pg_catalog.set_config('search_path', 'path of this procedure', true);
        IF v_run_id IS NULL THEN
            SELECT r.*
            INTO v_run
            FROM plan_notification_cleanup(
                cleanup_notifications_in_batches.max_notifications,
                cleanup_notifications_in_batches.min_keep,
                cleanup_notifications_in_batches.batch_size,
                cleanup_notifications_in_batches.pause_factor,
                cleanup_notifications_in_batches.max_replica_lag,
                cleanup_notifications_in_batches.max_deletions
            ) AS r;
            EXIT WHEN v_run.id IS NULL;  -- suspended, as a notice says
            v_run_id := v_run.id;
            RAISE NOTICE 'run %: % users over the limit, % notifications to delete',
                v_run_id,
                v_run.users_over_limit,
                v_run.notifications_planned;
            EXIT WHEN v_run.finished_at IS NOT NULL;
            CONTINUE;
        END IF;

        v_deleted := cleanup_next_batch(v_run_id);
        SELECT r.*
        INTO v_run
        FROM notification_cleanup_runs AS r
        WHERE r.id = v_run_id;
        IF NOT FOUND THEN
            PERFORM check_run_id(v_run_id);
        END IF;
        IF v_deleted > 0 THEN
            RAISE NOTICE 'run %: % of % notifications deleted, % skipped, % changed, % elapsed',
                v_run_id,
                v_run.notifications_deleted,
                v_run.notifications_planned,
                v_run.notifications_skipped,
                v_run.notifications_changed,
                clock_timestamp() - v_called_at;
        ELSIF v_deleted IS NULL THEN
            -- What an earlier call had left is done now, or the table was rewritten: plan our own.
            -- Otherwise that was our own, or somebody has stopped or undone it.
            EXIT WHEN v_run.id > v_newest_run_before AND v_run.finished_at IS NOT NULL;
            EXIT WHEN v_run.finished_at IS NULL AND NOT cleanup_run_is_rewritten(v_run_id);
            v_run_id := NULL;
        END IF;
        EXIT WHEN clock_timestamp() - v_called_at
            >= cleanup_notifications_in_batches.time_limit;
    END LOOP;
END
$$;
-- +goose StatementEnd
-- Writes the path into the body: a caller's search_path must not decide what the procedure calls.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE replace(
        pg_get_functiondef(
            'cleanup_notifications_in_batches(
                integer, integer, integer, interval, double precision, interval, bigint
            )'::regprocedure
        ),
        '''path of this procedure''',
        quote_literal(current_setting('search_path'))
    );
END
$$;
-- +goose StatementEnd
COMMENT ON PROCEDURE
    cleanup_notifications_in_batches(
        integer, integer, integer, interval, double precision, interval, bigint
    )
IS
    'The job of cleanup_notifications() in batches of batch_size notifications, with a COMMIT and '
    'a NOTICE of progress after each; stops after the batch that crosses time_limit. pause_factor, '
    'max_replica_lag and max_deletions: as of plan_notification_cleanup(); waiting counts against '
    'time_limit. CALL it alone, not inside a transaction. What it leaves when it is stopped or '
    'killed, the next call with the same limits does first; two calls at the same time share the '
    'work.';
-- end of sql/run/cleanup_notifications_in_batches.sql

-- frozen copy of sql/run/cleanup_run_ids_repair.sql
-- The statement after which new runs get higher numbers than those of the history:
--
--     SELECT cleanup_run_ids_repair();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_run_ids_repair()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN (
        SELECT format(
            'SELECT setval(%L, %s);',
            pg_get_serial_sequence(
                format('%I.notification_cleanup_runs', current_schema()),
                'id'
            ),
            max(r.id)
        )
        FROM notification_cleanup_runs AS r
    );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION cleanup_run_ids_repair() IS
    'The setval() that lets the sequence of notification_cleanup_runs go on after its highest id.';
-- end of sql/run/cleanup_run_ids_repair.sql

-- frozen copy of sql/run/cleanup_run_is_rewritten.sql
-- Whether a batch of the run has met a table that was rewritten or replaced since the plan, so that
-- whoever works on the run should plan anew:
--
--     SELECT cleanup_run_is_rewritten(7);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_run_is_rewritten(run_id bigint)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM notification_cleanup_open_runs AS o
        WHERE o.run_id = cleanup_run_is_rewritten.run_id
            AND o.rewritten
    );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION cleanup_run_is_rewritten(bigint) IS
    'Whether the run is given up because its table was rewritten or replaced since it was planned: '
    'call plan_notification_cleanup() again.';
-- end of sql/run/cleanup_run_is_rewritten.sql

-- frozen copy of sql/run/cleanup_run_lifetime.sql
-- How long after its last batch a run that did not end is continued by the next plan. An older one
-- is given up: what it was to delete may have changed too much.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_run_lifetime()
RETURNS interval
LANGUAGE sql
IMMUTABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT make_interval(hours => 36)
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION cleanup_run_lifetime() IS
    'How long after its last batch a run that did not end can still be continued.';
-- end of sql/run/cleanup_run_lifetime.sql

-- frozen copy of sql/run/cleanup_time_is_ahead.sql
-- Whether a time that was noted is one of the future: the clock was ahead then, or is behind now. A
-- minute is nothing, servers of one cluster differ by less.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION cleanup_time_is_ahead(noted_at timestamptz)
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT coalesce(cleanup_time_is_ahead.noted_at > clock_timestamp() + interval '1 minute', false)
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION cleanup_time_is_ahead(timestamptz) IS
    'Whether this is more than a minute in the future.';
-- end of sql/run/cleanup_time_is_ahead.sql

-- frozen copy of sql/run/close_notification_cleanup.sql
-- Closes a run that has no batch left:
--
--     SELECT close_notification_cleanup(7);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION close_notification_cleanup(run_id bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    -- One session only: a claim can lock in vain a batch that was just done, and two sessions that
    -- both closed the run would wait for what the other has locked so.
    PERFORM
    FROM notification_cleanup_runs AS r
    WHERE r.id = close_notification_cleanup.run_id
    FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF settle_notification_cleanup(close_notification_cleanup.run_id) THEN
        UPDATE notification_cleanup_runs AS r
        SET finished_at = clock_timestamp()
        WHERE r.id = close_notification_cleanup.run_id;
    END IF;
    RETURN true;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION close_notification_cleanup(bigint) IS
    'For cleanup_next_batch(): closes a run of which all batches are done. False: another session '
    'is at it.';
-- end of sql/run/close_notification_cleanup.sql

-- frozen copy of sql/run/continue_notification_cleanup.sql
-- The run that a plan with these limits continues, or NULL; gives up all those that are too old:
--
--     SELECT * FROM continue_notification_cleanup(1000, 100);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION continue_notification_cleanup(
    max_notifications integer,
    min_keep integer
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_run_id bigint;
    v_run notification_cleanup_runs;
BEGIN
    -- What a rewritten run has left to tell, its workers have heard by now.
    DELETE FROM notification_cleanup_open_runs AS o
    WHERE NOT EXISTS (
        SELECT
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = o.run_id
    );

    FOR v_run_id IN
        SELECT o.run_id
        FROM notification_cleanup_open_runs AS o
        JOIN notification_cleanup_runs AS r ON r.id = o.run_id
        CROSS JOIN LATERAL (
            SELECT greatest(r.started_at, max(b.done_at)) AS last_at
            FROM notification_cleanup_batches AS b
            WHERE b.run_id = o.run_id
        ) AS work
        WHERE work.last_at < clock_timestamp() - cleanup_run_lifetime()
            -- By a clock that was ahead a run would not grow old.
            OR cleanup_time_is_ahead(work.last_at)
        ORDER BY o.run_id
    LOOP
        PERFORM give_up_notification_cleanup(v_run_id);
    END LOOP;

    SELECT r.*
    INTO v_run
    FROM notification_cleanup_open_runs AS o
    JOIN notification_cleanup_runs AS r ON r.id = o.run_id
    WHERE r.max_notifications = continue_notification_cleanup.max_notifications
        AND r.min_keep = continue_notification_cleanup.min_keep
        AND NOT o.rewritten
    ORDER BY o.run_id
    LIMIT 1;
    RETURN v_run;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION continue_notification_cleanup(integer, integer) IS
    'For plan_notification_cleanup(), which is what to call: a run with these limits that has not '
    'ended, if there is one.';
-- end of sql/run/continue_notification_cleanup.sql

-- frozen copy of sql/run/explain_cleanup_shortfall.sql
-- What became of the notifications of a batch that it did not soft-delete:
--
--     SELECT * FROM explain_cleanup_shortfall(7, 1, '{3,4}', '{4}');
--
-- Only for a batch that fell short; in the usual case nobody asks.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION explain_cleanup_shortfall(
    run_id bigint,
    number bigint,
    missed bigint[],  -- positions in the list
    kept bigint[],    -- those of them that a trigger kept; NULL: none
    OUT skipped bigint,
    OUT deleted_before bigint,
    OUT users_left notification_user_id[]
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET timezone = 'UTC'
-- Planned as the sweep is: see there.
SET plan_cache_mode = force_custom_plan
SET enable_tidscan = on
SET enable_nestloop = off
SET enable_hashjoin = on
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_indexscan = off
SET enable_indexonlyscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_batch notification_cleanup_batches;
    v_users CONSTANT notification_user_id[] := cleanup_batch_pruning_users(
        explain_cleanup_shortfall.run_id,
        explain_cleanup_shortfall.number
    );
    v_gone bigint[];
BEGIN
    SELECT b.*
    INTO STRICT v_batch
    FROM notification_cleanup_batches AS b
    WHERE b.run_id = explain_cleanup_shortfall.run_id
        AND b.number = explain_cleanup_shortfall.number;
    IF v_batch.shard IS NOT NULL THEN
        PERFORM pin_tid_scans_on_workers();
    END IF;

    -- What is still there as it was listed, somebody held, unless a trigger kept it. Whatever is
    -- not was changed, or has gone.
    SELECT count(*)
    INTO explain_cleanup_shortfall.skipped
    FROM unnest(
        v_batch.relations,
        v_batch.places,
        v_batch.ids,
        v_batch.users,
        v_batch.created_ats
    ) WITH ORDINALITY AS doomed (relation, place, id, user_id, created_at, number)
    JOIN notifications AS n
        ON n.tableoid = doomed.relation
        AND n.ctid = doomed.place
        AND n.id = doomed.id
        AND n.user_id = doomed.user_id
        AND n.created_at = doomed.created_at
    WHERE doomed.number = ANY (explain_cleanup_shortfall.missed)
        AND (
            explain_cleanup_shortfall.kept IS NULL
            OR doomed.number <> ALL (explain_cleanup_shortfall.kept)
        )
        AND n.ctid = ANY (v_batch.places)
        AND n.deleted_at IS NULL
        AND n.status = 'read'
        AND n.created_at BETWEEN v_batch.oldest AND v_batch.newest
        AND (v_users IS NULL OR n.user_id = ANY (v_users));

    -- On Citus the run itself may have deleted some, in a transaction whose other half was lost.
    v_gone := deleted_on_worker(
        explain_cleanup_shortfall.run_id,
        explain_cleanup_shortfall.number,
        explain_cleanup_shortfall.missed
    );
    explain_cleanup_shortfall.deleted_before := cardinality(v_gone)::bigint;
    explain_cleanup_shortfall.users_left := ARRAY(
        SELECT listed.user_id
        FROM unnest(v_batch.users) WITH ORDINALITY AS listed (user_id, number)
        WHERE listed.number = ANY (explain_cleanup_shortfall.missed)
            AND listed.number <> ALL (v_gone)
    );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION explain_cleanup_shortfall(bigint, bigint, bigint[], bigint[]) IS
    'Of the missed notifications of a batch: how many somebody held (skipped), how many the run '
    'had deleted already (deleted_before), and the users of those that were left.';
-- end of sql/run/explain_cleanup_shortfall.sql

-- frozen copy of sql/run/find_undone_deletions.sql
-- Which notifications of a batch that its statement has soft-deleted are not so any more, because
-- the application's triggers that fired after it have undone it, or deleted the row:
--
--     SELECT find_undone_deletions(b, now(), '{1,2}', '{16384,16384}', '{"(0,8)","(0,9)"}')
--     FROM notification_cleanup_batches AS b;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION find_undone_deletions(
    batch notification_cleanup_batches,
    started_at timestamptz,
    numbers bigint[],  -- positions in the list of the batch
    relations oid[],   -- where each of them lies since
    places tid[]
)
RETURNS bigint[]  -- NULL: none
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_undone bigint[];
    v_other timestamptz;
BEGIN
    SELECT
        array_agg(written.number) FILTER (WHERE found.deleted_at IS NULL),
        min(found.deleted_at) FILTER (WHERE found.deleted_at <> find_undone_deletions.started_at)
    INTO
        v_undone,
        v_other
    FROM unnest(find_undone_deletions.numbers) AS written (number)
    LEFT JOIN find_written_notifications(
        find_undone_deletions.numbers,
        find_undone_deletions.relations,
        find_undone_deletions.places,
        (find_undone_deletions.batch).ids,
        (find_undone_deletions.batch).users,
        (find_undone_deletions.batch).created_ats
    ) AS found ON found.number = written.number;
    PERFORM check_written_deleted_at(v_other, find_undone_deletions.started_at);
    RETURN v_undone;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION
    find_undone_deletions(notification_cleanup_batches, timestamptz, bigint[], oid[], tid[])
IS
    'For sweep_cleanup_batch(): the positions of those notifications of a batch that its statement '
    'has soft-deleted and that a trigger after it has restored or deleted; NULL for none.';
-- end of sql/run/find_undone_deletions.sql

-- frozen copy of sql/run/find_written_notifications.sql
-- What has become of notifications that a statement has written, once the application's triggers
-- have fired after it:
--
--     SELECT * FROM find_written_notifications(
--         '{3}', '{16384}', '{"(0,2)"}', '{5,6,7}', '{1,1,1}', '{2025-01-01,2025-01-02,2025-01-03}'
--     );
--
-- Such a trigger may write a notification once more, in a statement of its own, or delete it.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION find_written_notifications(
    numbers bigint[],   -- positions, in the lists of ids, users and created_ats, of those written
    relations oid[],    -- where each of them lies since
    places tid[],
    ids notification_id[],
    users notification_user_id[],
    created_ats notification_created_at[]
)
RETURNS TABLE (
    number bigint,
    deleted_at timestamptz
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- By the place (ctid), in the one partition that can have the row: not by hashing or sorting the
-- whole table for a list of it.
SET plan_cache_mode = force_custom_plan
SET enable_hashjoin = off
SET enable_sort = off
SET random_page_cost = 0
AS $$
BEGIN
    RETURN QUERY
    WITH written AS (
        SELECT
            w.number,
            w.relation,
            w.place,
            find_written_notifications.ids[w.number] AS id,
            find_written_notifications.users[w.number] AS user_id,
            find_written_notifications.created_ats[w.number] AS created_at
        FROM unnest(
            find_written_notifications.numbers,
            find_written_notifications.relations,
            find_written_notifications.places
        ) AS w (number, relation, place)
    ),
    in_place AS MATERIALIZED (
        SELECT
            w.number,
            n.deleted_at
        FROM written AS w
        JOIN notifications AS n
            ON n.tableoid = w.relation
            AND n.ctid = w.place
            AND (n.user_id = w.user_id OR n.user_id IS NULL)
            AND (n.created_at = w.created_at OR n.created_at IS NULL)
    ),
    -- What has been written once more lies elsewhere.
    elsewhere AS (
        SELECT
            w.number,
            n.deleted_at
        FROM written AS w
        JOIN notifications AS n
            ON n.id = w.id
            AND n.tableoid = w.relation
            AND (n.user_id = w.user_id OR n.user_id IS NULL)
            AND (n.created_at = w.created_at OR n.created_at IS NULL)
        WHERE w.number NOT IN (SELECT p.number FROM in_place AS p)
    )
    SELECT
        p.number,
        p.deleted_at
    FROM in_place AS p
    UNION ALL
    SELECT
        e.number,
        e.deleted_at
    FROM elsewhere AS e;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION
    find_written_notifications(
        bigint[], oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    )
IS
    'For sweep_cleanup_batch() and restore_listed_notifications(): which of the notifications that '
    'a statement has written are still there, now that the triggers after it have fired, and what '
    'deleted_at each of them has.';
-- end of sql/run/find_written_notifications.sql

-- frozen copy of sql/run/give_up_notification_cleanup.sql
-- Gives a run up: what it has left is not done, and its record stays without an end. Does nothing
-- where the run has ended. Waits for batches in flight:
--
--     SELECT give_up_notification_cleanup(7);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION give_up_notification_cleanup(run_id bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    PERFORM count_lost_commits(give_up_notification_cleanup.run_id);
    IF settle_notification_cleanup(give_up_notification_cleanup.run_id) THEN
        RAISE NOTICE 'run %: given up%',
            give_up_notification_cleanup.run_id,
            CASE
                WHEN cleanup_run_is_rewritten(give_up_notification_cleanup.run_id)
                THEN ', because its table was rewritten or replaced since the plan'
            END;
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION give_up_notification_cleanup(bigint) IS
    'For plan_notification_cleanup(), cleanup_next_batch() and restore_notifications(), which are '
    'what to call: removes what a run has left, after waiting for batches in flight.';
-- end of sql/run/give_up_notification_cleanup.sql

-- frozen copy of sql/run/keep_cleanup_run.sql
-- Keeps the record of a run from being removed until the end of the transaction:
--
--     SELECT keep_cleanup_run(7);
--
-- Whoever removes it meanwhile waits here, for a batch at most, and not crosswise with it: for the
-- batch, while the batch waits for the record. Nobody else waits, other batches neither.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION keep_cleanup_run(run_id bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    PERFORM
    FROM notification_cleanup_runs AS r
    WHERE r.id = keep_cleanup_run.run_id
    FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM check_run_id(keep_cleanup_run.run_id);
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION keep_cleanup_run(bigint) IS
    'For cleanup_next_batch(), which is what to call: nobody can remove the record of the run '
    'until the transaction has ended.';
-- end of sql/run/keep_cleanup_run.sql

-- frozen copy of sql/run/notification_updates_are_followed.sql
-- Tells if a trigger of the application fires after an UPDATE of notifications, and so may write
-- them once more, in a statement of its own:
--
--     SELECT notification_updates_are_followed();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_updates_are_followed()
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_followed CONSTANT oid[] := ARRAY(
        SELECT t.tgrelid
        FROM pg_trigger AS t
        WHERE NOT t.tgisinternal
            AND t.tgenabled <> 'D'
            AND t.tgtype & 16 > 0  -- UPDATE
            AND t.tgtype & (2 | 64) = 0  -- neither BEFORE nor INSTEAD OF
    );
BEGIN
    -- Each batch asks. Where nothing has such a trigger, it need not look for all partitions.
    IF v_followed = '{}' THEN
        RETURN false;
    END IF;
    RETURN EXISTS (
        SELECT
        FROM notification_tables() AS behind
        WHERE behind.relation = ANY (v_followed)
    );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_updates_are_followed() IS
    'For sweep_cleanup_batch() and restore_listed_notifications(): whether a trigger of the '
    'application fires after an UPDATE of notifications.';
-- end of sql/run/notification_updates_are_followed.sql

-- frozen copy of sql/run/open_notification_cleanup.sql
-- Opens a run: finds the users over the limit, writes its record and its queue.
--
--     SELECT * FROM open_notification_cleanup(1000, 100, 10000, NULL);
--
-- The plan of function, procedure and program. With nobody over the limit, or nothing that may go,
-- the run is closed already.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION open_notification_cleanup(
    max_notifications integer,
    min_keep integer,
    batch_size bigint,               -- NULL: as many as a transaction for all of them likes
    user_ids notification_user_id[]  -- NULL: everybody
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_not_to_count notification_user_id[];
BEGIN
    PERFORM check_cleanup_limits(
        open_notification_cleanup.max_notifications,
        open_notification_cleanup.min_keep
    );

    v_run := record_new_cleanup_run(
        open_notification_cleanup.max_notifications,
        open_notification_cleanup.min_keep
    );

    WITH over_limit AS (
        SELECT
            q.user_id,
            q.planned,
            q.total - q.planned > v_run.max_notifications AS stays_over
        FROM queue_notification_cleanup(
            v_run.id,
            open_notification_cleanup.batch_size,
            open_notification_cleanup.user_ids
        ) AS q
    )
    SELECT
        count(*),
        count(*) FILTER (WHERE o.stays_over),
        coalesce(sum(o.planned), 0)::bigint,
        coalesce(array_agg(o.user_id) FILTER (WHERE o.stays_over AND o.planned > 0), '{}')
    INTO
        v_run.users_over_limit,
        v_run.users_still_over_limit,
        v_run.notifications_planned,
        v_not_to_count
    FROM over_limit AS o;

    IF v_run.notifications_planned = 0 THEN
        v_run.finished_at := clock_timestamp();
    ELSE
        INSERT INTO notification_cleanup_open_runs (run_id, users_not_to_count)
        VALUES (v_run.id, v_not_to_count);
        PERFORM note_shard_files(v_run.id);
        PERFORM spread_batches_over_shards(v_run.id);
    END IF;

    UPDATE notification_cleanup_runs AS r
    SET
        finished_at = v_run.finished_at,
        users_over_limit = v_run.users_over_limit,
        users_still_over_limit = v_run.users_still_over_limit,
        notifications_planned = v_run.notifications_planned
    WHERE r.id = v_run.id;
    RETURN v_run;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION open_notification_cleanup(integer, integer, bigint, notification_user_id[]) IS
    'The plan of cleanup_notifications() and plan_notification_cleanup(), which are what to call: '
    'opens a run with its queue, and returns its record.';
-- end of sql/run/open_notification_cleanup.sql

-- frozen copy of sql/run/pinned_planner_settings.sql
-- The settings of the planner that a routine has pinned for a statement of its own, each with the
-- value that it has in a new session:
--
--     SELECT * FROM pinned_planner_settings('purge_listed_notifications'::regproc);
--
-- The statement takes these values after it has been planned, because the triggers of the
-- application are planned while it runs. With ours, a trigger that joins two tables would read both
-- of them for each row. No others are touched: they would stay so until the end of the transaction.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pinned_planner_settings(
    routine regproc,
    OUT names text[],
    OUT new_values text[]
)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT
    coalesce(array_agg(s.name), '{}') AS names,
    coalesce(array_agg(s.reset_val), '{}') AS new_values
FROM pg_proc AS p
CROSS JOIN unnest(p.proconfig) AS pinned (setting)
JOIN pg_settings AS s ON s.name = split_part(pinned.setting, '=', 1)
WHERE p.oid = pinned_planner_settings.routine
    AND s.setting IS DISTINCT FROM s.reset_val
    -- Citus has no triggers on rows. The type tells which installation's is meant.
    AND notification_shards('{}'::notification_user_id[]) IS NULL
    AND (
        starts_with(s.name, 'enable_')
        OR right(s.name, 5) = '_cost'
        OR s.name IN ('plan_cache_mode', 'jit')
    )
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION pinned_planner_settings(regproc) IS
    'For sweep_cleanup_batch(), restore_listed_notifications() and purge_listed_notifications(): '
    'the names of the settings of the planner that the routine has pinned and that are others in '
    'a new session, and their values there.';
-- end of sql/run/pinned_planner_settings.sql

-- frozen copy of sql/run/plan_notification_cleanup.sql
-- Opens a run for cleanup_next_batch(), or returns one that has not ended:
--
--     SELECT * FROM plan_notification_cleanup(batch_size => 3000);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION plan_notification_cleanup(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100,
    batch_size integer DEFAULT 10000,
    pause_factor double precision DEFAULT 0,
    max_replica_lag interval DEFAULT NULL,
    max_deletions bigint DEFAULT NULL
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_suspension text;
BEGIN
    PERFORM check_cleanup_limits(
        plan_notification_cleanup.max_notifications,
        plan_notification_cleanup.min_keep,
        plan_notification_cleanup.max_deletions
    );
    PERFORM check_cleanup_pace(
        plan_notification_cleanup.pause_factor,
        plan_notification_cleanup.max_replica_lag
    );
    IF (plan_notification_cleanup.batch_size BETWEEN 1 AND 1000000) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid batch_size => %L', plan_notification_cleanup.batch_size),
            HINT = 'batch_size takes 1 to 1000000.';
    END IF;

    -- Also where it only returns a run that was planned before the columns were altered.
    PERFORM check_notification_columns();
    -- One plan at a time: who comes second finds the run of the first.
    PERFORM pg_advisory_xact_lock(
        'pg_class'::regclass::oid::integer,
        'notification_cleanup_runs'::regclass::oid::integer
    );
    v_suspension := cleanup_suspension();
    IF v_suspension IS NOT NULL THEN
        RAISE NOTICE 'the cleanup is suspended %', v_suspension;
        RETURN NULL;
    END IF;
    v_run := continue_notification_cleanup(
        plan_notification_cleanup.max_notifications,
        plan_notification_cleanup.min_keep
    );
    IF v_run.id IS NULL THEN
        PERFORM warn_without_index();
        v_run := open_notification_cleanup(
            plan_notification_cleanup.max_notifications,
            plan_notification_cleanup.min_keep,
            plan_notification_cleanup.batch_size,
            NULL
        );
    END IF;
    PERFORM check_planned_deletions(v_run, plan_notification_cleanup.max_deletions);
    IF v_run.finished_at IS NULL THEN
        -- How fast it goes, and that it goes, is up to its last caller.
        PERFORM pace_notification_cleanup(
            v_run.id,
            plan_notification_cleanup.pause_factor,
            plan_notification_cleanup.max_replica_lag
        );
        UPDATE notification_cleanup_open_runs AS o
        SET stopped_at = NULL
        WHERE o.run_id = v_run.id;
    END IF;
    RETURN v_run;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION
    plan_notification_cleanup(integer, integer, integer, double precision, interval, bigint)
IS
    'Opens a run in batches of batch_size notifications, for cleanup_next_batch(id), and returns '
    'its record; it has ended already where there is nothing to delete. Returns instead a run with '
    'the same limits that has not ended, if there is one: do its batches, then plan again. One '
    'whose last batch is older than 36 hours is given up. pause_factor: after each batch rest so '
    'many times as long as it took. max_replica_lag: before each batch wait until no standby, no '
    'logical slot and no slot of a standby that is away is further behind; needs '
    'pg_read_all_stats. Of several callers of one run the last one''s pace counts. max_deletions: '
    'where more is to be deleted, nothing is written, and the call fails with NC001. NULL, with a '
    'notice, while the cleanup is suspended.';
-- end of sql/run/plan_notification_cleanup.sql

-- frozen copy of sql/run/queue_notification_cleanup.sql
-- Finds the users over the limit, ranks their inboxes, and writes the queue of a run: the
-- notifications that go, in lists of batch_size.
--
--     SELECT * FROM queue_notification_cleanup(7, 10000, NULL);
--
-- All of it is one statement, so that a user is over the limit at the very moment at which their
-- inbox is ranked. The lists are in the order of the table, so that a batch reads and writes
-- neighbouring pages.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION queue_notification_cleanup(
    run_id bigint,
    batch_size bigint,               -- NULL: as many as one transaction for all of them likes
    user_ids notification_user_id[]  -- NULL: everybody
)
RETURNS TABLE (
    user_id notification_user_id,
    total bigint,
    planned bigint
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- The parts come sorted as it is; a hash table of lists would spill to the disk.
SET enable_hashagg = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
BEGIN
    SELECT r.*
    INTO STRICT v_run
    FROM notification_cleanup_runs AS r
    WHERE r.id = queue_notification_cleanup.run_id;

    RETURN QUERY
    WITH over_limit AS MATERIALIZED (
        SELECT
            array_agg(c.user_id) AS users,
            array_agg(c.total) AS totals,
            -- Each batch is a subtransaction, and more than 64 of them in one transaction slow down
            -- every other session. An array has room for a million rows of any key. Smaller ones
            -- are faster: a batch of 100,000 costs a fifth more a row, for its memory.
            coalesce(
                queue_notification_cleanup.batch_size,
                least(greatest(10000, sum(c.total)::bigint / 60), 1000000)
            ) AS batch_size
        FROM notification_crowds(
            v_run.max_notifications,
            queue_notification_cleanup.user_ids
        ) AS c
    ),
    -- Nothing, unless Citus distributes the table: there a batch has to lie in one shard.
    shards AS MATERIALIZED (
        SELECT
            s.user_id,
            s.shard
        FROM over_limit AS o
        CROSS JOIN notification_shards(o.users) AS found (shards)
        CROSS JOIN unnest(o.users, found.shards) AS s (user_id, shard)
        WHERE found.shards IS NOT NULL
    ),
    excess AS (
        SELECT
            e.*,
            s.shard,
            o.batch_size
        FROM over_limit AS o
        CROSS JOIN notification_excess(o.users, v_run.min_keep, v_run.started_at) AS e
        LEFT JOIN shards AS s ON s.user_id = e.user_id
    ),
    -- Bytes that sort as shard, table and place do, in half the time.
    numbered AS (
        SELECT
            e.*,
            row_number() OVER (
                ORDER BY coalesce(int8send(e.shard), '') || oidsend(e.relation) || tidsend(e.place)
            ) - 1 AS number
        FROM excess AS e
    ),
    -- One number for the shard or table and for the part of it, which rises with the sort key.
    parts AS (
        SELECT
            n.*,
            (coalesce(n.shard, n.relation::bigint) << 32) + n.number / n.batch_size AS part
        FROM numbered AS n
    ),
    lists AS (
        SELECT
            p.part,
            min(p.created_at) AS oldest,
            max(p.created_at) AS newest,
            min(p.shard) AS shard,
            array_agg(p.relation) AS relations,
            array_agg(p.place) AS places,
            array_agg(p.id) AS ids,
            array_agg(p.user_id) AS users,
            array_agg(p.created_at) AS created_ats,
            array_agg(p.user_id) FILTER (WHERE p.is_last) AS last_users,
            array_agg(p.newest - v_run.min_keep) FILTER (WHERE p.is_last) AS last_users_planned
        FROM parts AS p
        GROUP BY p.part
    ),
    queued AS (
        INSERT INTO notification_cleanup_batches AS b (
            run_id,
            number,
            oldest,
            newest,
            shard,
            file,
            relations,
            places,
            ids,
            users,
            created_ats,
            last_users,
            last_users_planned
        )
        SELECT
            v_run.id,
            row_number() OVER (ORDER BY l.part),
            l.oldest,
            l.newest,
            l.shard,
            CASE WHEN l.shard IS NULL THEN pg_relation_filenode(l.relations[1]::regclass) END,
            l.relations,
            l.places,
            l.ids,
            l.users,
            l.created_ats,
            l.last_users,
            l.last_users_planned
        FROM lists AS l
        RETURNING
            b.last_users,
            b.last_users_planned
    ),
    planned AS (
        SELECT
            u.user_id,
            u.planned
        FROM queued AS q
        CROSS JOIN unnest(q.last_users, q.last_users_planned) AS u (user_id, planned)
    )
    SELECT
        crowd.user_id,
        crowd.total,
        coalesce(p.planned, 0)
    FROM over_limit AS o
    CROSS JOIN unnest(o.users, o.totals) AS crowd (user_id, total)
    LEFT JOIN planned AS p ON p.user_id = crowd.user_id;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION queue_notification_cleanup(bigint, bigint, notification_user_id[]) IS
    'Writes the batches of a run that has just been opened, and returns the users over the limit, '
    'with how many live notifications each has and how many of them are to go.';
-- end of sql/run/queue_notification_cleanup.sql

-- frozen copy of sql/run/record_cleanup_batch.sql
-- Marks a batch as done, and adds what it did to the record of its run:
--
--     SELECT record_cleanup_batch(7, 1, 9998, '{3,4}', '{4}', interval '0.2 seconds');
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION record_cleanup_batch(
    run_id bigint,
    number bigint,
    deleted bigint,
    missed bigint[],  -- positions in the list; NULL: none
    kept bigint[],    -- those of them that a trigger kept; NULL: none
    took interval
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_deleted bigint := record_cleanup_batch.deleted;
    v_skipped bigint := 0::bigint;
    v_changed bigint := 0::bigint;
    v_users_left notification_user_id[] := ARRAY[]::notification_user_id[];
    v_rewritten boolean := false;
    v_shortfall record;
BEGIN
    IF record_cleanup_batch.missed IS NOT NULL THEN
        SELECT s.*
        INTO v_shortfall
        FROM explain_cleanup_shortfall(
            record_cleanup_batch.run_id,
            record_cleanup_batch.number,
            record_cleanup_batch.missed,
            record_cleanup_batch.kept
        ) AS s;
        v_deleted := v_deleted + v_shortfall.deleted_before;
        v_skipped := v_shortfall.skipped;
        v_changed := cardinality(v_shortfall.users_left) - v_skipped;
        v_users_left := v_shortfall.users_left;
        v_rewritten := cleanup_batch_is_rewritten(
            record_cleanup_batch.run_id,
            record_cleanup_batch.number
        );
    END IF;

    UPDATE notification_cleanup_batches AS b
    SET
        done_at = clock_timestamp(),
        users_left = v_users_left
    WHERE b.run_id = record_cleanup_batch.run_id
        AND b.number = record_cleanup_batch.number;

    -- Last what all workers write, so that one waits for another no longer than a COMMIT takes.
    PERFORM pace_after_batch(record_cleanup_batch.run_id, record_cleanup_batch.took);
    IF v_rewritten THEN
        UPDATE notification_cleanup_open_runs AS o
        SET rewritten = true
        WHERE o.run_id = record_cleanup_batch.run_id;
    END IF;
    UPDATE notification_cleanup_runs AS r
    SET
        notifications_deleted = r.notifications_deleted + v_deleted,
        notifications_skipped = r.notifications_skipped + v_skipped,
        notifications_changed = r.notifications_changed + v_changed
    WHERE r.id = record_cleanup_batch.run_id;
    RETURN v_deleted;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION
    record_cleanup_batch(bigint, bigint, bigint, bigint[], bigint[], interval)
IS
    'For cleanup_next_batch(), which is what to call: marks the batch as done, adds its counts to '
    'the record of the run, and returns how many notifications it deleted.';
-- end of sql/run/record_cleanup_batch.sql

-- frozen copy of sql/run/record_new_cleanup_run.sql
-- Writes the record of a new run, which is still empty:
--
--     SELECT * FROM record_new_cleanup_run(1000, 100);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION record_new_cleanup_run(
    max_notifications integer,
    min_keep integer
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_is_behind boolean;
BEGIN
    -- started_at names the rows of a run, so two runs that open in the same microsecond must
    -- differ in it.
    WHILE v_run.id IS NULL LOOP
        BEGIN
            INSERT INTO notification_cleanup_runs (max_notifications, min_keep)
            VALUES (
                record_new_cleanup_run.max_notifications,
                record_new_cleanup_run.min_keep
            )
            ON CONFLICT (started_at) DO NOTHING
            RETURNING * INTO v_run;
            -- Runs that open at the same moment may get their numbers the other way round.
            v_is_behind := EXISTS (
                SELECT
                FROM notification_cleanup_runs AS r
                WHERE r.id > v_run.id
                    AND r.started_at < v_run.started_at - interval '1 minute'
            );
        EXCEPTION
            WHEN unique_violation THEN
                v_is_behind := true;
        END;
        IF v_is_behind THEN
            RAISE EXCEPTION USING
                ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = 'the numbers of new runs are behind those of notification_cleanup_runs',
                DETAIL = 'So it is where the rows were copied without the sequence, as logical '
                    'replication does. Nothing was written.',
                HINT = 'As the owner: ' || cleanup_run_ids_repair();
        END IF;
    END LOOP;
    RETURN v_run;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION record_new_cleanup_run(integer, integer) IS
    'For open_notification_cleanup(): writes the record of a new run, and raises 55000 where its '
    'number is not the highest.';
-- end of sql/run/record_new_cleanup_run.sql

-- frozen copy of sql/run/settle_notification_cleanup.sql
-- Removes what is left of a run's queue, and counts its users for the record. Does nothing where
-- that has been done:
--
--     SELECT settle_notification_cleanup(7);
--
-- Waits for batches in flight. It takes the batches first, then the rest, as a batch does: two that
-- meet here wait one after the other, never crosswise.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION settle_notification_cleanup(run_id bigint)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_batches bigint;
    v_users_cleaned bigint;
    v_users_left notification_user_id[];
    v_users_not_to_count notification_user_id[];
BEGIN
    WITH queue AS (
        DELETE FROM notification_cleanup_batches AS b
        WHERE b.run_id = settle_notification_cleanup.run_id
        RETURNING
            b.last_users,
            b.last_users_planned,
            -- All of a batch that was not done.
            CASE WHEN b.done_at IS NULL THEN b.users ELSE b.users_left END AS users_left
    ),
    planned AS (
        SELECT
            u.user_id,
            u.planned
        FROM queue AS q
        CROSS JOIN unnest(q.last_users, q.last_users_planned) AS u (user_id, planned)
    ),
    not_deleted AS (
        SELECT
            u.user_id,
            count(*) AS notifications
        FROM queue AS q
        CROSS JOIN unnest(q.users_left) AS u (user_id)
        GROUP BY u.user_id
    )
    SELECT
        (SELECT count(*) FROM queue),
        count(*) FILTER (WHERE p.planned > coalesce(n.notifications, 0)),
        array_agg(n.user_id) FILTER (WHERE n.user_id IS NOT NULL)
    INTO
        v_batches,
        v_users_cleaned,
        v_users_left
    FROM planned AS p
    LEFT JOIN not_deleted AS n ON n.user_id = p.user_id;

    SELECT o.users_not_to_count
    INTO v_users_not_to_count
    FROM notification_cleanup_open_runs AS o
    WHERE o.run_id = settle_notification_cleanup.run_id;
    -- The row of a rewritten run stays until the next plan, to tell its workers why it has ended.
    DELETE FROM notification_cleanup_open_runs AS o
    WHERE o.run_id = settle_notification_cleanup.run_id
        AND NOT o.rewritten;
    IF v_batches = 0 THEN
        RETURN false;
    END IF;

    -- Users whom the plan would have brought under the limit, and the run did not, count if they
    -- are over it now.
    UPDATE notification_cleanup_runs AS r
    SET
        users_cleaned = v_users_cleaned,
        users_still_over_limit = r.users_still_over_limit + (
            SELECT count(*)
            FROM notification_crowds(r.max_notifications, coalesce(v_users_left, '{}')) AS c
            WHERE c.user_id NOT IN (
                SELECT u.user_id
                FROM unnest(v_users_not_to_count) AS u (user_id)
            )
        )
    WHERE r.id = settle_notification_cleanup.run_id;
    RETURN true;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION settle_notification_cleanup(bigint) IS
    'For close_notification_cleanup() and give_up_notification_cleanup(): removes the queue of a '
    'run after waiting for batches in flight, and writes users_cleaned and users_still_over_limit. '
    'Returns whether there was a queue.';
-- end of sql/run/settle_notification_cleanup.sql

-- frozen copy of sql/run/sweep_cleanup_batch.sql
-- Soft-deletes those notifications of one batch that are still what the plan has judged and that
-- nobody holds. The only statement of the product that sets deleted_at to a time:
--
--     SELECT * FROM sweep_cleanup_batch(7, 1, '100ms');
--
-- Table, place, id, user and created_at together are the row: what lies in a place that was freed
-- and filled again does not match, nor what the application has moved or marked since.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION sweep_cleanup_batch(
    run_id bigint,
    number bigint,
    patience text,  -- the lock_timeout for rows
    OUT deleted bigint,
    OUT missed bigint[],
    OUT kept bigint[]
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET timezone = 'UTC'
-- The list is planned anew for each batch, by its own users and dates: they leave out partitions.
SET plan_cache_mode = force_custom_plan
-- By place and by nothing else, whatever the statistics say: one Tid Scan of all places of the
-- list, which the hash join then matches with the list. A nested loop would begin a Tid Scan for
-- each row, and each of those asks the system for the size of the table: half as much time again.
SET enable_tidscan = on
SET enable_nestloop = off
SET enable_hashjoin = on
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_indexscan = off
SET enable_indexonlyscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_batch notification_cleanup_batches;
    v_started_at timestamptz;
    v_other timestamptz;
    v_lock_timeout CONSTANT text := current_setting('lock_timeout');
    v_settings CONSTANT record := pinned_planner_settings('sweep_cleanup_batch'::regproc);
    v_users CONSTANT notification_user_id[] := cleanup_batch_pruning_users(
        sweep_cleanup_batch.run_id,
        sweep_cleanup_batch.number
    );
    -- Whether a trigger of the application fires after the UPDATE, and so may undo it.
    v_is_followed boolean;
    -- What was soft-deleted and may have been undone since, and where it lies.
    v_numbers bigint[];
    v_relations oid[];
    v_places tid[];
    v_undone bigint[];
BEGIN
    SELECT b.*
    INTO STRICT v_batch
    FROM notification_cleanup_batches AS b
    WHERE b.run_id = sweep_cleanup_batch.run_id
        AND b.number = sweep_cleanup_batch.number;
    IF v_batch.shard IS NOT NULL THEN
        PERFORM pin_tid_scans_on_workers();
    END IF;
    -- Citus has no triggers on rows.
    v_is_followed := v_batch.shard IS NULL AND notification_updates_are_followed();
    SELECT r.started_at
    INTO STRICT v_started_at
    FROM notification_cleanup_runs AS r
    WHERE r.id = sweep_cleanup_batch.run_id;

    WITH settings AS MATERIALIZED (
        -- Set inside of the statement, after it is planned and has its locks on tables: for those
        -- the caller's own lock_timeout counts.
        SELECT count(set_config(s.name, s.new_value, true)) AS given_back
        FROM unnest(
            v_settings.names || ARRAY['lock_timeout'],
            v_settings.new_values || ARRAY[sweep_cleanup_batch.patience]
        ) AS s (name, new_value)
    ),
    locked AS MATERIALIZED (
        SELECT
            n.tableoid AS relation,
            n.ctid AS place,
            doomed.number
        FROM unnest(
            v_batch.relations,
            v_batch.places,
            v_batch.ids,
            v_batch.users,
            v_batch.created_ats
        ) WITH ORDINALITY AS doomed (relation, place, id, user_id, created_at, number)
        JOIN notifications AS n
            ON n.tableoid = doomed.relation
            AND n.ctid = doomed.place
            AND n.id = doomed.id
            AND n.user_id = doomed.user_id
            AND n.created_at = doomed.created_at
        WHERE n.ctid = ANY (v_batch.places)
            AND n.deleted_at IS NULL
            AND n.status = 'read'
            AND n.created_at BETWEEN v_batch.oldest AND v_batch.newest
            AND (v_users IS NULL OR n.user_id = ANY (v_users))
            AND (SELECT s.given_back FROM settings AS s) IS NOT NULL
        FOR NO KEY UPDATE OF n SKIP LOCKED
    ),
    -- The conditions again, because this part finds rows for itself: with place and pruning alone
    -- it has met rows of other partitions that were never listed.
    updated AS (
        UPDATE notifications AS n
        SET deleted_at = v_started_at
        FROM locked AS l
        WHERE n.tableoid = l.relation
            AND n.ctid = l.place
            AND n.ctid = ANY (ARRAY(SELECT held.place FROM locked AS held))
            AND n.deleted_at IS NULL
            AND n.status = 'read'
            AND n.created_at BETWEEN v_batch.oldest AND v_batch.newest
            AND (v_users IS NULL OR n.user_id = ANY (v_users))
        RETURNING
            l.number,
            n.deleted_at,
            n.tableoid AS relation,
            n.ctid AS place,
            -- To another partition. Then the triggers that fire are those of DELETE and INSERT.
            n.tableoid <> l.relation AS has_moved
    ),
    -- A trigger that keeps a row lets its deleted_at NULL, or the row out of what was updated.
    soft_deleted AS MATERIALIZED (
        SELECT
            u.number,
            u.relation,
            u.place,
            v_is_followed OR u.has_moved AS may_be_undone
        FROM updated AS u
        WHERE u.deleted_at = v_started_at
    ),
    counted AS (
        SELECT
            count(*) AS soft_deleted,
            (SELECT count(*) FROM locked) AS locked,
            array_agg(s.number) FILTER (WHERE s.may_be_undone) AS numbers,
            array_agg(s.relation) FILTER (WHERE s.may_be_undone) AS relations,
            array_agg(s.place) FILTER (WHERE s.may_be_undone) AS places
        FROM soft_deleted AS s
    )
    SELECT
        c.soft_deleted,
        c.numbers,
        c.relations,
        c.places,
        (SELECT min(u.deleted_at) FROM updated AS u WHERE u.deleted_at <> v_started_at),
        CASE
            WHEN c.soft_deleted < cardinality(v_batch.places)
            THEN ARRAY(
                SELECT listed.number
                FROM generate_series(1::bigint, cardinality(v_batch.places)::bigint)
                    AS listed (number)
                WHERE listed.number NOT IN (SELECT s.number FROM soft_deleted AS s)
            )
        END,
        CASE
            WHEN c.soft_deleted < c.locked
            THEN ARRAY(
                SELECT l.number
                FROM locked AS l
                WHERE l.number NOT IN (SELECT s.number FROM soft_deleted AS s)
            )
        END
    INTO
        sweep_cleanup_batch.deleted,
        v_numbers,
        v_relations,
        v_places,
        v_other,
        sweep_cleanup_batch.missed,
        sweep_cleanup_batch.kept
    FROM counted AS c;

    PERFORM set_config('lock_timeout', v_lock_timeout, true);
    PERFORM check_written_deleted_at(v_other, v_started_at);

    IF v_numbers IS NOT NULL AND v_batch.shard IS NULL THEN
        v_undone := find_undone_deletions(v_batch, v_started_at, v_numbers, v_relations, v_places);
        IF v_undone IS NOT NULL THEN
            sweep_cleanup_batch.deleted := sweep_cleanup_batch.deleted - cardinality(v_undone);
            sweep_cleanup_batch.missed := sweep_cleanup_batch.missed || v_undone;
            sweep_cleanup_batch.kept := sweep_cleanup_batch.kept || v_undone;
        END IF;
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION sweep_cleanup_batch(bigint, bigint, text) IS
    'Does one batch for cleanup_next_batch(), which is what to call. deleted: how many; missed: '
    'the positions in the list of those that were not soft-deleted, NULL where all were; kept: '
    'those of them that were locked, and that a trigger has kept, restored or deleted.';
-- end of sql/run/sweep_cleanup_batch.sql

-- frozen copy of sql/run/warn_without_index.sql
-- Warns where no valid index serves the cleanup, so that a run reads whole tables: a migration does
-- at its end, and each plan.
--
--     SELECT warn_without_index();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION warn_without_index()
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_tables text;
BEGIN
    -- Where ours are valid each partition has them too, and the long way need not be gone.
    IF 2 = (
        SELECT count(*)
        FROM pg_index AS x
        WHERE x.indrelid = 'notifications'::regclass
            AND x.indisvalid
            AND x.indexrelid IN (
                to_regclass('notifications_live_idx'),
                to_regclass('notifications_deleted_idx')
            )
    ) THEN
        RETURN;
    END IF;
    SELECT string_agg(DISTINCT i.relation::text, ', ')
    INTO v_tables
    FROM notification_cleanup_indexes() AS i
    WHERE i.purpose IS NOT NULL
        AND i.index IS NULL;
    IF v_tables IS NOT NULL THEN
        RAISE WARNING USING
            MESSAGE = 'no valid index serves the cleanup on ' || v_tables,
            HINT = E'notification-cleanup migrate up builds it, or prints what the table behind a '
                'view lacks. In psql: SELECT statement FROM notification_cleanup_indexes() '
                'WHERE statement IS NOT NULL \\gexec';
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION warn_without_index() IS
    'Raises a WARNING that names the tables behind notifications on which no valid index serves.';
-- end of sql/run/warn_without_index.sql

-- frozen copy of sql/snapshot/notification_cleanup_version.sql.tmpl
-- Of which migration the routines are. It is the version of the installation, for whoever may not
-- read goose's table, and where that is empty, as pg_dump --schema-only leaves it:
--
--     SELECT notification_cleanup_version();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_cleanup_version()
RETURNS integer
LANGUAGE sql
IMMUTABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT 4
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_cleanup_version() IS
    'The number of the migration that brought the routines.';
-- end of sql/snapshot/notification_cleanup_version.sql.tmpl

-- frozen copy of sql/types/check_notification_columns.sql
-- Refuses to work on columns that are no longer what the cleanup was installed for:
--
--     SELECT check_notification_columns();
--
-- Whatever reads or writes notifications calls this first: with another type or collation two users
-- might be one, or a run find nothing that it has listed; and in another schema all is another's.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION check_notification_columns()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_problems CONSTANT text := (
        SELECT string_agg(p.problem, '; ' ORDER BY p.problem)
        FROM notification_column_problems() AS p
    );
BEGIN
    PERFORM check_calling_schema();
    IF v_problems IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'datatype_mismatch',
            MESSAGE = format(
                'the notifications in schema %I are not what the cleanup was installed for: %s',
                current_schema(),
                v_problems
            ),
            DETAIL = 'Nothing was changed.',
            HINT = 'Undo that, or adopt the table as it is now: notification-cleanup migrate '
                'adopt.';
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION check_notification_columns() IS
    'Raises datatype_mismatch (42804) where a column of notifications is missing, or no longer of '
    'the type and collation that it had when the cleanup was installed. A length or a precision '
    'may have changed.';
-- end of sql/types/check_notification_columns.sql

-- frozen copy of sql/types/notification_column_problems.sql
-- Why the cleanup cannot work on the columns as they are: a row for each that is no longer what it
-- was adopted as, none where all is well.
--
--     SELECT * FROM notification_column_problems();
--
-- A length or a precision may change, since our domains have none. Another type or collation is
-- another =, and with it another user.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_column_problems()
RETURNS TABLE (problem text)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN QUERY
    -- Each column as it is stored: a domain of the application's stands for what it is made of.
    WITH RECURSIVE layers AS (
        SELECT
            a.attname,
            a.atttypid AS type,
            a.atttypmod AS typmod,
            a.attnotnull AS is_not_null,
            -- Of a generated column it is the expression.
            (
                SELECT pg_get_expr(d.adbin, d.adrelid)
                FROM pg_attrdef AS d
                WHERE d.adrelid = a.attrelid
                    AND d.adnum = a.attnum
            ) AS default_value,
            a.attcollation,
            format_type(a.atttypid, a.atttypmod) AS type_name
        FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass('notifications')
            AND a.attname IN ('id', 'user_id', 'created_at', 'status', 'deleted_at')
            AND NOT a.attisdropped
        UNION ALL
        SELECT
            l.attname,
            t.typbasetype,
            t.typtypmod,
            l.is_not_null OR t.typnotnull,
            coalesce(l.default_value, t.typdefault),
            l.attcollation,
            l.type_name
        FROM layers AS l
        JOIN pg_type AS t ON t.oid = l.type
            AND t.typtype = 'd'
    ),
    column_of AS (
        SELECT l.*
        FROM layers AS l
        JOIN pg_type AS t ON t.oid = l.type
            AND t.typtype <> 'd'
    )
    SELECT format('column %s is missing', wanted.name)
    FROM (VALUES
        ('id'::name),
        ('user_id'),
        ('created_at'),
        ('status'),
        ('deleted_at')
    ) AS wanted (name)
    WHERE wanted.name NOT IN (SELECT c.attname FROM column_of AS c)
    UNION ALL
    SELECT format(
        'column %s is %s, and was %s when the cleanup was installed',
        c.attname,
        concat_ws(' COLLATE ', c.type_name, nullif(c.attcollation, 0)::regcollation),
        concat_ws(
            ' COLLATE ',
            format_type(domain.typbasetype, domain.typtypmod),
            nullif(domain.typcollation, 0)::regcollation
        )
    )
    FROM column_of AS c
    JOIN pg_type AS domain ON domain.oid = CASE c.attname
        WHEN 'id' THEN 'notification_id'::regtype
        WHEN 'user_id' THEN 'notification_user_id'::regtype
        WHEN 'created_at' THEN 'notification_created_at'::regtype
    END
    WHERE c.type <> domain.typbasetype
        OR c.attcollation <> domain.typcollation
    UNION ALL
    SELECT format(
        'column deleted_at is %s, and has to be a nullable timestamp with time zone of full '
        'precision',
        c.type_name
    )
    FROM column_of AS c
    WHERE c.attname = 'deleted_at'
        AND (
            c.type <> 'timestamptz'::regtype
            OR c.typmod NOT IN (-1, 6)
            OR c.is_not_null
        )
    UNION ALL
    -- DEFAULT NULL, as some write it out, is kept for some types.
    SELECT
        'column deleted_at begins as '
        || c.default_value
        || ', but a notification is live while it is NULL'
    FROM column_of AS c
    WHERE c.attname = 'deleted_at'
        AND NOT starts_with(c.default_value, 'NULL::')
    UNION ALL
    SELECT format(
        'column status is %s, and has to be case-sensitive text, or an enum with the labels '
        '''read'' and ''unread''',
        c.type_name
    )
    FROM column_of AS c
    WHERE c.attname = 'status'
        AND (
            c.type NOT IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
            OR EXISTS (
                SELECT
                FROM pg_collation AS used
                WHERE used.oid = c.attcollation
                    AND NOT used.collisdeterministic
            )
        )
        AND (
            SELECT count(*)
            FROM pg_enum AS e
            WHERE e.enumtypid = c.type
                AND e.enumlabel IN ('read', 'unread')
        ) < 2;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_column_problems() IS
    'Each column of notifications that is missing, or of another type or collation than when the '
    'cleanup was installed, in words: both types and which column. For '
    'check_notification_columns() and the doctor.';
-- end of sql/types/notification_column_problems.sql

-- frozen copy of sql/undo/check_delete_rules.sql
-- Refuses to purge where a rule does something else instead of DELETE: nothing would go, and what
-- the rule returns would be counted as gone.
--
--     SELECT check_delete_rules();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION check_delete_rules()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_rules text;
BEGIN
    SELECT string_agg(format('%I on %s', r.rulename, r.ev_class::regclass), ', ')
    INTO v_rules
    FROM pg_rewrite AS r
    WHERE r.ev_type = '4'  -- DELETE
        AND r.is_instead
        AND r.ev_enabled IN ('O', 'A')
        AND r.ev_class IN (SELECT t.relation FROM notification_tables() AS t);
    IF v_rules IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'rules do something else instead of DELETE: ' || v_rules,
            DETAIL = 'With them no notification can be purged. Nothing was changed.',
            HINT = 'DROP RULE, or do not purge here.';
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION check_delete_rules() IS
    'For purge_notifications(): raises object_not_in_prerequisite_state (55000) where a rule of '
    'the application does something else instead of DELETE.';
-- end of sql/undo/check_delete_rules.sql

-- frozen copy of sql/undo/count_deleted_rows.sql
-- How many rows of some tables this transaction has deleted so far, by whatever statement, foreign
-- key or trigger:
--
--     SELECT count_deleted_rows(notification_siblings());
--
-- The server counts them for its statistics, also those of attempts that were taken back.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION count_deleted_rows(tables oid[])
RETURNS bigint
LANGUAGE sql
VOLATILE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT coalesce(sum(pg_stat_get_xact_tuples_deleted(t.oid)), 0)::bigint
FROM unnest(count_deleted_rows.tables) AS t (oid)
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION count_deleted_rows(oid[]) IS
    'For purge_listed_notifications(): how many rows of these tables the transaction has deleted '
    'so far. Needs track_counts = on.';
-- end of sql/undo/count_deleted_rows.sql

-- frozen copy of sql/undo/find_purges_with_others.sql
-- Which of the listed notifications take others along that are not listed, when they are deleted
-- for good: by a foreign key with ON DELETE CASCADE, or by a trigger. Deletes one by one to see it,
-- and takes all of that back.
--
--     SELECT find_purges_with_others('{16384}', '{"(0,1)"}', '{7}', '{1}', '{2025-01-01}');
--
-- They go in the order of the list: the newest first, so that of an answer and its question, both
-- listed, each goes alone.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION find_purges_with_others(
    relations oid[],
    places tid[],
    ids notification_id[],
    users notification_user_id[],
    created_ats notification_created_at[]
)
RETURNS bigint[]  -- positions in the list; NULL: not known, because something else refuses
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
AS $$
DECLARE
    v_tables CONSTANT oid[] := notification_siblings();
    v_deleted bigint := count_deleted_rows(v_tables);
    v_deleted_before bigint;
    v_listed record;
    v_numbers bigint[];
BEGIN
    FOR v_listed IN
        SELECT
            listed.number,
            listed.relation,
            listed.place,
            listed.id,
            listed.user_id,
            listed.created_at
        FROM unnest(
            find_purges_with_others.relations,
            find_purges_with_others.places,
            find_purges_with_others.ids,
            find_purges_with_others.users,
            find_purges_with_others.created_ats
        ) WITH ORDINALITY AS listed (relation, place, id, user_id, created_at, number)
        ORDER BY listed.number
    LOOP
        DELETE FROM notifications AS n
        WHERE n.tableoid = v_listed.relation
            AND n.ctid = v_listed.place
            AND n.id = v_listed.id
            AND (n.deleted_at IS NOT NULL) IS TRUE
            AND (n.user_id = v_listed.user_id OR n.user_id IS NULL)
            AND (n.created_at = v_listed.created_at OR n.created_at IS NULL);
        v_deleted_before := v_deleted;
        v_deleted := count_deleted_rows(v_tables);
        IF v_deleted - v_deleted_before > 1 THEN
            v_numbers := v_numbers || v_listed.number;
        END IF;
    END LOOP;
    -- All of it is taken back, but not what the variables say.
    RAISE EXCEPTION USING ERRCODE = 'NC001', MESSAGE = 'taken back';
EXCEPTION
    WHEN SQLSTATE 'NC001' THEN
        RETURN v_numbers;
    WHEN assert_failure OR OTHERS THEN
        RETURN NULL;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION
    find_purges_with_others(
        oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    )
IS
    'For try_restore_or_purge(): the positions of those listed notifications that take others '
    'along, which are not listed, when they are deleted for good.';
-- end of sql/undo/find_purges_with_others.sql

-- frozen copy of sql/undo/notification_siblings.sql
-- The tables that have notifications, and the other partitions beside these, which a view may leave
-- out:
--
--     SELECT notification_siblings();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notification_siblings()
RETURNS oid[]
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
WITH roots AS (
    SELECT DISTINCT coalesce(pg_partition_root(t.relation), t.relation) AS root
    FROM notification_tables() AS t
    WHERE t.is_leaf
)
SELECT array_agg(coalesce(part.relid, r.root)::oid)
FROM roots AS r
LEFT JOIN LATERAL pg_partition_tree(r.root) AS part ON part.isleaf
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION notification_siblings() IS
    'For purge_listed_notifications(): the tables in which a purge may delete what is listed, and '
    'nothing else.';
-- end of sql/undo/notification_siblings.sql

-- frozen copy of sql/undo/purge_listed_notifications.sql
-- Deletes the listed notifications for good, which the caller has locked, and returns the positions
-- of those that are gone then; never a live one, and no other one along with them. All or none:
-- whatever refuses one of them is an error.
--
--     SELECT purge_listed_notifications('{16384}', '{"(0,1)"}', '{7}', '{1}', '{2025-01-01}');
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION purge_listed_notifications(
    relations oid[],
    places tid[],
    ids notification_id[],
    users notification_user_id[],
    created_ats notification_created_at[]
)
RETURNS bigint[]  -- positions in the list
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- By the place (ctid), in the one partition that can have the row: not by hashing or sorting the
-- whole table for a list of it.
SET plan_cache_mode = force_custom_plan
SET enable_hashjoin = off
SET enable_sort = off
SET random_page_cost = 0
AS $$
DECLARE
    -- Only where Citus has to find the shard: all of a list lies in one.
    v_users CONSTANT notification_user_id[] := CASE
        WHEN notification_shards('{}') IS NOT NULL THEN purge_listed_notifications.users
    END;
    v_settings CONSTANT record := pinned_planner_settings('purge_listed_notifications'::regproc);
    v_tables CONSTANT oid[] := notification_siblings();
    v_deleted_before bigint;
    v_numbers bigint[];
    v_others bigint;
BEGIN
    IF v_users IS NOT NULL THEN
        PERFORM check_distributed_cascades();
    ELSIF NOT current_setting('track_counts')::boolean THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'a purge cannot see what it deletes, because track_counts is off',
            HINT = 'SET track_counts = on, which autovacuum needs as well.';
    END IF;
    v_deleted_before := count_deleted_rows(v_tables);
    -- Relation, place and id together are the row that was locked: an id may stand in several
    -- partitions. IS TRUE hides the condition from the index on deleted_at, which would be read
    -- once for each row.
    WITH settings AS MATERIALIZED (
        SELECT count(set_config(s.name, s.new_value, true)) AS given_back
        FROM unnest(v_settings.names, v_settings.new_values) AS s (name, new_value)
    ),
    deleted AS (
        DELETE FROM notifications AS n
        USING unnest(
            purge_listed_notifications.relations,
            purge_listed_notifications.places,
            purge_listed_notifications.ids,
            purge_listed_notifications.users,
            purge_listed_notifications.created_ats
        ) WITH ORDINALITY AS listed (relation, place, id, user_id, created_at, number)
        WHERE n.tableoid = listed.relation
            AND n.ctid = listed.place
            AND n.id = listed.id
            AND (n.deleted_at IS NOT NULL) IS TRUE
            AND (v_users IS NULL OR n.user_id = ANY (v_users))
            AND (n.user_id = listed.user_id OR n.user_id IS NULL)
            AND (n.created_at = listed.created_at OR n.created_at IS NULL)
            AND (SELECT s.given_back FROM settings AS s) IS NOT NULL
        RETURNING listed.number
    )
    SELECT array_agg(d.number)
    INTO v_numbers
    FROM deleted AS d;

    -- A foreign key with ON DELETE CASCADE, or a trigger, may have taken others along. Whether they
    -- were live is not to be known any more.
    v_others := count_deleted_rows(v_tables) - v_deleted_before
        - coalesce(cardinality(v_numbers), 0);
    IF v_others > 0 AND v_users IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'a foreign key with ON DELETE CASCADE or a trigger would delete other '
                'notifications along with it',
            HINT = 'It is purged when these have gone. Where they are to stay without it, let the '
                'foreign key SET NULL.';
    END IF;
    RETURN v_numbers;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION
    purge_listed_notifications(
        oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    )
IS
    'For restore_or_purge(), and to try one: deletes the listed notifications that are '
    'soft-deleted and still where they are said to lie, and returns the positions of those that '
    'are gone then.';
-- end of sql/undo/purge_listed_notifications.sql

-- frozen copy of sql/undo/purge_next_batch.sql
-- Purge in batches: call it until it is NULL.
--
--     SELECT purge_next_batch(retention => '30 days', max_rows => 10000);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION purge_next_batch(
    retention interval DEFAULT '30 days',
    max_rows integer DEFAULT 10000
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- The plan is to find by the index on deleted_at: not to sort the whole table for a batch of it.
SET plan_cache_mode = force_custom_plan
SET enable_sort = off
AS $$
DECLARE
    v_max_attempts CONSTANT integer := 60;
    v_attempts integer := 0;
    v_before timestamptz;
    v_refused text[];
    v_refused_now bigint := 0::bigint;
    v_users notification_user_id[];
    v_rows bigint;
    v_list record;
    v_result record;
    v_purged bigint := 0::bigint;
BEGIN
    IF (
        purge_next_batch.retention > interval '0'
        AND now() - purge_next_batch.retention < now()
        AND purge_next_batch.max_rows >= 1
    ) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid limits: retention => %L, max_rows => %L',
                purge_next_batch.retention,
                purge_next_batch.max_rows
            ),
            HINT = 'retention takes a positive interval, max_rows 1 or more.';
    END IF;
    PERFORM check_notification_columns();
    PERFORM check_delete_rules();
    v_before := now() - purge_next_batch.retention;
    v_refused := refused_notifications('purge', '-infinity', v_before);
    FOR v_users, v_rows IN
        SELECT
            s.user_ids,
            s.notifications
        FROM notification_deleted_shards(
            '-infinity',
            v_before,
            least(purge_next_batch.max_rows, 1000000)  -- an array takes no more of them
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
            WHERE n.deleted_at < v_before
                -- IS NOT TRUE lets the server hash the list.
                AND (
                    v_refused IS NULL
                    OR (concat_ws(' ', n.tableoid, n.ctid, n.id) = ANY (v_refused)) IS NOT TRUE
                )
                AND (v_users IS NULL OR n.user_id = ANY (v_users))
            ORDER BY n.deleted_at
            LIMIT v_rows
            FOR UPDATE SKIP LOCKED
        )
        SELECT
            array_agg(e.relation) AS relations,
            array_agg(e.place) AS places,
            array_agg(e.id::notification_id) AS ids,
            array_agg(e.user_id::notification_user_id) AS users,
            array_agg(e.created_at::notification_created_at) AS created_ats,
            array_agg(e.deleted_at) AS deleted_ats
        INTO v_list
        -- The newest first, so that in parts, too, an answer goes before its question.
        FROM (
            SELECT expired.*
            FROM expired
            ORDER BY
                expired.created_at DESC NULLS LAST,
                expired.id DESC
        ) AS e;
        CONTINUE WHEN v_list.places IS NULL;

        v_result := restore_or_purge(
            'purge',
            v_max_attempts - v_attempts,
            v_list.relations,
            v_list.places,
            v_list.ids,
            v_list.users,
            v_list.created_ats,
            v_list.deleted_ats
        );
        v_purged := v_purged + v_result.done;
        v_attempts := v_attempts + v_result.attempts;
        v_refused_now := v_refused_now + v_result.refused;
    END LOOP;
    PERFORM warn_of_refused('purge', v_refused_now);
    IF v_attempts = 0 THEN
        RETURN NULL;
    END IF;
    RETURN v_purged;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION purge_next_batch(interval, integer) IS
    'Deletes for good, oldest first, up to max_rows notifications that were soft-deleted longer '
    'than retention ago, and returns how many. Call it until it is NULL, each time in a '
    'transaction of its own: 0 means that all it tried refused, which it has noted in '
    'notification_cleanup_refused, and that the next call goes on behind these.';
-- end of sql/undo/purge_next_batch.sql

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
AS $$
BEGIN
    RETURN coalesce(
        purge_next_batch(purge_notifications.retention, purge_notifications.max_rows),
        0
    );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION purge_notifications(interval, integer) IS
    'Deletes for good, oldest first, up to max_rows notifications that were soft-deleted longer '
    'than retention ago, and returns how many; never a live one, and never waits for a row lock. '
    'It steps over what a foreign key or a trigger refuses, with a warning and a row in '
    'notification_cleanup_refused. What is purged cannot be restored.';
-- end of sql/undo/purge_notifications.sql

-- frozen copy of sql/undo/refused_notifications.sql
-- What undo or purge steps over: the notifications that refused within the last day. Forgets those
-- that refused earlier, so that they are tried again.
--
--     SELECT refused_notifications('restore', '2025-06-01 03:00:00+00', '2025-06-01 03:00:00+00');
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refused_notifications(
    operation text,
    deleted_from timestamptz,
    deleted_until timestamptz
)
RETURNS text[]  -- each as relation, place and id: '16384 (0,1) 7'; NULL: none
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    DELETE FROM notification_cleanup_refused AS f
    WHERE f.operation = refused_notifications.operation
        AND f.deleted_at BETWEEN
            refused_notifications.deleted_from AND refused_notifications.deleted_until
        -- A clock that was ahead does not keep them for longer.
        AND f.refused_at NOT BETWEEN now() - interval '1 day' AND clock_timestamp();
    RETURN (
        SELECT array_agg(concat_ws(' ', f.relation, f.place, f.id))
        FROM notification_cleanup_refused AS f
        WHERE f.operation = refused_notifications.operation
            AND f.deleted_at BETWEEN
                refused_notifications.deleted_from AND refused_notifications.deleted_until
    );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION refused_notifications(text, timestamptz, timestamptz) IS
    'For restore_next_batch() and purge_notifications(): the notifications, deleted at such a '
    'time, that they step over, because these have refused within the last day.';
-- end of sql/undo/refused_notifications.sql

-- frozen copy of sql/undo/restore_batch.sql
-- Undoes the next notifications of a run, in at most max_attempts subtransactions:
--
--     SELECT * FROM restore_batch(7, 10000, 60);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION restore_batch(
    run_id bigint,
    batch_size integer,
    max_attempts integer,
    OUT restored bigint,  -- NULL: nothing is left but what refuses
    OUT attempts integer
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- The plan is to find by the index on deleted_at: not to read the whole table for a batch of it.
SET plan_cache_mode = force_custom_plan
SET random_page_cost = 0
AS $$
DECLARE
    v_started_at timestamptz;
    v_refused text[];
    v_refused_now bigint := 0::bigint;
    v_users notification_user_id[];
    v_rows bigint;
    v_list record;
    v_result record;
    v_held record;
BEGIN
    SELECT r.started_at
    INTO STRICT v_started_at
    FROM notification_cleanup_runs AS r
    WHERE r.id = restore_batch.run_id;
    restore_batch.restored := 0;
    restore_batch.attempts := 0;
    LOOP
        v_refused := refused_notifications('restore', v_started_at, v_started_at);
        FOR v_users, v_rows IN
            SELECT
                s.user_ids,
                s.notifications
            FROM notification_deleted_shards(
                v_started_at,
                v_started_at + interval '1 microsecond',
                restore_batch.batch_size
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
                    -- IS NOT TRUE lets the server hash the list.
                    AND (
                        v_refused IS NULL
                        OR (concat_ws(' ', n.tableoid, n.ctid, n.id) = ANY (v_refused)) IS NOT TRUE
                    )
                    AND (v_users IS NULL OR n.user_id = ANY (v_users))
                LIMIT v_rows
                FOR NO KEY UPDATE SKIP LOCKED
            )
            SELECT
                array_agg(l.relation) AS relations,
                array_agg(l.place) AS places,
                array_agg(l.id::notification_id) AS ids,
                array_agg(l.user_id::notification_user_id) AS users,
                array_agg(l.created_at::notification_created_at) AS created_ats,
                array_agg(l.deleted_at) AS deleted_ats
            INTO v_list
            FROM locked AS l;
            CONTINUE WHEN v_list.places IS NULL;

            v_result := restore_or_purge(
                'restore',
                restore_batch.max_attempts - restore_batch.attempts,
                v_list.relations,
                v_list.places,
                v_list.ids,
                v_list.users,
                v_list.created_ats,
                v_list.deleted_ats
            );
            restore_batch.restored := restore_batch.restored + v_result.done;
            restore_batch.attempts := restore_batch.attempts + v_result.attempts;
            v_refused_now := v_refused_now + v_result.refused;
        END LOOP;
        EXIT WHEN restore_batch.attempts > 0;

        -- Others hold all that is left: wait for one of them, by its place, so that this call never
        -- waits for a second one while it holds the first.
        SELECT
            n.tableoid AS relation,
            n.ctid AS place,
            n.id,
            n.user_id,
            n.created_at
        INTO v_held
        FROM notifications AS n
        WHERE n.deleted_at = v_started_at
            AND (
                v_refused IS NULL
                OR (concat_ws(' ', n.tableoid, n.ctid, n.id) = ANY (v_refused)) IS NOT TRUE
            )
        LIMIT 1;
        IF NOT FOUND THEN
            restore_batch.restored := NULL;
            RETURN;
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
            RETURN;
        END IF;
    END LOOP;

    UPDATE notification_cleanup_runs AS r
    SET notifications_restored = r.notifications_restored + restore_batch.restored
    WHERE r.id = restore_batch.run_id
        AND restore_batch.restored > 0;
    PERFORM warn_of_refused('restore', v_refused_now);
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION restore_batch(bigint, integer, integer) IS
    'For restore_next_batch() and restore_notifications(), which are what to call: undoes the next '
    'notifications of a run, and returns how many it restored, and in how many subtransactions.';
-- end of sql/undo/restore_batch.sql

-- frozen copy of sql/undo/restore_listed_notifications.sql
-- Restores the listed notifications, which the caller has locked, and returns the positions of
-- those that are live then. All or none: whatever refuses one of them is an error.
--
--     SELECT restore_listed_notifications('{16384}', '{"(0,1)"}', '{7}', '{1}', '{2025-01-01}');
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION restore_listed_notifications(
    relations oid[],
    places tid[],
    ids notification_id[],
    users notification_user_id[],
    created_ats notification_created_at[]
)
RETURNS bigint[]  -- positions in the list
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- By the place (ctid), in the one partition that can have the row: not by hashing or sorting the
-- whole table for a list of it.
SET plan_cache_mode = force_custom_plan
SET enable_hashjoin = off
SET enable_sort = off
SET random_page_cost = 0
AS $$
DECLARE
    -- Only where Citus has to find the shard: all of a list lies in one.
    v_users CONSTANT notification_user_id[] := CASE
        WHEN notification_shards('{}') IS NOT NULL THEN restore_listed_notifications.users
    END;
    v_settings CONSTANT record := pinned_planner_settings('restore_listed_notifications'::regproc);
    v_numbers bigint[];
    -- Where they lie then.
    v_relations oid[];
    v_places tid[];
    v_have_moved boolean;
BEGIN
    -- Relation, place and id together are the row that was locked: an id may stand in several
    -- partitions. IS TRUE hides the condition from the index on deleted_at, which would be read
    -- once for each row.
    WITH settings AS MATERIALIZED (
        SELECT count(set_config(s.name, s.new_value, true)) AS given_back
        FROM unnest(v_settings.names, v_settings.new_values) AS s (name, new_value)
    ),
    updated AS (
        UPDATE notifications AS n
        SET deleted_at = NULL
        FROM unnest(
            restore_listed_notifications.relations,
            restore_listed_notifications.places,
            restore_listed_notifications.ids,
            restore_listed_notifications.users,
            restore_listed_notifications.created_ats
        ) WITH ORDINALITY AS listed (relation, place, id, user_id, created_at, number)
        WHERE n.tableoid = listed.relation
            AND n.ctid = listed.place
            AND n.id = listed.id
            AND (n.deleted_at IS NOT NULL) IS TRUE
            AND (v_users IS NULL OR n.user_id = ANY (v_users))
            AND (n.user_id = listed.user_id OR n.user_id IS NULL)
            AND (n.created_at = listed.created_at OR n.created_at IS NULL)
            AND (SELECT s.given_back FROM settings AS s) IS NOT NULL
        RETURNING
            listed.number,
            n.deleted_at,
            n.tableoid AS relation,
            n.ctid AS place,
            n.tableoid <> listed.relation AS has_moved
    )
    -- A trigger may have set deleted_at again.
    SELECT
        array_agg(u.number),
        array_agg(u.relation),
        array_agg(u.place),
        bool_or(u.has_moved)
    INTO
        v_numbers,
        v_relations,
        v_places,
        v_have_moved
    FROM updated AS u
    WHERE u.deleted_at IS NULL;

    -- So may one that fires after it, in a statement of its own: one of UPDATE, or, where rows have
    -- moved to another partition, of DELETE or INSERT. Citus has no triggers on rows.
    IF v_users IS NULL AND (v_have_moved OR notification_updates_are_followed()) THEN
        SELECT array_agg(w.number)
        INTO v_numbers
        FROM find_written_notifications(
            v_numbers,
            v_relations,
            v_places,
            restore_listed_notifications.ids,
            restore_listed_notifications.users,
            restore_listed_notifications.created_ats
        ) AS w
        WHERE w.deleted_at IS NULL;
    END IF;
    RETURN v_numbers;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION
    restore_listed_notifications(
        oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    )
IS
    'For restore_or_purge(), and to try one: clears deleted_at of the listed notifications that '
    'are still where they are said to lie, and returns the positions of those that are live then.';
-- end of sql/undo/restore_listed_notifications.sql

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
AS $$
BEGIN
    PERFORM check_run_id(restore_next_batch.run_id);
    IF (restore_next_batch.batch_size >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid batch_size => %L', restore_next_batch.batch_size),
            HINT = 'batch_size takes 1 or more.';
    END IF;
    PERFORM check_notification_columns();
    PERFORM give_up_notification_cleanup(restore_next_batch.run_id);
    RETURN (
        SELECT b.restored
        FROM restore_batch(
            restore_next_batch.run_id,
            least(restore_next_batch.batch_size, 1000000),  -- an array takes no more of them
            60
        ) AS b
    );
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION restore_next_batch(bigint, integer) IS
    'Undoes the next batch_size notifications of one run, in the order of the table, and returns '
    'how many. The first call gives up the batches that the run has left, after waiting for those '
    'in flight.
Call it until it is NULL, each time in a transaction of its own. It steps over what a constraint '
    'or a trigger refuses, with a warning and a row in notification_cleanup_refused. It skips what '
    'another session holds, and waits for one of those when nothing else is left. 0 means that '
    'this one has changed or gone meanwhile, or that all of the batch refused.';
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
    -- More subtransactions than 64 in one transaction slow down every other session.
    v_max_attempts CONSTANT integer := 60;
    v_attempts integer := 0;
    v_batch_size integer;
    v_batch record;
    v_restored bigint := 0::bigint;
BEGIN
    PERFORM check_run_id(restore_notifications.run_id);
    PERFORM check_notification_columns();
    PERFORM give_up_notification_cleanup(restore_notifications.run_id);
    SELECT least(greatest(100000, r.notifications_deleted / 30), 1000000)::integer
    INTO v_batch_size
    FROM notification_cleanup_runs AS r
    WHERE r.id = restore_notifications.run_id;
    -- The calls that follow the first few are for what another session held.
    LOOP
        v_batch := restore_batch(
            restore_notifications.run_id,
            v_batch_size,
            v_max_attempts - v_attempts
        );
        EXIT WHEN v_batch.restored IS NULL;
        v_restored := v_restored + v_batch.restored;
        v_attempts := v_attempts + v_batch.attempts;
        IF v_attempts >= v_max_attempts THEN
            RAISE EXCEPTION USING
                ERRCODE = 'program_limit_exceeded',
                MESSAGE = format(
                    'run %s takes more than one transaction to undo',
                    restore_notifications.run_id
                ),
                DETAIL = 'What refuses is found by trying ever smaller parts, and '
                    || v_max_attempts || ' attempts did not suffice. Nothing was restored.',
                HINT = 'Call restore_next_batch() until it is NULL, or notification-cleanup '
                    'restore.';
        END IF;
    END LOOP;
    RETURN v_restored;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION restore_notifications(bigint) IS
    'Undoes one run of notification_cleanup_runs: gives up the batches it has left, after waiting '
    'for those in flight, clears deleted_at on exactly the rows it deleted that are still there, '
    'and returns how many. It steps over what a constraint or a trigger refuses, with a warning '
    'and a row in notification_cleanup_refused; where too many refuse, it fails and changes '
    'nothing. Raise '
    'max_notifications first, or the next run deletes them again.
On a table in use call restore_next_batch() instead: this holds what it restores until its end.';
-- end of sql/undo/restore_notifications.sql

-- frozen copy of sql/undo/restore_or_purge.sql
-- Restores or purges the listed notifications, which the caller has locked. Where one refuses, the
-- others are done all the same: a list that fails is halved, down to the single notification, which
-- is noted in notification_cleanup_refused.
--
--     SELECT * FROM restore_or_purge(
--         'restore', 60, '{16384}', '{"(0,1)"}', '{7}', '{1}', '{2025-01-01}', '{2025-06-01}'
--     );
--
-- Each attempt is a subtransaction, and more than 64 of them in one transaction slow down every
-- other session. So what max_attempts do not suffice for is left as it is.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION restore_or_purge(
    operation text,
    max_attempts integer,
    relations oid[],
    places tid[],
    ids notification_id[],
    users notification_user_id[],
    created_ats notification_created_at[],
    deleted_ats timestamptz[],
    OUT done bigint,
    OUT refused bigint,
    OUT attempts integer
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_size CONSTANT bigint := cardinality(restore_or_purge.places)::bigint;
    v_outcome record;
    v_refused bigint[] := ARRAY[]::bigint[];  -- positions, where they are known
    v_part record;
    v_result record;
BEGIN
    restore_or_purge.done := 0;
    restore_or_purge.refused := 0;
    restore_or_purge.attempts := 0;
    IF restore_or_purge.max_attempts < 1 THEN
        RETURN;
    END IF;

    v_outcome := try_restore_or_purge(
        restore_or_purge.operation,
        restore_or_purge.relations,
        restore_or_purge.places,
        restore_or_purge.ids,
        restore_or_purge.users,
        restore_or_purge.created_ats
    );
    restore_or_purge.attempts := v_outcome.attempts;
    IF v_outcome.code IS NULL THEN
        restore_or_purge.done := v_size;
        RETURN;
    END IF;

    IF v_outcome.kept IS NOT NULL THEN
        v_refused := v_outcome.kept;
    ELSIF v_size = 1 THEN
        v_refused := ARRAY[1];
    END IF;
    IF v_refused <> '{}' THEN
        INSERT INTO notification_cleanup_refused (
            operation,
            deleted_at,
            id,
            user_id,
            sqlstate,
            detail,
            relation,
            place
        )
        SELECT
            restore_or_purge.operation,
            listed.deleted_at,
            listed.id,
            listed.user_id,
            v_outcome.code,
            v_outcome.detail,
            listed.relation,
            listed.place
        FROM unnest(
            restore_or_purge.deleted_ats,
            restore_or_purge.ids,
            restore_or_purge.users,
            restore_or_purge.relations,
            restore_or_purge.places
        ) WITH ORDINALITY AS listed (deleted_at, id, user_id, relation, place, number)
        WHERE listed.number = ANY (v_refused)
        ORDER BY listed.number;
        GET DIAGNOSTICS restore_or_purge.refused = ROW_COUNT;
    END IF;

    -- The others, in one part where it is known who refuses, else in two.
    FOR v_part IN
        SELECT
            array_agg(listed.relation ORDER BY listed.number) AS relations,
            array_agg(listed.place ORDER BY listed.number) AS places,
            array_agg(listed.id ORDER BY listed.number) AS ids,
            array_agg(listed.user_id ORDER BY listed.number) AS users,
            array_agg(listed.created_at ORDER BY listed.number) AS created_ats,
            array_agg(listed.deleted_at ORDER BY listed.number) AS deleted_ats
        FROM unnest(
            restore_or_purge.relations,
            restore_or_purge.places,
            restore_or_purge.ids,
            restore_or_purge.users,
            restore_or_purge.created_ats,
            restore_or_purge.deleted_ats
        ) WITH ORDINALITY
            AS listed (relation, place, id, user_id, created_at, deleted_at, number)
        WHERE listed.number <> ALL (v_refused)
        GROUP BY v_refused = '{}' AND listed.number > v_size / 2
        ORDER BY min(listed.number)
    LOOP
        v_result := restore_or_purge(
            restore_or_purge.operation,
            restore_or_purge.max_attempts - restore_or_purge.attempts,
            v_part.relations,
            v_part.places,
            v_part.ids,
            v_part.users,
            v_part.created_ats,
            v_part.deleted_ats
        );
        restore_or_purge.done := restore_or_purge.done + v_result.done;
        restore_or_purge.refused := restore_or_purge.refused + v_result.refused;
        restore_or_purge.attempts := restore_or_purge.attempts + v_result.attempts;
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION
    restore_or_purge(
        text,
        integer,
        oid[],
        tid[],
        notification_id[],
        notification_user_id[],
        notification_created_at[],
        timestamptz[]
    )
IS
    'For restore_next_batch() and purge_notifications(), which are what to call: restores or '
    'purges the listed notifications, and returns how many it has done, how many refused and were '
    'noted, and how many attempts that took.';
-- end of sql/undo/restore_or_purge.sql

-- frozen copy of sql/undo/try_restore_or_purge.sql
-- Restores or purges all of the listed notifications, or none and tells what refused:
--
--     SELECT * FROM try_restore_or_purge(
--         'restore', '{16384}', '{"(0,1)"}', '{7}', '{1}', '{2025-01-01}'
--     );
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION try_restore_or_purge(
    operation text,
    relations oid[],
    places tid[],
    ids notification_id[],
    users notification_user_id[],
    created_ats notification_created_at[],
    OUT code text,
    OUT detail text,
    OUT kept bigint[],
    OUT attempts integer
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_is_distributed CONSTANT boolean := notification_shards('{}') IS NOT NULL;
    v_done bigint[];
BEGIN
    try_restore_or_purge.attempts := 1;
    BEGIN
        -- From here on a deferred constraint refuses at the end of the statement that offends it,
        -- not in a COMMIT for all that the transaction has done.
        SET CONSTRAINTS ALL IMMEDIATE;
        IF try_restore_or_purge.operation = 'restore' THEN
            v_done := restore_listed_notifications(
                try_restore_or_purge.relations,
                try_restore_or_purge.places,
                try_restore_or_purge.ids,
                try_restore_or_purge.users,
                try_restore_or_purge.created_ats
            );
        ELSE
            v_done := purge_listed_notifications(
                try_restore_or_purge.relations,
                try_restore_or_purge.places,
                try_restore_or_purge.ids,
                try_restore_or_purge.users,
                try_restore_or_purge.created_ats
            );
        END IF;
        IF cardinality(v_done) = cardinality(try_restore_or_purge.places) THEN
            RETURN;
        END IF;
        try_restore_or_purge.kept := ARRAY(
            SELECT generate_series(1, cardinality(try_restore_or_purge.places))::bigint
            EXCEPT
            SELECT unnest(v_done)
        );
        RAISE EXCEPTION USING
            ERRCODE = 'triggered_data_change_violation',
            MESSAGE = CASE try_restore_or_purge.operation
                WHEN 'restore' THEN
                    'a trigger or rule keeps it deleted, or writes another deleted_at'
                ELSE
                    'a trigger or rule keeps it, or changes it instead of deleting it'
            END;
    EXCEPTION
        WHEN assert_failure OR OTHERS THEN
            -- No notification refuses where somebody is in the way, the caller has had enough, or
            -- the server lacks or has lost something: that is for the caller.
            IF left(SQLSTATE, 2) IN ('08', '25', '40', '53', '57', '58', 'XX')
                OR SQLSTATE IN ('55006', '55P03')  -- object in use, lock not available
                -- On Citus no trigger raises such an error for one notification.
                OR v_is_distributed AND left(SQLSTATE, 2) IN ('0A', '42')
            THEN
                RAISE;
            END IF;
            GET STACKED DIAGNOSTICS
                try_restore_or_purge.code = RETURNED_SQLSTATE,
                try_restore_or_purge.detail = PG_EXCEPTION_DETAIL;
            try_restore_or_purge.detail := concat_ws(
                ': ',
                SQLERRM,
                CASE
                    -- There it is the whole notification, which is nothing for a log.
                    WHEN try_restore_or_purge.code NOT IN ('23502', '23514')
                        THEN nullif(try_restore_or_purge.detail, '')
                END
            );
    END;
    -- To look at each of many takes as long as some attempts.
    IF try_restore_or_purge.operation = 'purge'
        AND try_restore_or_purge.code = '23000'
        AND cardinality(try_restore_or_purge.places) > 1
    THEN
        try_restore_or_purge.kept := find_purges_with_others(
            try_restore_or_purge.relations,
            try_restore_or_purge.places,
            try_restore_or_purge.ids,
            try_restore_or_purge.users,
            try_restore_or_purge.created_ats
        );
        try_restore_or_purge.attempts := 10;
    END IF;
    -- What fails without any notification, as a missing right does, is nothing to be noted for one.
    -- Citus takes no list of none.
    IF v_is_distributed THEN
        RETURN;
    END IF;
    IF try_restore_or_purge.operation = 'restore' THEN
        PERFORM restore_listed_notifications('{}', '{}', '{}', '{}', '{}');
    ELSE
        PERFORM purge_listed_notifications('{}', '{}', '{}', '{}', '{}');
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION
    try_restore_or_purge(
        text, oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    )
IS
    'For restore_or_purge(): restores or purges all of the listed notifications, in a '
    'subtransaction. Where that fails it leaves all of them as they were, and returns the code and '
    'detail of the error. kept: the positions of those that a trigger or rule keeps from it, or '
    'that would take others along, where that is the reason. attempts: for how many it counts.';
-- end of sql/undo/try_restore_or_purge.sql

-- frozen copy of sql/undo/warn_of_refused.sql
-- Says how many notifications have just refused, and why the last of them did:
--
--     SELECT warn_of_refused('restore', 3);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION warn_of_refused(
    operation text,
    refused bigint
)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF warn_of_refused.refused = 0 THEN
        RETURN;
    END IF;
    RAISE WARNING USING
        MESSAGE = format(
            '%s %s: %s',
            warn_of_refused.refused,
            CASE warn_of_refused.operation
                WHEN 'restore' THEN 'notifications cannot be restored'
                ELSE 'notifications cannot be purged'
            END,
            (
                SELECT f.detail
                FROM notification_cleanup_refused AS f
                WHERE f.operation = warn_of_refused.operation
                ORDER BY f.number DESC
                LIMIT 1
            )
        ),
        HINT = 'notification_cleanup_refused tells which, and why. They are tried again after a '
            'day.';
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION warn_of_refused(text, bigint) IS
    'For restore_next_batch() and purge_notifications(): a warning that this many notifications '
    'have just refused to be restored or purged, with the reason of the last one.';
-- end of sql/undo/warn_of_refused.sql

-- frozen copy of sql/doctor/notification_cleanup_health.sql
-- What a monitor asks, in one row.
--
--     SELECT * FROM notification_cleanup_health;
CREATE OR REPLACE VIEW notification_cleanup_health AS
SELECT
    last_run.finished_at AS last_finished_at,
    CASE
        WHEN cleanup_suspension() IS NOT NULL THEN 'suspended'
        WHEN EXISTS (
            SELECT
            FROM notification_cleanup_open_runs AS o
            WHERE o.stopped_at IS NOT NULL
        ) THEN 'stopped'
        WHEN cleanup_time_is_ahead(newest_run.noted_at) THEN 'in the future'
        WHEN last_run.id IS NULL THEN 'never ran'
        WHEN last_run.notifications_skipped > 0 THEN 'left locked notifications'
        WHEN last_run.notifications_deleted > 0 THEN 'deleted'
        ELSE 'nothing to delete'
    END AS last_outcome,
    CASE
        WHEN last_run.id IS NOT NULL THEN greatest(
            floor(extract(epoch FROM clock_timestamp() - last_run.finished_at) / 60)::bigint,
            0
        )
    END AS minutes_since_last_finished,
    last_run.users_still_over_limit,
    (
        SELECT count(*)
        FROM notification_cleanup_runs AS r
        WHERE r.finished_at IS NULL
            AND r.started_at > now() - cleanup_run_lifetime()
            AND NOT cleanup_time_is_ahead(r.started_at)
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
            AND NOT cleanup_time_is_ahead(r.started_at)
    ) AS notifications_to_vacuum,
    cleanup_suspension() AS suspension,
    (
        SELECT count(*)
        FROM notification_cleanup_refused AS f
        WHERE f.refused_at > now() - interval '1 day'
    ) AS notifications_refused
FROM (VALUES (1)) AS one_row
LEFT JOIN (
    SELECT *
    FROM notification_cleanup_runs AS r
    WHERE r.finished_at IS NOT NULL
        AND NOT cleanup_time_is_ahead(r.finished_at)
    ORDER BY r.id DESC
    LIMIT 1
) AS last_run ON true
LEFT JOIN (
    SELECT greatest(r.started_at, r.finished_at) AS noted_at
    FROM notification_cleanup_runs AS r
    ORDER BY r.id DESC
    LIMIT 1
) AS newest_run ON true;
COMMENT ON VIEW notification_cleanup_health IS
'One row for a monitor: the last finished cleanup run, how long ago it was, the runs without an '
'end, and if the table needs a VACUUM.';
COMMENT ON COLUMN notification_cleanup_health.last_finished_at IS
'When the last finished run ended, of those that are not of the future; NULL if none ever did.';
COMMENT ON COLUMN notification_cleanup_health.last_outcome IS
'Of that run: deleted, nothing to delete, left locked notifications; or never ran; or stopped, '
'while a run waits for the next call to go on; or suspended, while no run may; or '
'in the future, where the newest run is, because the clock was ahead.';
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
COMMENT ON COLUMN notification_cleanup_health.suspension IS
'Since when, by whom and why the job is suspended; NULL where it is not.';
COMMENT ON COLUMN notification_cleanup_health.notifications_refused IS
'What undo and purge have stepped over within the last day, since a constraint or a trigger of the '
'application refuses it: notification_cleanup_refused tells which, and why.';
-- end of sql/doctor/notification_cleanup_health.sql

-- frozen copy of sql/rights/revoke_default_grants.sql
-- Frozen at the end of each migration that creates objects: nobody but the owner may use what is
-- new, whomever the default privileges of this role, schema or database name. A grant that somebody
-- makes later stays, since this is only for what was not there when the migration began.
-- +goose StatementBegin
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
-- +goose StatementEnd
-- end of sql/rights/revoke_default_grants.sql

-- frozen copy of sql/rights/grant_new_routines.sql
-- Frozen at the end of the routines' migration: who may execute a routine may execute what it
-- calls. An upgrade brings new routines that the old ones call, and without this a role that cleans
-- up could not any more. A routine runs with the rights of its caller, so to execute one gives no
-- other right.
-- +goose StatementBegin
DO $$
DECLARE
    v_grant text;
    v_granted boolean := true;
BEGIN
    WHILE v_granted LOOP
        v_granted := false;
        FOR v_grant IN
            SELECT DISTINCT format(
                'GRANT EXECUTE ON ROUTINE %s TO %s',
                new.oid::regprocedure,
                CASE
                    WHEN may.grantee = 0 THEN 'PUBLIC'
                    ELSE quote_ident(pg_get_userbyid(may.grantee))
                END
            )
            FROM pg_proc AS new
            JOIN pg_namespace AS namespace ON namespace.oid = new.pronamespace
                AND namespace.nspname = current_schema()
            JOIN pg_proc AS caller ON caller.pronamespace = new.pronamespace
                AND caller.oid <> new.oid
                AND strpos(caller.prosrc, new.proname || '(') > 0
            CROSS JOIN aclexplode(caller.proacl) AS may
            WHERE coalesce(new.proconfig @> '{row_security=off}', false)
                AND (
                    coalesce(caller.proconfig @> '{row_security=off}', false)
                    OR caller.prokind = 'p'
                )
                AND format('%s %s', new.tableoid, new.oid) <> ALL (
                    current_setting('notification_cleanup.existing')::text[]
                )
                AND NOT has_function_privilege(
                    CASE WHEN may.grantee = 0 THEN 'public' ELSE pg_get_userbyid(may.grantee) END,
                    new.oid,
                    'EXECUTE'
                )
        LOOP
            EXECUTE v_grant;
            v_granted := true;
        END LOOP;
    END LOOP;
END
$$;
-- +goose StatementEnd
-- end of sql/rights/grant_new_routines.sql
-- frozen copy of sql/rights/warn_of_creators.sql
-- Frozen at the end of the routines' migration.
-- +goose StatementBegin
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
-- +goose StatementEnd
-- end of sql/rights/warn_of_creators.sql
-- frozen copy of sql/doctor/warn_of_indexes.sql
-- Frozen at the end of the routines' migration: the one before builds no index of a view or of a
-- partitioned table, and cannot know yet whether one is missing.
-- +goose StatementBegin
DO $$
BEGIN
    PERFORM warn_without_index();
END
$$;
-- +goose StatementEnd
-- end of sql/doctor/warn_of_indexes.sql

-- +goose Down
-- SET search_path FROM CURRENT then pins the schema that goose installs into,
-- behind it those where the types of the columns live with their operators (citext in a schema of
-- its own), and temporary objects last.
SELECT set_config(
    'search_path',
    concat_ws(
        ', ',
        quote_ident(current_schema()::text),
        (
            SELECT string_agg(DISTINCT quote_ident(namespace.nspname::text), ', ')
            FROM pg_type AS domain
            JOIN pg_type AS base ON base.oid = domain.typbasetype
            JOIN pg_namespace AS namespace ON namespace.oid = base.typnamespace
                AND namespace.nspname NOT IN ('pg_catalog', current_schema())
            WHERE domain.oid IN (
                'notification_user_id'::regtype,
                'notification_id'::regtype,
                'notification_created_at'::regtype
            )
        ),
        'pg_temp'
    ),
    true
);
-- For Citus: routines and history are the coordinator's alone.
SET LOCAL citus.enable_ddl_propagation = off;
DROP VIEW notification_cleanup_health;
DROP FUNCTION warn_of_refused(text, bigint);
DROP FUNCTION try_restore_or_purge(
        text, oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    );
DROP FUNCTION restore_or_purge(
        text,
        integer,
        oid[],
        tid[],
        notification_id[],
        notification_user_id[],
        notification_created_at[],
        timestamptz[]
    );
DROP FUNCTION restore_notifications(bigint);
DROP FUNCTION restore_next_batch(bigint, integer);
DROP FUNCTION restore_listed_notifications(
        oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    );
DROP FUNCTION restore_batch(bigint, integer, integer);
DROP FUNCTION refused_notifications(text, timestamptz, timestamptz);
DROP FUNCTION purge_notifications(interval, integer);
DROP FUNCTION purge_next_batch(interval, integer);
DROP FUNCTION purge_listed_notifications(
        oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    );
DROP FUNCTION notification_siblings();
DROP FUNCTION find_purges_with_others(
        oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    );
DROP FUNCTION count_deleted_rows(oid[]);
DROP FUNCTION check_delete_rules();
DROP FUNCTION notification_column_problems();
DROP FUNCTION check_notification_columns();
DROP FUNCTION notification_cleanup_version();
DROP FUNCTION warn_without_index();
DROP FUNCTION sweep_cleanup_batch(bigint, bigint, text);
DROP FUNCTION settle_notification_cleanup(bigint);
DROP FUNCTION record_new_cleanup_run(integer, integer);
DROP FUNCTION record_cleanup_batch(bigint, bigint, bigint, bigint[], bigint[], interval);
DROP FUNCTION queue_notification_cleanup(bigint, bigint, notification_user_id[]);
DROP FUNCTION plan_notification_cleanup(integer, integer, integer, double precision, interval, bigint);
DROP FUNCTION pinned_planner_settings(regproc);
DROP FUNCTION open_notification_cleanup(integer, integer, bigint, notification_user_id[]);
DROP FUNCTION notification_updates_are_followed();
DROP FUNCTION keep_cleanup_run(bigint);
DROP FUNCTION give_up_notification_cleanup(bigint);
DROP FUNCTION find_written_notifications(
        bigint[], oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    );
DROP FUNCTION find_undone_deletions(notification_cleanup_batches, timestamptz, bigint[], oid[], tid[]);
DROP FUNCTION explain_cleanup_shortfall(bigint, bigint, bigint[], bigint[]);
DROP FUNCTION continue_notification_cleanup(integer, integer);
DROP FUNCTION close_notification_cleanup(bigint);
DROP FUNCTION cleanup_time_is_ahead(timestamptz);
DROP FUNCTION cleanup_run_lifetime();
DROP FUNCTION cleanup_run_is_rewritten(bigint);
DROP FUNCTION cleanup_run_ids_repair();
DROP PROCEDURE cleanup_notifications_in_batches(
        integer, integer, integer, interval, double precision, interval, bigint
    );
DROP FUNCTION cleanup_notifications(integer, integer, notification_user_id[], bigint);
DROP FUNCTION cleanup_next_batch(bigint);
DROP FUNCTION cleanup_batch_pruning_users(bigint, bigint);
DROP FUNCTION cleanup_batch_is_rewritten(bigint, bigint);
DROP FUNCTION claim_cleanup_batch(bigint, timestamptz);
DROP FUNCTION check_written_deleted_at(timestamptz, timestamptz);
DROP FUNCTION check_run_id(bigint);
DROP FUNCTION check_planned_deletions(notification_cleanup_runs, bigint);
DROP FUNCTION preview_notification_limits(integer[], integer);
DROP FUNCTION preview_notification_cleanup(integer, integer);
DROP FUNCTION notification_stats(integer);
DROP FUNCTION notification_excess(notification_user_id[], integer, timestamptz);
DROP FUNCTION notification_crowds(integer, notification_user_id[]);
DROP FUNCTION explain_notification_cleanup(notification_user_id, integer, integer);
DROP FUNCTION check_cleanup_limits(integer, integer, bigint);
DROP FUNCTION notification_stray_schemas();
DROP FUNCTION notification_schema_creators();
DROP FUNCTION notification_cleanup_privileges();
DROP FUNCTION notification_cleanup_grants(regrole, text[]);
DROP FUNCTION check_calling_schema(regprocedure);
DROP FUNCTION suspend_notification_cleanup(text);
DROP FUNCTION stop_notification_cleanup(bigint);
DROP FUNCTION resume_notification_cleanup();
DROP FUNCTION pace_notification_cleanup(bigint, double precision, interval);
DROP FUNCTION pace_after_batch(bigint, interval);
DROP FUNCTION notification_replicas();
DROP FUNCTION cleanup_suspension();
DROP FUNCTION check_cleanup_pace(double precision, interval);
DROP FUNCTION await_cleanup_pace(bigint, timestamptz);
DROP FUNCTION sample_notifications();
DROP FUNCTION rehearse_notification_cleanup();
DROP FUNCTION rehearse_cleanup_step(text, notification_cleanup_batches);
DROP FUNCTION notification_view_hides_deleted();
DROP FUNCTION notification_tables();
DROP FUNCTION notification_sample_pages();
DROP FUNCTION notification_index_templates();
DROP FUNCTION notification_index_scans();
DROP FUNCTION notification_foreign_keys();
DROP FUNCTION notification_cron_jobs();
DROP FUNCTION notification_cleanup_indexes();
DROP FUNCTION notification_cleanup_doctor();
DROP FUNCTION find_notifications_to_rehearse(bigint);
DROP FUNCTION spread_batches_over_shards(bigint);
DROP FUNCTION pin_tid_scans_on_workers();
DROP FUNCTION notification_shards(notification_user_id[]);
DROP FUNCTION notification_shard_file(notification_user_id[], oid);
DROP FUNCTION notification_deleted_shards(timestamptz, timestamptz, integer);
DROP FUNCTION note_shard_files(bigint);
DROP FUNCTION deleted_on_worker(bigint, bigint, bigint[]);
DROP FUNCTION count_lost_commits(bigint);
DROP FUNCTION check_distributed_cascades();
