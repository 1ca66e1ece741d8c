-- Creates the notifications table, or adopts the application's own; names the types of its columns;
-- and creates the history of the runs, whose row type is what cleanup_notifications() returns, and
-- what a run that has not ended still has before it.

-- +goose Up
-- Citus, which carries the column and the domains to its workers, asks for this; elsewhere the
-- setting means nothing.
SET LOCAL citus.multi_shard_modify_mode = 'sequential';

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

-- +goose StatementBegin
DO $$
BEGIN
    -- goose has just created its own table, which is to be as private as what follows.
    PERFORM set_config(
        'notification_cleanup.existing',
        (
            SELECT coalesce(array_agg(existing.object), '{}')::text
            FROM unnest(current_setting('notification_cleanup.existing')::text[])
                AS existing (object)
            WHERE existing.object NOT IN (
                SELECT format('%s %s', c.tableoid, c.oid)
                FROM pg_class AS c
                WHERE c.oid IN (
                    to_regclass('notification_cleanup_schema_version'),
                    to_regclass('notification_cleanup_schema_version_id_seq')
                )
            )
        ),
        true
    );
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE
    v_table regclass := to_regclass(format('%I.notifications', current_schema()));
    v_column record;
    v_base record;
BEGIN
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
        RAISE WARNING USING
            MESSAGE = format(
                'created an empty table %I.notifications: there was none',
                current_schema()
            ),
            HINT = 'Where the application keeps its notifications under another name, uninstall '
                'this, drop that table, and give the cleanup a view.';
        -- The live index, which here serves an inbox as well. A former table may hold its name,
        -- which makes CREATE INDEX find another one.
        EXECUTE format(
            'CREATE INDEX %s ON notifications (user_id, created_at DESC) WHERE deleted_at IS NULL',
            CASE
                WHEN to_regclass(format('%I.notifications_live_idx', current_schema())) IS NULL
                    THEN 'notifications_live_idx'
            END
        );
        EXECUTE (
            SELECT format(
                'COMMENT ON INDEX %s IS %L',
                i.indexrelid::regclass,
                'Counts live notifications by user, and serves a page of an inbox.'
            )
            FROM pg_index AS i
            WHERE i.indrelid = v_table
                AND NOT i.indisprimary
        );
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
            PERFORM set_config('lock_timeout', '500ms', true);
        END IF;
        ALTER TABLE notifications ADD COLUMN deleted_at timestamptz;
    END IF;

    -- The bare type, so that no value is cut, rounded or refused on its way through a routine; with
    -- the collation of the column, by which alone two users are one.
    FOR v_column IN
        SELECT
            a.attname,
            a.atttypid AS type,
            (
                SELECT format('COLLATE %I.%I', namespace.nspname, used.collname)
                FROM pg_collation AS used
                JOIN pg_namespace AS namespace ON namespace.oid = used.collnamespace
                WHERE used.oid = a.attcollation
            ) AS collation
        FROM pg_attribute AS a
        WHERE a.attrelid = v_table
            AND a.attname IN ('user_id', 'id', 'created_at')
    LOOP
        -- A domain of the application's stands for what it is made of.
        LOOP
            SELECT
                t.typtype,
                t.typbasetype
            INTO v_base
            FROM pg_type AS t
            WHERE t.oid = v_column.type;
            EXIT WHEN v_base.typtype <> 'd';
            v_column.type := v_base.typbasetype;
        END LOOP;
        -- Dynamic, because the types are the application's.
        EXECUTE format(
            'CREATE DOMAIN %I AS %s %s',
            'notification_' || v_column.attname,
            format_type(v_column.type, -1),
            v_column.collation
        );
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON DOMAIN notification_user_id IS
'The type of notifications.user_id, without a length, so that the routines fit any application. A '
'client can pass any of them as $1::text[]::notification_user_id[].';
COMMENT ON DOMAIN notification_id IS 'The type of notifications.id, without a length.';
COMMENT ON DOMAIN notification_created_at IS
'The type of notifications.created_at, without a precision.';

CREATE TABLE IF NOT EXISTS notification_cleanup_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp() UNIQUE,
    finished_at timestamptz,
    max_notifications integer NOT NULL,
    min_keep integer NOT NULL,
    users_over_limit bigint NOT NULL DEFAULT 0,
    users_cleaned bigint NOT NULL DEFAULT 0,
    users_still_over_limit bigint NOT NULL DEFAULT 0,
    notifications_planned bigint NOT NULL DEFAULT 0,
    notifications_deleted bigint NOT NULL DEFAULT 0,
    notifications_skipped bigint NOT NULL DEFAULT 0,
    notifications_changed bigint NOT NULL DEFAULT 0,
    notifications_restored bigint NOT NULL DEFAULT 0,
    invoked_by text NOT NULL DEFAULT session_user,
    application_name text NOT NULL DEFAULT current_setting('application_name')
);
COMMENT ON TABLE notification_cleanup_runs IS
    'One row a run of the notification cleanup, also of a run that found nothing.';
COMMENT ON COLUMN notification_cleanup_runs.id IS
    'Number of the run, for cleanup_next_batch() and restore_notifications().';
COMMENT ON COLUMN notification_cleanup_runs.started_at IS
    'Start of the run, and deleted_at of every notification it deleted; unique, so that it '
    'identifies them.';
COMMENT ON COLUMN notification_cleanup_runs.finished_at IS
    'End of the run; NULL while it has batches left, and for good when it was given up.';
COMMENT ON COLUMN notification_cleanup_runs.max_notifications IS
    'Limit of the run: users with more live notifications than this were over it.';
COMMENT ON COLUMN notification_cleanup_runs.min_keep IS
    'How many of the newest read notifications of each such user were kept.';
COMMENT ON COLUMN notification_cleanup_runs.users_over_limit IS
    'Users over the limit when the run was planned.';
COMMENT ON COLUMN notification_cleanup_runs.users_cleaned IS
    'Users of whom at least one notification was deleted; counted when the run ends.';
COMMENT ON COLUMN notification_cleanup_runs.users_still_over_limit IS
    'Users whom unread (or otherwise kept, or skipped) notifications alone keep over the limit.';
COMMENT ON COLUMN notification_cleanup_runs.notifications_planned IS
    'Notifications that were to go when the run was planned; when it has finished: '
    'deleted + skipped + changed.';
COMMENT ON COLUMN notification_cleanup_runs.notifications_deleted IS
    'Notifications soft-deleted by this run; grows with each batch.';
COMMENT ON COLUMN notification_cleanup_runs.notifications_skipped IS
    'Planned notifications that were left, because another transaction held them; grows with '
    'each batch.';
COMMENT ON COLUMN notification_cleanup_runs.notifications_changed IS
    'Planned notifications that were left, because somebody else had changed or deleted them '
    'meanwhile, or because a trigger kept them; grows with each batch.';
COMMENT ON COLUMN notification_cleanup_runs.notifications_restored IS
    'Notifications of this run that were restored since.';
COMMENT ON COLUMN notification_cleanup_runs.invoked_by IS
    'Database user who connected to plan the run.';
COMMENT ON COLUMN notification_cleanup_runs.application_name IS
    'application_name of the connection that planned the run: notification-cleanup, psql, pg_cron '
    '(empty where that uses background workers), ...';

CREATE TABLE notification_cleanup_open_runs (
    run_id bigint PRIMARY KEY REFERENCES notification_cleanup_runs ON DELETE CASCADE,
    pause_factor double precision NOT NULL DEFAULT 0,
    max_replica_lag interval,
    resting_since timestamptz,
    rest_until timestamptz,
    replicas_mark pg_lsn,
    replicas_due timestamptz,
    stopped_at timestamptz,
    rewritten boolean NOT NULL DEFAULT false,
    users_not_to_count notification_user_id[] NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE notification_cleanup_open_runs IS
    'What a run needs until it ends, one row a run: its pace, and what its end has to know.';
COMMENT ON COLUMN notification_cleanup_open_runs.run_id IS 'The run.';
COMMENT ON COLUMN notification_cleanup_open_runs.pause_factor IS
    'How many times as long as a batch took no other one begins.';
COMMENT ON COLUMN notification_cleanup_open_runs.max_replica_lag IS
    'How far standbys and slots may be behind when a batch begins; NULL: any distance.';
COMMENT ON COLUMN notification_cleanup_open_runs.resting_since IS
    'When that batch ended: a clock that is before it was set back, and nothing rests.';
COMMENT ON COLUMN notification_cleanup_open_runs.rest_until IS
    'Until when no batch begins, because one ended with a pause_factor.';
COMMENT ON COLUMN notification_cleanup_open_runs.replicas_mark IS
    'A position in the WAL that all standbys and slots have to pass; NULL without max_replica_lag.';
COMMENT ON COLUMN notification_cleanup_open_runs.replicas_due IS
    'When they have to have passed the mark: a batch waits for one that has not.';
COMMENT ON COLUMN notification_cleanup_open_runs.stopped_at IS
    'When stop_notification_cleanup() or an undo stopped the run; no batch begins until the next '
    'plan continues it.';
COMMENT ON COLUMN notification_cleanup_open_runs.rewritten IS
    'Whether a batch found that its table was rewritten or replaced after the plan: '
    'the places in the queue say nothing any more, so the run is given up.';
COMMENT ON COLUMN notification_cleanup_open_runs.users_not_to_count IS
    'Users whom the plan has counted in users_still_over_limit though some of their notifications '
    'were to go: the end of the run must not count them again.';

CREATE TABLE notification_cleanup_batches (
    run_id bigint NOT NULL REFERENCES notification_cleanup_runs ON DELETE CASCADE,
    number bigint NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    done_at timestamptz,
    oldest notification_created_at NOT NULL,
    newest notification_created_at NOT NULL,
    shard bigint,
    file oid,
    relations oid[] NOT NULL,
    places tid[] NOT NULL,
    ids notification_id[] NOT NULL,
    users notification_user_id[] NOT NULL,
    created_ats notification_created_at[] NOT NULL,
    last_users notification_user_id[],
    last_users_planned bigint[],
    users_left notification_user_id[],
    PRIMARY KEY (run_id, number)
);
-- The queue is read from its end that is not done, however long the other one has become.
CREATE INDEX notification_cleanup_batches_queue_idx
    ON notification_cleanup_batches (run_id, attempts, number)
    WHERE done_at IS NULL;
-- The lists are ids and places, on which compression only costs time.
ALTER TABLE notification_cleanup_batches
    ALTER relations SET STORAGE EXTERNAL,
    ALTER places SET STORAGE EXTERNAL,
    ALTER ids SET STORAGE EXTERNAL,
    ALTER users SET STORAGE EXTERNAL,
    ALTER created_ats SET STORAGE EXTERNAL;
COMMENT ON TABLE notification_cleanup_batches IS
    'The queue: of each run that has not ended, a row a batch, locked by the session that works on '
    'it. A batch is the list of the notifications that go; all of them lie in one table, '
    'partition or shard.';
COMMENT ON COLUMN notification_cleanup_batches.run_id IS 'The run.';
COMMENT ON COLUMN notification_cleanup_batches.number IS 'Its place in the queue.';
COMMENT ON COLUMN notification_cleanup_batches.attempts IS
    'How often it gave way to somebody who was in the way; those with fewer attempts come first.';
COMMENT ON COLUMN notification_cleanup_batches.done_at IS 'When it was done; NULL: not yet.';
COMMENT ON COLUMN notification_cleanup_batches.oldest IS
    'The oldest created_at of the list, by which the planner leaves out other partitions.';
COMMENT ON COLUMN notification_cleanup_batches.newest IS 'The newest created_at of the list.';
COMMENT ON COLUMN notification_cleanup_batches.shard IS
    'The shard of Citus in which all of the list lies; NULL where Citus distributes nothing.';
COMMENT ON COLUMN notification_cleanup_batches.file IS
    'The file of the table or shard in which all of the list lies: another one, and the places say '
    'nothing any more.';
COMMENT ON COLUMN notification_cleanup_batches.relations IS
    'The list: which table, partition or shard each notification lies in, ...';
COMMENT ON COLUMN notification_cleanup_batches.places IS '... its place there (ctid), ...';
COMMENT ON COLUMN notification_cleanup_batches.ids IS '... its id, ...';
COMMENT ON COLUMN notification_cleanup_batches.users IS '... its user, ...';
COMMENT ON COLUMN notification_cleanup_batches.created_ats IS '... and when it was created.';
COMMENT ON COLUMN notification_cleanup_batches.last_users IS
    'Users whose oldest notification is in this list: each user of the plan is in one batch so.';
COMMENT ON COLUMN notification_cleanup_batches.last_users_planned IS
    'How many notifications of each of them were to go, in all batches together.';
COMMENT ON COLUMN notification_cleanup_batches.users_left IS
    'When it is done: the user of each notification of the list that was not deleted.';

CREATE TABLE notification_cleanup_refused (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation text NOT NULL CHECK (operation IN ('restore', 'purge')),
    deleted_at timestamptz NOT NULL,
    id notification_id NOT NULL,
    user_id notification_user_id,
    sqlstate text NOT NULL,
    detail text NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    relation oid NOT NULL,
    place tid NOT NULL
);
CREATE INDEX notification_cleanup_refused_deleted_at_idx
    ON notification_cleanup_refused (operation, deleted_at);
COMMENT ON TABLE notification_cleanup_refused IS
    'The notifications that an undo could not restore, or a purge not delete: a constraint, a '
    'foreign key, a trigger or a rule of the application refused it. Undo and purge step over each '
    'for a day, then they try it again.';
COMMENT ON COLUMN notification_cleanup_refused.number IS 'In the order in which they refused.';
COMMENT ON COLUMN notification_cleanup_refused.operation IS 'restore or purge.';
COMMENT ON COLUMN notification_cleanup_refused.deleted_at IS
    'When the notification was soft-deleted: started_at of the run that did, if it was one.';
COMMENT ON COLUMN notification_cleanup_refused.id IS 'The notification, ...';
COMMENT ON COLUMN notification_cleanup_refused.user_id IS '... and its user.';
COMMENT ON COLUMN notification_cleanup_refused.sqlstate IS
    'The code of the error: 23505 unique violation, 23503 foreign key violation, 27000 a trigger or '
    'rule did something else instead, ...';
COMMENT ON COLUMN notification_cleanup_refused.detail IS 'Its message and detail.';
COMMENT ON COLUMN notification_cleanup_refused.refused_at IS 'When it was tried.';
COMMENT ON COLUMN notification_cleanup_refused.relation IS
    'Which table, partition or shard it lies in, ...';
COMMENT ON COLUMN notification_cleanup_refused.place IS
    '... and its place there (ctid): a notification that the application has changed since lies in '
    'another one, and is tried at once.';

CREATE TABLE notification_cleanup_suspension (
    is_suspended boolean PRIMARY KEY DEFAULT true CHECK (is_suspended),
    reason text NOT NULL,
    suspended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    suspended_by text NOT NULL DEFAULT session_user,
    application_name text NOT NULL DEFAULT current_setting('application_name')
);
COMMENT ON TABLE notification_cleanup_suspension IS
    'One row from suspend_notification_cleanup() to resume_notification_cleanup(), otherwise none.';
COMMENT ON COLUMN notification_cleanup_suspension.is_suspended IS
    'Always true: the key of the only row.';
COMMENT ON COLUMN notification_cleanup_suspension.reason IS 'Why, as somebody has put it.';
COMMENT ON COLUMN notification_cleanup_suspension.suspended_at IS 'Since when.';
COMMENT ON COLUMN notification_cleanup_suspension.suspended_by IS
    'Database user who connected to suspend it.';
COMMENT ON COLUMN notification_cleanup_suspension.application_name IS
    'application_name of that connection.';

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

-- +goose Down
DROP TABLE
    notification_cleanup_suspension,
    notification_cleanup_refused,
    notification_cleanup_batches,
    notification_cleanup_open_runs;
-- +goose StatementBegin
DO $$
BEGIN
    -- History is kept: a later Up takes it over.
    IF EXISTS (SELECT FROM notification_cleanup_runs) THEN
        RAISE WARNING 'notification_cleanup_runs is kept, because it holds the history of past runs';
    ELSE
        DROP TABLE notification_cleanup_runs;
    END IF;
END
$$;
-- +goose StatementEnd
-- The notifications table stays, with its rows and deleted_at: they are the application's.
DROP DOMAIN notification_user_id, notification_id, notification_created_at;
