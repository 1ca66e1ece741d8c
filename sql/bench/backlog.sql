-- Drains a backlog by cleanup_notifications_in_batches(), undoes it, drains it again, purges a part, and checks the counts.
\set ON_ERROR_STOP on
\set VERBOSITY terse
\pset footer off
SET client_min_messages = warning;
\timing on

\echo '-- find users over the limit'
SELECT * FROM notification_stats();
\echo '-- preview'
SELECT count(*) AS users_over_limit, sum(deletable_notifications) AS notifications_deletable FROM preview_notification_cleanup() \gset
\echo :notifications_deletable deletable notifications of :users_over_limit users
\echo '-- drain'
CALL cleanup_notifications_in_batches();
\echo '-- nothing to do, before and after a VACUUM'
CALL cleanup_notifications_in_batches();
\timing off
VACUUM notifications;
\timing on
CALL cleanup_notifications_in_batches();
\echo '-- undo'
SELECT restore_notifications(1);
\echo '-- drain again, on a table with dead rows'
CALL cleanup_notifications_in_batches();
\echo '-- purge 10000, by the index'
\timing off
UPDATE notifications SET deleted_at = deleted_at - interval '31 days' WHERE deleted_at IS NOT NULL;
VACUUM ANALYZE notifications;
\timing on
SELECT purge_notifications();
\timing off

SELECT
    id,
    users_over_limit,
    users_still_over_limit,
    notifications_deleted,
    notifications_restored,
    round(extract(epoch FROM finished_at - started_at), 1) AS seconds,
    round(notifications_deleted / nullif(extract(epoch FROM finished_at - started_at), 0)) AS notifications_per_second
FROM notification_cleanup_runs
ORDER BY id;

SELECT array_agg(notifications_deleted ORDER BY id) = ARRAY[:notifications_deletable, 0, 0, :notifications_deletable]::bigint[] AS counts_are_right
FROM notification_cleanup_runs
\gset
\if :counts_are_right
\else
    DO $$ BEGIN RAISE EXCEPTION 'the runs did not delete what the preview said'; END $$;
\endif
