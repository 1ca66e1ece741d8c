-- What a monitor asks, in one row.
--
--     SELECT * FROM notification_cleanup_health;
CREATE OR REPLACE VIEW notification_cleanup_health AS
SELECT
    last_run.finished_at AS last_finished_at,
    CASE
        WHEN cleanup_suspension() IS NOT NULL THEN 'suspended'
        WHEN EXISTS (
            SELECT
            FROM notification_cleanup_open_runs AS o
            WHERE o.stopped_at IS NOT NULL
        ) THEN 'stopped'
        WHEN cleanup_time_is_ahead(newest_run.noted_at) THEN 'in the future'
        WHEN last_run.id IS NULL THEN 'never ran'
        WHEN last_run.notifications_skipped > 0 THEN 'left locked notifications'
        WHEN last_run.notifications_deleted > 0 THEN 'deleted'
        ELSE 'nothing to delete'
    END AS last_outcome,
    CASE
        WHEN last_run.id IS NOT NULL THEN greatest(
            floor(extract(epoch FROM clock_timestamp() - last_run.finished_at) / 60)::bigint,
            0
        )
    END AS minutes_since_last_finished,
    last_run.users_still_over_limit,
    (
        SELECT count(*)
        FROM notification_cleanup_runs AS r
        WHERE r.finished_at IS NULL
            AND r.started_at > now() - cleanup_run_lifetime()
            AND NOT cleanup_time_is_ahead(r.started_at)
    ) AS runs_unfinished,
    (
        SELECT coalesce(sum(r.notifications_deleted), 0)::bigint
        FROM notification_cleanup_runs AS r
        WHERE coalesce(r.finished_at, r.started_at) > (
            SELECT min(coalesce(greatest(s.last_vacuum, s.last_autovacuum), '-infinity'))
            FROM notification_tables() AS t
            JOIN pg_stat_all_tables AS s ON s.relid = t.relation
            WHERE s.n_dead_tup > 0
        )
            AND NOT cleanup_time_is_ahead(r.started_at)
    ) AS notifications_to_vacuum,
    cleanup_suspension() AS suspension,
    (
        SELECT count(*)
        FROM notification_cleanup_refused AS f
        WHERE f.refused_at > now() - interval '1 day'
    ) AS notifications_refused
FROM (VALUES (1)) AS one_row
LEFT JOIN (
    SELECT *
    FROM notification_cleanup_runs AS r
    WHERE r.finished_at IS NOT NULL
        AND NOT cleanup_time_is_ahead(r.finished_at)
    ORDER BY r.id DESC
    LIMIT 1
) AS last_run ON true
LEFT JOIN (
    SELECT greatest(r.started_at, r.finished_at) AS noted_at
    FROM notification_cleanup_runs AS r
    ORDER BY r.id DESC
    LIMIT 1
) AS newest_run ON true;
COMMENT ON VIEW notification_cleanup_health IS
'One row for a monitor: the last finished cleanup run, how long ago it was, the runs without an '
'end, and if the table needs a VACUUM.';
COMMENT ON COLUMN notification_cleanup_health.last_finished_at IS
'When the last finished run ended, of those that are not of the future; NULL if none ever did.';
COMMENT ON COLUMN notification_cleanup_health.last_outcome IS
'Of that run: deleted, nothing to delete, left locked notifications; or never ran; or stopped, '
'while a run waits for the next call to go on; or suspended, while no run may; or '
'in the future, where the newest run is, because the clock was ahead.';
COMMENT ON COLUMN notification_cleanup_health.minutes_since_last_finished IS
'Whole minutes since last_finished_at.';
COMMENT ON COLUMN notification_cleanup_health.users_still_over_limit IS
'Users that the run left over the limit.';
COMMENT ON COLUMN notification_cleanup_health.runs_unfinished IS
'Runs of the last 36 hours without an end: running now, or stopped, killed or given up before it.';
COMMENT ON COLUMN notification_cleanup_health.notifications_to_vacuum IS
'What runs have deleted since the last VACUUM of the table: until the next one, each count of live '
'notifications reads it too. When it is a tenth of them or more: VACUUM notifications. Always 0 '
'on Citus.';
COMMENT ON COLUMN notification_cleanup_health.suspension IS
'Since when, by whom and why the job is suspended; NULL where it is not.';
COMMENT ON COLUMN notification_cleanup_health.notifications_refused IS
'What undo and purge have stepped over within the last day, since a constraint or a trigger of the '
'application refuses it: notification_cleanup_refused tells which, and why.';
