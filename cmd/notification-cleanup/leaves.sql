SELECT
    coalesce(sum(r.notifications_deleted - r.notifications_restored), 0)::bigint AS soft_deleted,
    (
        SELECT min(format(
            'process %s (%s, %s) is at work on a run',
            a.pid,
            coalesce(nullif(a.application_name, ''), 'no name'),
            a.usename
        ))
        FROM pg_stat_activity AS a
        WHERE a.datname = current_database()
            AND a.pid <> pg_backend_pid()
            AND (
                a.query LIKE '%cleanup\_next\_batch%'
                OR a.query LIKE '%cleanup\_notifications\_in\_batches%'
            )
            AND EXISTS (
                SELECT
                FROM notification_cleanup_batches AS b
                WHERE b.done_at IS NULL
            )
    ) AS under_way
FROM notification_cleanup_runs AS r
