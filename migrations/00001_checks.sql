-- Refuses what cannot be adopted, and names that are taken, before anything is created.
-- A migration that fails leaves goose's own table behind. So this one has no transaction: its first
-- statement takes that table away as well, and its second one fails.

-- +goose NO TRANSACTION
-- +goose Up
-- +goose StatementBegin
DO $$
DECLARE
    v_schema CONSTANT text := current_schema();
    v_table CONSTANT regclass := to_regclass(format('%I.notifications', current_schema()));
    v_kind "char";
    v_plan json;
    v_hides_deleted boolean := false;
    v_problems text;
    v_taken text;
    v_refusal json;
    -- names of ours
    v_routines CONSTANT name[] := '{
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
    }';
    v_relations CONSTANT name[] := '{
        notification_cleanup_batches,
        notification_cleanup_batches_queue_idx,
        notification_cleanup_health,
        notification_cleanup_open_runs,
        notification_cleanup_refused,
        notification_cleanup_refused_deleted_at_idx,
        notification_cleanup_runs,
        notification_cleanup_suspension
    }';
    v_domains CONSTANT name[] := '{
        notification_created_at,
        notification_id,
        notification_user_id
    }';
    v_columns_of_history CONSTANT name[] := '{
        application_name,
        finished_at,
        id,
        invoked_by,
        max_notifications,
        min_keep,
        notifications_changed,
        notifications_deleted,
        notifications_planned,
        notifications_restored,
        notifications_skipped,
        started_at,
        users_cleaned,
        users_over_limit,
        users_still_over_limit
    }';
    -- end of the names
BEGIN
    -- A second table in front of the application's would hide its rows from the application.
    IF v_table IS NULL AND to_regclass('notifications') IS NOT NULL THEN
        v_refusal := json_build_object(
            'code', 'invalid_schema_name',
            'message', format(
                '%s is not in schema %I, the first of the search_path',
                to_regclass('notifications')::text,
                v_schema
            ),
            'hint', 'Nothing was changed. Install into the schema of the notifications table: '
                'set SCHEMA, or the search_path of the connection.'
        );
    END IF;

    -- An empty table of ours beside the application's own, under another name or in another schema,
    -- would be cleaned up for ever, and its own never.
    IF v_table IS NULL
        AND v_refusal IS NULL
        AND coalesce(current_setting('notification_cleanup.create_table', true), '')
            NOT IN ('on', 'true', 'yes', '1')
    THEN
        WITH columns AS (
            SELECT
                c.oid AS relation,
                format('%I.%I', namespace.nspname, c.relname) AS name,
                a.attname AS "column",
                a.attnum,
                a.atttypid IN ('timestamp'::regtype, 'timestamptz'::regtype) AS is_time,
                a.atttypid = 'boolean'::regtype AS is_boolean
            FROM pg_class AS c
            JOIN pg_namespace AS namespace ON namespace.oid = c.relnamespace
            JOIN pg_attribute AS a ON a.attrelid = c.oid
                AND a.attnum > 0
                AND NOT a.attisdropped
            WHERE c.relkind IN ('r', 'p')
                AND NOT c.relispartition
                AND c.relname ILIKE '%notification%'
                AND c.relname NOT LIKE 'notification\_cleanup\_%'
                AND namespace.nspname NOT LIKE 'pg\_%'
                AND namespace.nspname <> 'information_schema'
        ),
        lookalikes AS (
            SELECT
                c.relation,
                c.name,
                coalesce(
                    min(c."column") FILTER (WHERE c."column" = 'id'),
                    (
                        SELECT a.attname
                        FROM pg_index AS i
                        JOIN pg_attribute AS a ON a.attrelid = i.indrelid
                            AND a.attnum = i.indkey[0]
                        WHERE i.indrelid = c.relation
                            AND i.indisprimary
                    ),
                    '...'
                ) AS id,
                (
                    array_agg(
                        c."column"
                        ORDER BY
                            c."column" = 'user_id' DESC,
                            c."column" LIKE '%\_id' DESC,
                            c.attnum
                    ) FILTER (
                        WHERE c."column" ~* 'user|recipient|notifiable|owner|account|member|person'
                            AND c."column" !~* '_type$'
                            AND NOT c.is_time
                            AND NOT c.is_boolean
                    )
                )[1] AS "user",
                (
                    array_agg(
                        c."column"
                        ORDER BY
                            c."column" = 'created_at' DESC,
                            c."column" ~* 'creat|sent|insert' DESC,
                            c."column" ~* 'read|seen|delet|updat|expire' ASC,
                            c.attnum
                    ) FILTER (WHERE c.is_time)
                )[1] AS created,
                (
                    array_agg(
                        CASE
                            WHEN c."column" = 'status' THEN 'status'
                            WHEN c.is_time THEN format(
                                'CASE WHEN %I IS NULL THEN ''unread'' ELSE ''read'' END AS status',
                                c."column"
                            )
                            ELSE format(
                                'CASE WHEN %I THEN ''read'' ELSE ''unread'' END AS status',
                                c."column"
                            )
                        END
                        ORDER BY
                            c."column" = 'status' DESC,
                            c.attnum
                    ) FILTER (
                        WHERE c."column" = 'status'
                            OR c."column" ~* 'read|seen|viewed' AND (c.is_time OR c.is_boolean)
                    )
                )[1] AS status,
                bool_or(c."column" = 'deleted_at') AS has_deleted_at
            FROM columns AS c
            GROUP BY
                c.relation,
                c.name
        )
        SELECT json_build_object(
            'code', 'object_not_in_prerequisite_state',
            'message', format(
                'schema %I has no table notifications, but what looks like one is %s',
                v_schema,
                string_agg(l.name, ', ' ORDER BY l.name)
            ),
            'hint', 'Nothing was changed. To clean that up, give the cleanup a view of it in a '
                'schema of its own, completed where it says ..., and install there with SCHEMA '
                '(or, where the table is called notifications and has these columns, in its own '
                'schema): '
                || string_agg(
                    format(
                        'CREATE SCHEMA cleanup; %sCREATE VIEW cleanup.notifications AS SELECT ctid, '
                        'tableoid, %s AS id, %I AS user_id, %s, %I AS created_at, deleted_at FROM %s;',
                        CASE
                            WHEN NOT l.has_deleted_at THEN format(
                                'ALTER TABLE %s ADD COLUMN deleted_at timestamptz; ',
                                l.name
                            )
                        END,
                        CASE WHEN l.id = '...' THEN '...' ELSE quote_ident(l.id) END,
                        l."user",
                        coalesce(l.status, 'CASE WHEN ... THEN ''read'' ELSE ''unread'' END AS status'),
                        l.created,
                        l.name
                    ),
                    ' Or: '
                    ORDER BY l.name
                )
                || ' If it is another thing, create an empty table notifications all the same: '
                'migrate up --create-table, or SET notification_cleanup.create_table = on.'
        )
        INTO v_refusal
        FROM lookalikes AS l
        WHERE l."user" IS NOT NULL
            AND l.created IS NOT NULL
        HAVING count(*) > 0;
    END IF;

    SELECT c.relkind
    INTO v_kind
    FROM pg_class AS c
    WHERE c.oid = v_table;

    -- What the view and this condition exclude together, the planner does not read. Dynamic, because
    -- no other table is to be planned, and the table may not be there.
    IF v_kind = 'v' AND EXISTS (
        SELECT
        FROM pg_attribute AS a
        WHERE a.attrelid = v_table
            AND a.attname = 'deleted_at'
    ) THEN
        PERFORM set_config('constraint_exclusion', 'on', true);
        EXECUTE format(
            'EXPLAIN (FORMAT JSON) SELECT FROM %s WHERE deleted_at IS NOT NULL',
            v_table
        )
        INTO v_plan;
        v_hides_deleted := coalesce(v_plan #>> '{0,Plan,One-Time Filter}' = 'false', false);
    END IF;

    -- Each column as it is stored: a domain of the application's stands for what it is made of.
    WITH RECURSIVE layers AS (
        SELECT
            a.attname,
            a.attnum,
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
        WHERE a.attrelid = v_table
            AND a.attnum > 0
            AND NOT a.attisdropped
        UNION ALL
        SELECT
            l.attname,
            l.attnum,
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
        SELECT
            l.*,
            t.typtype,
            t.typcategory
        FROM layers AS l
        JOIN pg_type AS t ON t.oid = l.type
            AND t.typtype <> 'd'
    ),
    problems AS (
        SELECT 'it must be a table, a partitioned table or a view' AS problem
        WHERE v_kind NOT IN ('r', 'p', 'v')
        UNION ALL
        SELECT format('column %s is missing', required.name)
        FROM (VALUES ('id'), ('user_id'), ('status'), ('created_at')) AS required (name)
        WHERE required.name NOT IN (SELECT c.attname FROM column_of AS c)
        UNION ALL
        SELECT format(
            'the view does not show %s of the table behind it',
            string_agg(required.name, ', ' ORDER BY required.number)
        )
        FROM (VALUES
            (1, 'ctid'),
            (2, 'tableoid'),
            (3, 'deleted_at')
        ) AS required (number, name)
        WHERE v_kind = 'v'
            AND required.name NOT IN (SELECT c.attname FROM column_of AS c)
        HAVING count(*) > 0
        UNION ALL
        SELECT
            'deleted_at of the view cannot be updated: '
            'it must be a column of a single table, without DISTINCT or GROUP BY'
        FROM column_of AS c
        WHERE c.attname = 'deleted_at'
            AND v_kind = 'v'
            AND NOT pg_column_is_updatable(v_table, c.attnum, false)
        UNION ALL
        SELECT 'the view hides what is soft-deleted, so that nothing could be restored or purged'
        WHERE v_hides_deleted
        UNION ALL
        -- Through one, purge would read and lock all that was ever deleted, whatever its max_rows.
        SELECT 'the view must not be a security_barrier'
        FROM pg_class AS c
        CROSS JOIN pg_options_to_table(c.reloptions) AS o
        WHERE c.oid = v_table
            AND o.option_name = 'security_barrier'
            AND o.option_value::boolean
        UNION ALL
        SELECT format('%s must be that of the table behind, not %s', c.attname, c.type_name)
        FROM column_of AS c
        WHERE c.attname = 'ctid' AND c.type <> 'tid'::regtype
            OR c.attname = 'tableoid' AND c.type <> 'oid'::regtype
        UNION ALL
        SELECT
            'deleted_at must be a nullable timestamp with time zone of full precision, not '
            || c.type_name
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
            'deleted_at must be NULL until it is set, since a notification is live while it is '
            'NULL, and not begin as '
            || c.default_value
        FROM column_of AS c
        WHERE c.attname = 'deleted_at'
            AND NOT starts_with(c.default_value, 'NULL::')
        UNION ALL
        SELECT 'created_at must be a timestamp, not ' || c.type_name
        FROM column_of AS c
        WHERE c.attname = 'created_at'
            AND c.type NOT IN ('timestamptz'::regtype, 'timestamp'::regtype)
        UNION ALL
        -- READ = read under citext or a nondeterministic collation, and would be deleted.
        SELECT
            'status must be case-sensitive text, '
            'or an enum with the labels ''read'' and ''unread'', not '
            || c.type_name
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
            ) < 2
        UNION ALL
        -- An array or a row is not one key, json has no =, and an enum none with a domain over it.
        SELECT format(
            '%s must be of a base type that an index can sort, not %s',
            c.attname,
            c.type_name
        )
        FROM column_of AS c
        WHERE c.attname IN ('id', 'user_id')
            AND (
                c.typtype <> 'b'
                OR c.typcategory = 'A'
                OR NOT EXISTS (
                    SELECT
                    FROM pg_opclass AS o
                    JOIN pg_am AS method ON method.oid = o.opcmethod
                        AND method.amname = 'btree'
                    WHERE o.opcdefault
                        AND (
                            o.opcintype = c.type
                            OR EXISTS (
                                SELECT
                                FROM pg_cast AS alike
                                WHERE alike.castsource = c.type
                                    AND alike.casttarget = o.opcintype
                                    AND alike.castmethod = 'b'
                                    AND alike.castcontext = 'i'
                            )
                        )
                )
            )
        UNION ALL
        SELECT
            'id must be NOT NULL with a primary key or a unique index, alone or with user_id'
        FROM column_of AS c
        WHERE c.attname = 'id'
            AND v_kind IN ('r', 'p')
            AND NOT (
                c.is_not_null
                AND EXISTS (
                    -- On a partitioned table a unique index contains the partition key too, on a
                    -- distributed one the user.
                    SELECT
                    FROM pg_index AS i
                    WHERE i.indrelid = v_table
                        AND i.indisunique
                        AND i.indisvalid
                        AND i.indpred IS NULL
                        AND (
                            i.indkey[0] = c.attnum
                            AND (i.indnkeyatts = 1 OR v_kind = 'p')
                            OR i.indnkeyatts = 2
                            AND c.attnum IN (i.indkey[0], i.indkey[1])
                            AND (
                                SELECT u.attnum
                                FROM column_of AS u
                                WHERE u.attname = 'user_id'
                            ) IN (i.indkey[0], i.indkey[1])
                        )
                )
            )
    )
    SELECT string_agg(p.problem, '; ')
    INTO v_problems
    FROM problems AS p
    WHERE v_table IS NOT NULL;
    IF v_problems IS NOT NULL THEN
        v_refusal := json_build_object(
            'code', 'datatype_mismatch',
            'message', format('%s cannot be adopted: %s', v_table::text, v_problems),
            'hint', CASE
                WHEN v_hides_deleted THEN format(
                    'Nothing was changed. Leave out the condition on deleted_at: '
                    'CREATE OR REPLACE VIEW %s AS ...; now it is %s',
                    v_table,
                    pg_get_viewdef(v_table, true)
                )
                WHEN v_kind = 'v' THEN format(
                    'Nothing was changed. A view can be given more columns, as its last ones: '
                    'CREATE OR REPLACE VIEW %I.notifications AS SELECT ..., ctid, tableoid '
                    'FROM ...; now it is %s',
                    v_schema,
                    pg_get_viewdef(v_table, true)
                )
                ELSE 'Nothing was changed. Adapt the table, or give notification-cleanup a schema '
                    'of its own with an updatable view: CREATE VIEW cleanup.notifications AS SELECT '
                    'ctid, tableoid, id, recipient_id AS user_id, CASE WHEN read_at IS NULL THEN '
                    '''unread'' ELSE ''read'' END AS status, sent_at AS created_at, deleted_at '
                    'FROM messages.'
            END
        );
    END IF;

    SELECT string_agg(in_the_way.object, ', ' ORDER BY in_the_way.object)
    INTO v_taken
    FROM (
        SELECT format(
            '%s %s',
            CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
            p.oid::regprocedure
        ) AS object
        FROM pg_proc AS p
        JOIN pg_namespace AS namespace ON namespace.oid = p.pronamespace
            AND namespace.nspname = v_schema
        -- Whatever its arguments are: calls that fit both would be ambiguous.
        WHERE p.proname = ANY (v_routines)
        UNION ALL
        SELECT format(
            '%s %s',
            CASE c.relkind
                WHEN 'r' THEN 'table'
                WHEN 'p' THEN 'table'
                WHEN 'v' THEN 'view'
                WHEN 'm' THEN 'materialized view'
                WHEN 'i' THEN 'index'
                WHEN 'I' THEN 'index'
                WHEN 'S' THEN 'sequence'
                WHEN 'f' THEN 'foreign table'
                WHEN 'c' THEN 'type'
            END,
            c.oid::regclass
        )
        FROM pg_class AS c
        JOIN pg_namespace AS namespace ON namespace.oid = c.relnamespace
            AND namespace.nspname = v_schema
        WHERE c.relname = ANY (v_relations || v_domains)
            -- The history of an earlier installation is taken over.
            AND NOT (
                c.relname = 'notification_cleanup_runs'
                AND c.relkind = 'r'
                AND v_columns_of_history <@ ARRAY(
                    SELECT a.attname
                    FROM pg_attribute AS a
                    WHERE a.attrelid = c.oid
                        AND NOT a.attisdropped
                )
            )
        UNION ALL
        SELECT format('%s %s', CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, t.oid::regtype)
        FROM pg_type AS t
        JOIN pg_namespace AS namespace ON namespace.oid = t.typnamespace
            AND namespace.nspname = v_schema
        WHERE t.typname = ANY (v_relations || v_domains)
            AND t.typrelid = 0
            -- PostgreSQL gives an array's type another name where a type wants its own.
            AND NOT EXISTS (
                SELECT
                FROM pg_type AS element
                WHERE element.typarray = t.oid
            )
    ) AS in_the_way;
    IF v_taken IS NOT NULL THEN
        v_refusal := json_build_object(
            'code', coalesce(v_refusal ->> 'code', 'duplicate_object'),
            'message', concat_ws(
                '; ',
                v_refusal ->> 'message',
                format('names of ours are taken in schema %I: %s', v_schema, v_taken)
            ),
            'hint', concat_ws(
                ' ',
                coalesce(v_refusal ->> 'hint', 'Nothing was changed.'),
                'Rename what is in the way, or install into a schema of its own, with an updatable '
                'view of the table: CREATE SCHEMA cleanup; CREATE VIEW cleanup.notifications AS '
                'SELECT ctid, tableoid, * FROM',
                format('%s;', coalesce(v_table::text, 'notifications'))
            )
        );
    END IF;

    PERFORM set_config('notification_cleanup.refusal', coalesce(v_refusal::text, ''), false);
    IF v_refusal IS NOT NULL
        AND to_regclass(format('%I.notification_cleanup_schema_version', v_schema)) IS NOT NULL
        AND current_setting('transaction_read_only') = 'off'
    THEN
        IF NOT EXISTS (
            SELECT
            FROM notification_cleanup_schema_version AS v
            WHERE v.version_id > 0
        ) THEN
            DROP TABLE notification_cleanup_schema_version;
        END IF;
    END IF;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
DO $$
DECLARE
    v_refusal CONSTANT json := nullif(current_setting('notification_cleanup.refusal'), '')::json;
BEGIN
    IF v_refusal IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = v_refusal ->> 'code',
            MESSAGE = v_refusal ->> 'message',
            HINT = v_refusal ->> 'hint';
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
SELECT;
