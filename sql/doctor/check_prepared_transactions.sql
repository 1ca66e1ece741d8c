-- sql/doctor/check_prepared_transactions.sql: what a prepared transaction holds is skipped by every
-- run, and VACUUM cannot clean up behind it, whatever it has touched, until somebody ends it: no
-- restart does.
WITH prepared AS (
    SELECT
        p.gid,
        p.owner,
        date_trunc('second', p.prepared) AS since,
        EXISTS (
            SELECT
            FROM pg_locks AS own
            JOIN pg_locks AS held ON held.virtualtransaction = own.virtualtransaction
                AND held.pid IS NULL
                AND held.mode <> 'AccessShareLock'
            JOIN notification_tables() AS t ON t.relation = held.relation
            WHERE own.transactionid = p.transaction
                AND own.pid IS NULL
                AND own.mode = 'ExclusiveLock'
        ) AS holds_notifications,
        EXISTS (
            SELECT
            FROM notification_tables() AS t
            JOIN pg_stat_all_tables AS s ON s.relid = t.relation
            WHERE greatest(s.last_vacuum, s.last_autovacuum) > p.prepared
        ) AS met_by_vacuum
    FROM pg_prepared_xacts AS p
    WHERE p.database = current_database()
        AND p.prepared < now() - interval '1 second'
)
SELECT
    CASE
        WHEN bool_or(p.holds_notifications OR p.met_by_vacuum) THEN 'warning'
        WHEN count(*) > 0 THEN 'note'
        ELSE 'ok'
    END AS severity,
    string_agg(
        format(
            '%L of %s since %s%s%s',
            p.gid,
            p.owner,
            p.since,
            CASE WHEN p.holds_notifications THEN ', holds notifications' END,
            CASE WHEN p.met_by_vacuum THEN ', and VACUUM has come since' END
        ),
        '; '
    ) AS found,
    'What it holds is skipped, and until it ends VACUUM removes nothing that was deleted since. '
    'If whoever prepared it does not end it: '
    || string_agg(format('ROLLBACK PREPARED %L;', p.gid), ' ') AS advice
FROM prepared AS p;
