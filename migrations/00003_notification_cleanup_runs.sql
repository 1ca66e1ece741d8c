-- The history of the runs, whose row type is what cleanup_notifications() returns; and what a run that is not through has before it.

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
    notifications_restored bigint NOT NULL DEFAULT 0,
    invoked_by text NOT NULL DEFAULT session_user,
    application_name text NOT NULL DEFAULT current_setting('application_name')
);
COMMENT ON TABLE notification_cleanup_runs IS 'One row a run of the notification cleanup, also of a run that found nothing.';
COMMENT ON COLUMN notification_cleanup_runs.id IS 'Number of the run, for cleanup_next_batch() and restore_notifications().';
COMMENT ON COLUMN notification_cleanup_runs.started_at IS 'Start of the run, and deleted_at of every notification it deleted; unique, so that it identifies them.';
COMMENT ON COLUMN notification_cleanup_runs.finished_at IS 'End of the run; NULL while it has batches left, and for good when it was given up.';
COMMENT ON COLUMN notification_cleanup_runs.max_notifications IS 'Limit of the run: users with more live notifications than this were over it.';
COMMENT ON COLUMN notification_cleanup_runs.min_keep IS 'How many of the newest read notifications of each such user were kept.';
COMMENT ON COLUMN notification_cleanup_runs.users_over_limit IS 'Users whom the plan found over the limit.';
COMMENT ON COLUMN notification_cleanup_runs.users_cleaned IS 'Users who had at least one notification deleted; counted when the run ends.';
COMMENT ON COLUMN notification_cleanup_runs.users_still_over_limit IS 'Users whom unread (or other kept, or skipped) notifications alone keep over the limit.';
COMMENT ON COLUMN notification_cleanup_runs.notifications_planned IS 'Notifications that were to go when the run was planned.';
COMMENT ON COLUMN notification_cleanup_runs.notifications_deleted IS 'Notifications soft-deleted by this run; grows with each batch.';
COMMENT ON COLUMN notification_cleanup_runs.notifications_skipped IS 'Deletable notifications left, because another transaction held them; grows with each batch.';
COMMENT ON COLUMN notification_cleanup_runs.notifications_restored IS 'Notifications of this run that were restored since.';
COMMENT ON COLUMN notification_cleanup_runs.invoked_by IS 'Database user who connected to plan it.';
COMMENT ON COLUMN notification_cleanup_runs.application_name IS 'application_name of the connection: notification-cleanup, psql, pg_cron (empty where that uses background workers), ...';

CREATE TABLE notification_cleanup_cutoffs (
    run_id bigint NOT NULL,
    number bigint NOT NULL,
    user_id notification_user_id NOT NULL,
    total bigint NOT NULL,
    deletable bigint NOT NULL,
    created_at notification_created_at NOT NULL,
    id notification_id NOT NULL,
    PRIMARY KEY (run_id, number)
);
COMMENT ON TABLE notification_cleanup_cutoffs IS 'Of each run that has not ended, a row a user with something to delete. What is read, live and not newer than (created_at, id) goes.';
COMMENT ON COLUMN notification_cleanup_cutoffs.run_id IS 'The run.';
COMMENT ON COLUMN notification_cleanup_cutoffs.number IS 'Number of the user in the run, the one with the most to delete first.';
COMMENT ON COLUMN notification_cleanup_cutoffs.user_id IS 'The user.';
COMMENT ON COLUMN notification_cleanup_cutoffs.total IS 'Live notifications he had when the run was planned.';
COMMENT ON COLUMN notification_cleanup_cutoffs.deletable IS 'How many of them were to go.';
COMMENT ON COLUMN notification_cleanup_cutoffs.created_at IS 'When the newest that goes was created.';
COMMENT ON COLUMN notification_cleanup_cutoffs.id IS 'The newest that goes.';

CREATE TABLE notification_cleanup_batches (
    run_id bigint NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    first_user bigint,
    end_user bigint,
    low tid,
    high tid,
    attempts integer NOT NULL DEFAULT 0,
    done boolean NOT NULL DEFAULT false,
    user_ids notification_user_id[],
    deleted bigint[],
    PRIMARY KEY (run_id, number)
);
CREATE INDEX ON notification_cleanup_batches (run_id, attempts, number) WHERE NOT done;
COMMENT ON TABLE notification_cleanup_batches IS 'The queue: of each run that has not ended, a row a batch, locked by the session that works on it.';
COMMENT ON COLUMN notification_cleanup_batches.run_id IS 'The run.';
COMMENT ON COLUMN notification_cleanup_batches.number IS 'Its place in the queue.';
COMMENT ON COLUMN notification_cleanup_batches.first_user IS 'Number of the first user who belongs to the batch; NULL: all users of the run do.';
COMMENT ON COLUMN notification_cleanup_batches.end_user IS 'Number of the first user behind the batch.';
COMMENT ON COLUMN notification_cleanup_batches.low IS 'Where in the table the batch begins, (page,0); NULL: all pages belong to it.';
COMMENT ON COLUMN notification_cleanup_batches.high IS 'First page behind the batch; new row versions land there, so it is never open.';
COMMENT ON COLUMN notification_cleanup_batches.attempts IS 'How often it gave way to somebody who was in the way; those with fewer attempts come first.';
COMMENT ON COLUMN notification_cleanup_batches.done IS 'Whether it is done.';
COMMENT ON COLUMN notification_cleanup_batches.user_ids IS 'Users of whom it deleted something.';
COMMENT ON COLUMN notification_cleanup_batches.deleted IS 'How many notifications of each of them it deleted.';

CREATE TABLE notification_cleanup_throttles (
    run_id bigint PRIMARY KEY,
    pause_factor double precision NOT NULL,
    max_replica_lag interval,
    rest_until timestamptz,
    stopped_at timestamptz
);
COMMENT ON TABLE notification_cleanup_throttles IS 'How fast each run may go that has not ended, and that somebody has stopped it.';
COMMENT ON COLUMN notification_cleanup_throttles.run_id IS 'The run.';
COMMENT ON COLUMN notification_cleanup_throttles.pause_factor IS 'How many times as long as a batch took no other one begins.';
COMMENT ON COLUMN notification_cleanup_throttles.max_replica_lag IS 'How far standbys and logical slots may be behind when a batch begins; NULL: as far as they like.';
COMMENT ON COLUMN notification_cleanup_throttles.rest_until IS 'Until when no batch begins, since one ended with a pause_factor.';
COMMENT ON COLUMN notification_cleanup_throttles.stopped_at IS 'When stop_notification_cleanup() was called; no batch begins until the next plan goes on with the run.';

CREATE TABLE notification_cleanup_positions (
    run_id bigint NOT NULL,
    at timestamptz NOT NULL,
    lsn pg_lsn NOT NULL
);
CREATE INDEX ON notification_cleanup_positions (run_id, lsn, at);
COMMENT ON TABLE notification_cleanup_positions IS 'Where the primary was at some moments of a run with a max_replica_lag: a replica that has not come there yet is as far behind.';
COMMENT ON COLUMN notification_cleanup_positions.run_id IS 'The run.';
COMMENT ON COLUMN notification_cleanup_positions.at IS 'The moment; -infinity: when the run was planned or went on, which each replica must have reached.';
COMMENT ON COLUMN notification_cleanup_positions.lsn IS 'How far it had flushed its WAL.';
REVOKE ALL ON TABLE notification_cleanup_runs, notification_cleanup_cutoffs, notification_cleanup_batches, notification_cleanup_throttles,
    notification_cleanup_positions FROM PUBLIC;

-- +goose Down
DROP TABLE notification_cleanup_positions, notification_cleanup_throttles, notification_cleanup_batches, notification_cleanup_cutoffs;
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
