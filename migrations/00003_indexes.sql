-- Two indexes: a small entry for each live notification, so that counting them by user reads no
-- row; and one for each soft-deleted notification, for purge and undo (entries of a run share its
-- one timestamp, which deduplicates well).
-- CONCURRENTLY, because the table may be in use; run again after a failure, the migration replaces
-- the invalid index that was left.

-- +goose NO TRANSACTION
-- +goose Up
DROP TABLE IF EXISTS pg_temp.notifications;
-- +goose StatementBegin
DO $$
BEGIN
    IF (
        SELECT c.relkind
        FROM pg_class AS c
        WHERE c.oid = to_regclass('notifications')
    ) <> 'r' THEN
        -- CONCURRENTLY works neither on views nor on partitioned tables, and a migration has no
        -- IF: this empty stand-in, first in every search_path, takes the indexes instead.
        CREATE TEMPORARY TABLE notifications (
            user_id integer,
            deleted_at timestamptz
        );
    END IF;
END
$$;
-- +goose StatementEnd
DROP INDEX CONCURRENTLY IF EXISTS notifications_live_idx;
CREATE INDEX CONCURRENTLY notifications_live_idx
ON notifications (user_id)
WHERE deleted_at IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS notifications_deleted_idx;
CREATE INDEX CONCURRENTLY notifications_deleted_idx
ON notifications (deleted_at)
WHERE deleted_at IS NOT NULL;
DROP TABLE IF EXISTS pg_temp.notifications;

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    -- CONCURRENTLY does not work on the indexes of a partitioned table, which go together with
    -- those of its partitions: instant once the statement has its locks.
    IF (
        SELECT c.relkind
        FROM pg_class AS c
        WHERE c.oid = to_regclass('notifications')
    ) = 'p' THEN
        IF current_setting('lock_timeout') = '0' THEN
            PERFORM set_config('lock_timeout', '2s', true);
        END IF;
        DROP INDEX IF EXISTS notifications_live_idx, notifications_deleted_idx;
    END IF;
END
$$;
-- +goose StatementEnd
DROP INDEX CONCURRENTLY IF EXISTS notifications_live_idx;
DROP INDEX CONCURRENTLY IF EXISTS notifications_deleted_idx;
