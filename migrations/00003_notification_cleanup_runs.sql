-- The history of the runs, whose row type is what cleanup_notifications() returns,
-- and what a run that has not ended still has before it.

-- +goose Up
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
    'The file of the table in which all of the list lies: another one, and the places say nothing '
    'any more. NULL on Citus.';
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
REVOKE ALL ON TABLE
    notification_cleanup_runs,
    notification_cleanup_open_runs,
    notification_cleanup_batches,
    notification_cleanup_suspension
FROM PUBLIC;

-- +goose Down
DROP TABLE
    notification_cleanup_suspension,
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
