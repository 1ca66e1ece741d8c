-- Two indexes: a small entry for each live notification, so that counting them by user reads no
-- row; and one for each soft-deleted notification, for purge and undo (entries of a run share its
-- one timestamp, which deduplicates well).
-- CONCURRENTLY, because the table may be in use; run again after a failure, the migration replaces
-- the invalid index that was left.

-- +goose NO TRANSACTION
-- +goose Up
-- +goose StatementBegin
DO $$
DECLARE
    v_table CONSTANT regclass := format('%I.notifications', current_schema())::regclass;
    v_purpose text;
    v_explained json;
    v_scan jsonb;
    v_name text;
    v_holder text;
    v_to_build text[] := '{}';
BEGIN
    DROP TABLE IF EXISTS pg_temp.notifications;
    -- Those of a partitioned table, and of one behind a view, are for notification_cleanup_indexes().
    IF (SELECT c.relkind FROM pg_class AS c WHERE c.oid = v_table) = 'r' THEN
        -- Whether an index of the application serves, the planner tells:
        -- notification_index_scans() asks it the same of all kinds of tables.
        SET LOCAL enable_seqscan = off;
        SET LOCAL enable_bitmapscan = off;
        SET LOCAL enable_sort = off;
        SET LOCAL max_parallel_workers_per_gather = 0;
        FOREACH v_purpose IN ARRAY '{live,deleted}'::text[] LOOP
            IF v_purpose = 'live' THEN
                EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON)
                SELECT n.user_id
                INTO v_explained
                FROM ONLY notifications AS n
                WHERE n.deleted_at IS NULL
                ORDER BY n.user_id;
            ELSE
                EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON)
                SELECT n.deleted_at
                INTO v_explained
                FROM ONLY notifications AS n
                WHERE n.deleted_at < 'infinity'
                ORDER BY n.deleted_at;
            END IF;
            v_scan := v_explained::jsonb #> '{0,Plan}';
            IF v_purpose = 'live' AND v_scan ->> 'Node Type' = 'Sort' THEN
                v_scan := v_scan #> '{Plans,0}';  -- Users are counted in any order.
            END IF;
            CONTINUE WHEN CASE v_purpose
                WHEN 'live' THEN
                    v_scan ->> 'Node Type' = 'Index Only Scan'
                    AND (NOT v_scan ? 'Filter' OR v_scan ? 'Index Cond')
                ELSE v_scan ? 'Index Cond'
            END;

            v_name := format('notifications_%s_idx', v_purpose);
            SELECT c.oid::regclass || coalesce(' on ' || i.indrelid::regclass, '')
            INTO v_holder
            FROM pg_class AS c
            JOIN pg_namespace AS namespace ON namespace.oid = c.relnamespace
                AND namespace.nspname = current_schema()
            LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
            WHERE c.relname = v_name
                -- What an earlier attempt has left is to be built again.
                AND (
                    i.indrelid = v_table
                    AND NOT i.indisvalid
                    AND NOT i.indisunique
                    AND i.indnatts = 1
                    AND pg_get_indexdef(i.indexrelid, 1, false)
                        = CASE v_purpose WHEN 'live' THEN 'user_id' ELSE 'deleted_at' END
                ) IS NOT TRUE;
            IF FOUND THEN
                RAISE WARNING USING
                    MESSAGE = format(
                        'the index %s is not built, because its name is taken: %s',
                        v_name,
                        v_holder
                    ),
                    HINT = E'notification-cleanup migrate up goes on to build it under another name. '
                        'By hand, once all migrations are applied, in psql: '
                        'SELECT statement FROM notification_cleanup_indexes() '
                        'WHERE statement IS NOT NULL \\gexec';
            ELSE
                v_to_build := v_to_build || v_purpose;
            END IF;
        END LOOP;
    END IF;

    PERFORM set_config('notification_cleanup.indexes', v_to_build::text, false);
    -- For the stand-in below: temporary tables come first where the path does not name them.
    PERFORM set_config('notification_cleanup.search_path', current_setting('search_path'), false);
    PERFORM set_config('search_path', quote_ident(current_schema()::text), false);
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
BEGIN
    -- CONCURRENTLY works in no transaction, so in no DO, and a migration has no IF: where the index
    -- is not to be built, this empty stand-in, first in the search_path, takes both statements.
    IF 'live' <> ALL (current_setting('notification_cleanup.indexes')::text[]) THEN
        CREATE TEMPORARY TABLE notifications (
            user_id integer,
            deleted_at timestamptz
        );
        CREATE INDEX notifications_live_idx ON pg_temp.notifications (user_id);
    END IF;
END
$$;
-- +goose StatementEnd
DROP INDEX CONCURRENTLY IF EXISTS notifications_live_idx;
CREATE INDEX CONCURRENTLY notifications_live_idx
ON notifications (user_id)
WHERE deleted_at IS NULL;

-- +goose StatementBegin
DO $$
BEGIN
    DROP TABLE IF EXISTS pg_temp.notifications;
    IF 'deleted' <> ALL (current_setting('notification_cleanup.indexes')::text[]) THEN
        CREATE TEMPORARY TABLE notifications (
            user_id integer,
            deleted_at timestamptz
        );
        CREATE INDEX notifications_deleted_idx ON pg_temp.notifications (deleted_at);
    END IF;
END
$$;
-- +goose StatementEnd
DROP INDEX CONCURRENTLY IF EXISTS notifications_deleted_idx;
CREATE INDEX CONCURRENTLY notifications_deleted_idx
ON notifications (deleted_at)
WHERE deleted_at IS NOT NULL;

-- +goose StatementBegin
DO $$
BEGIN
    DROP TABLE IF EXISTS pg_temp.notifications;
    PERFORM set_config(
        'search_path',
        current_setting('notification_cleanup.search_path'),
        false
    );
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE
    v_table CONSTANT regclass := to_regclass(format('%I.notifications', current_schema()));
    v_index record;
    v_ours text[] := '{}';
BEGIN
    DROP TABLE IF EXISTS pg_temp.notifications;
    FOR v_index IN
        SELECT
            i.indexrelid::regclass AS name,
            c.relname
        FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE i.indrelid = v_table
            AND c.relname ~ '^notifications_(live|deleted)_idx[0-9]*$'
            -- Another one of such a name is the application's.
            AND NOT i.indisunique
            AND (
                i.indnatts = 1
                AND (pg_get_indexdef(c.oid, 1, false), pg_get_expr(i.indpred, i.indrelid)) IN (
                    ('user_id', '(deleted_at IS NULL)'),
                    ('deleted_at', '(deleted_at IS NOT NULL)')
                )
                -- That of a table that the migrations have created.
                OR obj_description(c.oid, 'pg_class')
                    = 'Counts live notifications by user, and serves a page of an inbox.'
            )
    LOOP
        IF v_index.relname IN ('notifications_live_idx', 'notifications_deleted_idx')
            AND (SELECT c.relkind FROM pg_class AS c WHERE c.oid = v_table) = 'r'
        THEN
            v_ours := v_ours || v_index.relname::text;  -- dropped below
            CONTINUE;
        END IF;
        -- CONCURRENTLY does not work on the indexes of a partitioned table, which go together with
        -- those of its partitions: instant once the statement has its locks.
        IF current_setting('lock_timeout') = '0' THEN
            PERFORM set_config('lock_timeout', '500ms', true);
        END IF;
        EXECUTE format('DROP INDEX %s', v_index.name);
    END LOOP;

    PERFORM set_config('notification_cleanup.search_path', current_setting('search_path'), false);
    PERFORM set_config('search_path', quote_ident(current_schema()::text), false);
    -- What is not ours is not to be dropped: stand-ins for the statements below.
    CREATE TEMPORARY TABLE notifications (
        user_id integer,
        deleted_at timestamptz
    );
    IF 'notifications_live_idx' <> ALL (v_ours) THEN
        CREATE INDEX notifications_live_idx ON pg_temp.notifications (user_id);
    END IF;
    IF 'notifications_deleted_idx' <> ALL (v_ours) THEN
        CREATE INDEX notifications_deleted_idx ON pg_temp.notifications (deleted_at);
    END IF;
END
$$;
-- +goose StatementEnd
DROP INDEX CONCURRENTLY IF EXISTS notifications_live_idx;
DROP INDEX CONCURRENTLY IF EXISTS notifications_deleted_idx;
-- +goose StatementBegin
DO $$
BEGIN
    DROP TABLE IF EXISTS pg_temp.notifications;
    PERFORM set_config(
        'search_path',
        current_setting('notification_cleanup.search_path'),
        false
    );
END
$$;
-- +goose StatementEnd
