-- sql/doctor/check_run_ids.sql: logical replication and a restore of the rows alone do not carry
-- sequences. Then each new run would get the number of an old one.
WITH history AS (
    SELECT coalesce(max(r.id), bigint '0') AS newest
    FROM notification_cleanup_runs AS r
),
numbers AS (
    SELECT
        has_sequence_privilege(s.oid, 'SELECT, USAGE') AS is_known,
        coalesce(p.last_value, bigint '0') AS last_value
    FROM pg_class AS s
    JOIN pg_namespace AS n ON n.oid = s.relnamespace
    JOIN pg_sequences AS p ON p.schemaname = n.nspname
        AND p.sequencename = s.relname
    WHERE s.oid = pg_get_serial_sequence('notification_cleanup_runs', 'id')::regclass
)
SELECT
    CASE
        WHEN NOT n.is_known THEN 'note'
        WHEN n.last_value < h.newest THEN 'failure'
        ELSE 'ok'
    END AS severity,
    CASE
        WHEN NOT n.is_known THEN 'not known: this role may not see the sequence'
        WHEN n.last_value < h.newest
            THEN format('new runs begin after %s, but there is run %s', n.last_value, h.newest)
    END AS found,
    CASE WHEN n.is_known THEN 'As the owner: ' || cleanup_run_ids_repair() END AS advice
FROM history AS h
CROSS JOIN numbers AS n;
