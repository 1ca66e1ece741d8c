-- sql/doctor/check_prepared_transactions.sql: what a prepared transaction holds is skipped by every
-- run, and VACUUM cannot clean up behind it, until somebody ends it: no restart does.
WITH holders AS (
    SELECT
        p.gid,
        p.owner,
        date_trunc('second', p.prepared) AS since
    FROM pg_prepared_xacts AS p
    WHERE p.database = current_database()
        AND p.prepared < now() - interval '1 second'
        AND EXISTS (
            SELECT
            FROM pg_locks AS own
            JOIN pg_locks AS held ON held.virtualtransaction = own.virtualtransaction
                AND held.pid IS NULL
                AND held.mode <> 'AccessShareLock'
            JOIN notification_tables() AS t ON t.relation = held.relation
            WHERE own.transactionid = p.transaction
                AND own.pid IS NULL
                AND own.mode = 'ExclusiveLock'
        )
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END AS severity,
    string_agg(
        format('%L of %s since %s', h.gid, h.owner, h.since),
        '; '
    ) AS found,
    'What it holds is skipped. If whoever prepared it does not end it: '
    || string_agg(format('ROLLBACK PREPARED %L;', h.gid), ' ') AS advice
FROM holders AS h;
