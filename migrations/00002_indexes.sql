-- Two indexes: a small entry for each live notification, so that counting them by user reads no row; and one for each soft-deleted
-- notification, for purge and undo (one timestamp a run deduplicates well).
-- CONCURRENTLY, because the table may be in use; run again after a failure, it replaces the invalid index that was left.

-- +goose NO TRANSACTION
-- +goose Up
DROP TABLE IF EXISTS pg_temp.notifications;
-- +goose StatementBegin
DO $$
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = to_regclass('notifications')) <> 'r' THEN
        -- CONCURRENTLY knows neither views nor partitioned tables, and a migration has no IF:
        -- this empty stand-in, first in every search_path, takes the indexes instead.
        CREATE TEMPORARY TABLE notifications (user_id integer, deleted_at timestamptz);
        RAISE WARNING USING
            MESSAGE = 'notifications is a view or a partitioned table: its two indexes are left to you',
            HINT = 'On its table, or on each partition: CREATE INDEX CONCURRENTLY ON ... (user_id) WHERE deleted_at IS NULL; '
                'CREATE INDEX CONCURRENTLY ON ... (deleted_at) WHERE deleted_at IS NOT NULL';
    END IF;
END
$$;
-- +goose StatementEnd
DROP INDEX CONCURRENTLY IF EXISTS notifications_live_idx;
CREATE INDEX CONCURRENTLY notifications_live_idx ON notifications (user_id) WHERE deleted_at IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS notifications_deleted_idx;
CREATE INDEX CONCURRENTLY notifications_deleted_idx ON notifications (deleted_at) WHERE deleted_at IS NOT NULL;
DROP TABLE IF EXISTS pg_temp.notifications;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS notifications_live_idx;
DROP INDEX CONCURRENTLY IF EXISTS notifications_deleted_idx;
