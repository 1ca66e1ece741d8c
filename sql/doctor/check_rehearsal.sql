-- sql/doctor/check_rehearsal.sql: what fails when it is tried with one notification fails at night.
-- All of it is taken back.
WITH results AS MATERIALIZED (
    SELECT
        min(r.number) AS number,
        r.outcome,
        r.advice,
        concat_ws(
            ': ',
            string_agg(r.step, ', ' ORDER BY r.number),
            -- The message of the others tells it.
            CASE WHEN r.outcome NOT IN ('works', 'accepted') THEN r.outcome END,
            nullif(r.message, ''),
            nullif(rtrim(r.detail, '.'), '')
        ) AS told
    FROM rehearse_notification_cleanup() WITH ORDINALITY
        AS r (step, outcome, sqlstate, message, detail, advice, number)
    GROUP BY
        r.outcome,
        r.message,
        r.detail,
        r.advice
)
SELECT
    CASE
        WHEN bool_or(r.outcome IN ('fails', 'kept')) THEN 'failure'
        WHEN bool_or(r.outcome = 'refused') THEN 'warning'
        WHEN bool_and(r.outcome = 'works') THEN 'ok'
        ELSE 'note'
    END AS severity,
    string_agg(r.told, '; ' ORDER BY r.number)
    || CASE
        WHEN bool_or(r.outcome NOT IN ('not tried', 'accepted'))
            THEN '. What stays is what triggers did outside of the database or with sequences, '
                'and dead rows.'
        ELSE ''
    END AS found,
    string_agg(DISTINCT r.advice, ' ')
    || ' To see it: SELECT * FROM rehearse_notification_cleanup();' AS advice
FROM results AS r;
