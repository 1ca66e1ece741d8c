-- Creates the notifications table, or adopts the application's own, and names the types of its
-- columns.

-- +goose Up
-- Citus, which carries the column and the domains to its workers, asks for this; elsewhere the
-- setting means nothing.
SET LOCAL citus.multi_shard_modify_mode = 'sequential';
-- +goose StatementBegin
DO $$
DECLARE
    v_schema CONSTANT text := current_schema();
    v_table regclass := to_regclass(format('%I.notifications', current_schema()));
    v_kind "char";
    v_problems text;
    v_domains text;
BEGIN
    -- A second table in front of the application's would hide its rows from the application.
    IF v_table IS NULL AND to_regclass('notifications') IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_schema_name',
            MESSAGE = format(
                '%s is not in schema %I, the first of the search_path',
                to_regclass('notifications')::text,
                v_schema
            ),
            HINT = 'Install into the schema of the notifications table: '
                'set SCHEMA, or the search_path of the connection.';
    END IF;

    IF v_table IS NULL THEN
        CREATE TABLE notifications (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id uuid NOT NULL,
            type text,
            title text,
            message text,
            data jsonb,
            status text DEFAULT 'unread',
            read_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            deleted_at timestamptz
        ) WITH (
            -- Counting users by an index-only scan is cheap only while the visibility map is fresh.
            autovacuum_vacuum_scale_factor = 0.01,
            autovacuum_vacuum_insert_scale_factor = 0.01,
            autovacuum_analyze_scale_factor = 0.02
        );
        COMMENT ON TABLE notifications IS
        'Inbox of every user. A notification is live while deleted_at IS NULL; '
        'cleanup_notifications() soft-deletes the oldest read ones.';
        COMMENT ON COLUMN notifications.status IS
        '''unread'' or ''read''; only exactly ''read'' is ever cleaned up.';
        COMMENT ON COLUMN notifications.deleted_at IS
        'When the notification was soft-deleted. Rows of one cleanup run share the run''s '
        'started_at.';
        v_table := 'notifications'::regclass;
    END IF;

    SELECT c.relkind
    INTO v_kind
    FROM pg_class AS c
    WHERE c.oid = v_table;

    -- Each column as it is stored: a domain of the application's stands for what it is made of.
    WITH RECURSIVE layers AS (
        SELECT
            a.attname,
            a.attnum,
            a.atttypid AS type,
            a.atttypmod AS typmod,
            a.attnotnull AS is_not_null,
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
        SELECT format('column %s is missing from the view', required.name)
        FROM (VALUES ('deleted_at'), ('ctid'), ('tableoid')) AS required (name)
        WHERE v_kind = 'v'
            AND required.name NOT IN (SELECT c.attname FROM column_of AS c)
        UNION ALL
        SELECT
            'deleted_at of the view cannot be updated: '
            'it must be a column of a single table, without DISTINCT or GROUP BY'
        FROM column_of AS c
        WHERE c.attname = 'deleted_at'
            AND v_kind = 'v'
            AND NOT pg_column_is_updatable(v_table, c.attnum, false)
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
    SELECT
        (SELECT string_agg(p.problem, '; ') FROM problems AS p),
        -- The bare type, so that no value is cut, rounded or refused on its way through a routine;
        -- with the collation of the column, by which alone two users are one.
        (
            SELECT string_agg(
                format(
                    'CREATE DOMAIN %I AS %s%s;',
                    'notification_' || c.attname,
                    format_type(c.type, -1),
                    (
                        SELECT format(' COLLATE %I.%I', namespace.nspname, used.collname)
                        FROM pg_collation AS used
                        JOIN pg_namespace AS namespace ON namespace.oid = used.collnamespace
                        WHERE used.oid = c.attcollation
                    )
                ),
                ' '
            )
            FROM column_of AS c
            WHERE c.attname IN ('user_id', 'id', 'created_at')
        )
    INTO
        v_problems,
        v_domains;

    IF v_problems IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'datatype_mismatch',
            MESSAGE = format('%s cannot be adopted: %s', v_table::text, v_problems),
            HINT = 'Nothing was changed. Adapt the table, or give notification-cleanup a schema of '
                'its own with an updatable view: CREATE VIEW cleanup.notifications AS SELECT ctid, '
                'tableoid, id, recipient_id AS user_id, CASE WHEN read_at IS NULL THEN ''unread'' '
                'ELSE ''read'' END AS status, sent_at AS created_at, deleted_at FROM messages.';
    END IF;

    IF NOT EXISTS (
        SELECT
        FROM pg_attribute AS a
        WHERE a.attrelid = v_table
            AND a.attname = 'deleted_at'
            AND NOT a.attisdropped
    ) THEN
        -- Instant once it has its lock; while it waits for that, it would stop the whole
        -- application.
        IF current_setting('lock_timeout') = '0' THEN
            PERFORM set_config('lock_timeout', '2s', true);
        END IF;
        ALTER TABLE notifications ADD COLUMN deleted_at timestamptz;
    END IF;

    -- Dynamic, because the types are the application's.
    EXECUTE v_domains;
END
$$;
-- +goose StatementEnd
COMMENT ON DOMAIN notification_user_id IS
'The type of notifications.user_id, without a length, so that the routines fit any application. A '
'client can pass any of them as $1::text[]::notification_user_id[].';
COMMENT ON DOMAIN notification_id IS 'The type of notifications.id, without a length.';
COMMENT ON DOMAIN notification_created_at IS
'The type of notifications.created_at, without a precision.';
REVOKE ALL ON DOMAIN notification_user_id, notification_id, notification_created_at FROM PUBLIC;

-- +goose Down
-- The notifications table stays, with its rows and deleted_at: they are the application's.
DROP DOMAIN notification_user_id, notification_id, notification_created_at;
