-- sql/doctor/check_deletions.sql: a notification is live only while deleted_at IS NULL. Where the
-- application marks live ones by another value, infinity say, no run ever sees one, and a purge
-- may take them. A sample tells.
WITH sampled AS (
    SELECT
        coalesce(sum(s.notifications), 0)::bigint AS notifications,
        coalesce(sum(s.notifications) FILTER (WHERE s.deletion IS NULL), 0)::bigint AS live,
        coalesce(
            sum(s.notifications) FILTER (WHERE s.deletion = 'never'),
            0
        )::bigint AS never_deleted
    FROM sample_notifications() AS s
)
SELECT
    CASE
        WHEN s.never_deleted = 0 THEN 'ok'
        WHEN s.never_deleted = s.notifications THEN 'failure'
        WHEN s.never_deleted > (s.notifications - s.live) / 2 THEN 'warning'
        ELSE 'note'
    END AS severity,
    format(
        'of %s notifications looked at %s are live, and %s have a deleted_at before they were '
        'created or in the future',
        s.notifications,
        s.live,
        s.never_deleted
    ) AS found,
    'A run takes a notification for live only where deleted_at IS NULL, and a purge deletes for '
    'good what has an old one. If these are not deleted, do not purge: set it to NULL, and let '
    'the application write NULL.' AS advice
FROM sampled AS s;
