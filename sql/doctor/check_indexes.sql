-- sql/doctor/check_indexes.sql: without an index for live notifications each run reads the whole
-- table, and without one for deleted ones undo and purge do. Both work, but slowly.
SELECT
    CASE
        WHEN bool_and(i.index IS NOT NULL) IS NOT FALSE THEN 'ok'
        ELSE 'warning'
    END AS severity,
    string_agg(
        format('%s has no valid one for %s notifications', i.relation, i.purpose),
        '; '
    ) FILTER (WHERE i.index IS NULL) AS found,
    coalesce(
        string_agg(i.statement || ';', ' '),
        'Build one on what the view shows as user_id, WHERE what it shows as deleted_at IS NULL; '
        'and one on what it shows as deleted_at.'
    ) AS advice
FROM notification_cleanup_indexes() AS i
WHERE i.purpose IS NOT NULL;
