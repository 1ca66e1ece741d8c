-- The index for purge and undo, over the soft-deleted notifications alone: one timestamp a run deduplicates well.
-- Built like the live index.

-- +goose NO TRANSACTION
-- +goose Up
DROP TABLE IF EXISTS pg_temp.notifications;
-- +goose StatementBegin
DO $$
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = to_regclass('notifications')) <> 'r' THEN
        CREATE TEMPORARY TABLE notifications (deleted_at timestamptz);
        RAISE WARNING USING
            MESSAGE = 'notifications is a view or a partitioned table: the index for purge and undo is left to you',
            HINT = 'On its table, or on each partition: CREATE INDEX CONCURRENTLY ON ... (deleted_at) WHERE deleted_at IS NOT NULL';
    END IF;
END
$$;
-- +goose StatementEnd
DROP INDEX CONCURRENTLY IF EXISTS notifications_deleted_idx;
CREATE INDEX CONCURRENTLY notifications_deleted_idx ON notifications (deleted_at) WHERE deleted_at IS NOT NULL;
DROP TABLE IF EXISTS pg_temp.notifications;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS notifications_deleted_idx;
