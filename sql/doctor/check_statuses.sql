-- sql/doctor/check_statuses.sql: only 'read' is deletable, written exactly so. Where the
-- application writes READ, or 1, nothing ever goes. A sample tells.
WITH sampled AS (
    SELECT
        s.status,
        sum(s.notifications) AS notifications,
        row_number() OVER (ORDER BY sum(s.notifications) DESC, s.status) AS number
    FROM sample_notifications() AS s
    WHERE s.deletion IS NULL
    GROUP BY s.status
)
SELECT
    CASE
        WHEN NOT coalesce(bool_or(s.status = 'read'), false)
            AND bool_or(s.status IS DISTINCT FROM 'unread')
            THEN 'warning'
        ELSE 'ok'
    END AS severity,
    format(
        'of %s live notifications looked at: %s',
        coalesce(sum(s.notifications), 0),
        coalesce(
            string_agg(
                format('%L %s', s.status, s.notifications),
                ', '
                ORDER BY s.number
            ) FILTER (WHERE s.number <= 5),
            'none'
        )
    ) AS found,
    'A run deletes those with status ''read'' only, so it may find nothing. Where the application '
    'writes that otherwise, let '
    || CASE
        WHEN EXISTS (
            SELECT
            FROM pg_class AS c
            WHERE c.oid = to_regclass('notifications')
                AND c.relkind = 'v'
        ) THEN 'the view'
        ELSE 'a view'
    END
    || ' show it as ''read''.' AS advice
FROM sampled AS s;
