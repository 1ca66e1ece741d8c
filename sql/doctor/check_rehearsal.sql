-- sql/doctor/check_rehearsal.sql: what fails when it is tried with one notification fails at night.
-- All of it is taken back.
WITH steps AS MATERIALIZED (
    SELECT
        r.*,
        concat_ws(
            ': ',
            r.step,
            nullif(r.outcome, 'works'),
            nullif(r.message, ''),
            nullif(r.detail, '')
        ) AS told
    FROM rehearse_notification_cleanup() AS r
)
SELECT
    CASE
        WHEN bool_or(s.outcome IN ('fails', 'kept')) THEN 'failure'
        WHEN bool_or(s.outcome = 'refused') THEN 'warning'
        WHEN bool_and(s.outcome = 'works') THEN 'ok'
        ELSE 'note'
    END AS severity,
    string_agg(s.told, '; ')
    || CASE
        WHEN bool_or(s.outcome NOT IN ('not tried', 'accepted'))
            THEN '. What stays is what triggers did outside of the database or with sequences, '
                'and dead rows.'
        ELSE ''
    END AS found,
    concat_ws(
        ' ',
        string_agg(DISTINCT s.advice, ' '),
        'To see it: SELECT * FROM rehearse_notification_cleanup();'
    ) AS advice
FROM steps AS s;
