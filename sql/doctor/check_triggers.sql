-- sql/doctor/check_triggers.sql: a trigger that fires when deleted_at is set fires for each
-- notification of a run, and whatever it waits for, the run waits for. Whether it lets the run do
-- its work, the rehearsal tells.
WITH firing AS (
    SELECT format('%s of %s fires', t.tgname, t.tgrelid::regclass) AS description
    FROM pg_trigger AS t
    JOIN notification_tables() AS behind ON behind.relation = t.tgrelid
    WHERE NOT t.tgisinternal
        AND t.tgparentid = 0
        AND t.tgenabled IN ('O', 'A')
        AND t.tgtype & 16 > 0  -- UPDATE
        AND (
            cardinality(t.tgattr::smallint[]) = 0
            OR EXISTS (
                SELECT
                FROM pg_attribute AS a
                WHERE a.attrelid = t.tgrelid
                    AND a.attnum = ANY (t.tgattr)
                    AND a.attname = 'deleted_at'
            )
        )
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'note' END AS severity,
    string_agg(f.description, '; ') AS found,
    'Let it be cheap and wait for nobody, or limit it to UPDATE OF other columns.' AS advice
FROM firing AS f;
