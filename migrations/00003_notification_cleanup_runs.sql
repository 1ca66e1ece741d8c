-- The history of the runs. The row type is what cleanup_notifications() returns.

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
    notifications_deleted bigint NOT NULL DEFAULT 0,
    notifications_skipped bigint NOT NULL DEFAULT 0,
    notifications_restored bigint NOT NULL DEFAULT 0,
    invoked_by text NOT NULL DEFAULT session_user,
    application_name text NOT NULL DEFAULT current_setting('application_name')
);
COMMENT ON TABLE notification_cleanup_runs IS 'One row a run of the notification cleanup, also of a run that found nothing.';
COMMENT ON COLUMN notification_cleanup_runs.id IS 'Number of the run, for restore_notifications().';
COMMENT ON COLUMN notification_cleanup_runs.started_at IS 'Start of the run, and deleted_at of every notification it deleted; unique, so that it identifies them.';
COMMENT ON COLUMN notification_cleanup_runs.finished_at IS 'End of the run; NULL while it runs, and for good when it was stopped or killed before its end.';
COMMENT ON COLUMN notification_cleanup_runs.max_notifications IS 'Limit of the run: users with more live notifications than this were over it.';
COMMENT ON COLUMN notification_cleanup_runs.min_keep IS 'How many of the newest read notifications of each such user were kept.';
COMMENT ON COLUMN notification_cleanup_runs.users_over_limit IS 'Users found over the limit.';
COMMENT ON COLUMN notification_cleanup_runs.users_cleaned IS 'Users who had at least one notification deleted.';
COMMENT ON COLUMN notification_cleanup_runs.users_still_over_limit IS 'Users whom unread (or other kept, or locked) notifications alone keep over the limit.';
COMMENT ON COLUMN notification_cleanup_runs.notifications_deleted IS 'Notifications soft-deleted by this run.';
COMMENT ON COLUMN notification_cleanup_runs.notifications_skipped IS 'Deletable notifications left, because another transaction held them.';
COMMENT ON COLUMN notification_cleanup_runs.notifications_restored IS 'Notifications of this run that were restored since.';
COMMENT ON COLUMN notification_cleanup_runs.invoked_by IS 'Database user who connected to run it.';
COMMENT ON COLUMN notification_cleanup_runs.application_name IS 'application_name of the connection: notification-cleanup, psql, pg_cron (empty where that uses background workers), ...';
REVOKE ALL ON TABLE notification_cleanup_runs FROM PUBLIC;

-- +goose Down
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
