-- sql/doctor/check_max_wal_size.sql: a backlog that writes more WAL than max_wal_size forces
-- checkpoints, after each of which every page is written in full once more. A run writes each page
-- that it touches in full, and a new version of each row.
WITH limits AS (
    SELECT
        r.max_notifications,
        r.min_keep,
        r.id
    FROM notification_cleanup_runs AS r
    UNION ALL
    SELECT
        1000,
        100,
        0
),
last_limits AS (
    SELECT
        l.max_notifications,
        l.min_keep
    FROM limits AS l
    -- A preview refuses these; they are what the check of the table is about.
    WHERE NOT EXISTS (SELECT FROM notification_column_problems())
    ORDER BY l.id DESC
    LIMIT 1
),
backlog AS (
    SELECT coalesce(sum(p.deletable_notifications), 0) AS rows
    FROM last_limits AS l
    CROSS JOIN preview_notification_cleanup(l.max_notifications, l.min_keep) AS p
),
size AS (
    SELECT
        sum(pg_relation_size(t.relation)) AS table_bytes,
        sum(pg_relation_size(t.relation) + pg_indexes_size(t.relation)) AS all_bytes,
        sum(greatest(c.reltuples, 0))::numeric AS rows
    FROM notification_tables() AS t
    JOIN pg_class AS c ON c.oid = t.relation
    WHERE t.is_leaf
),
written AS (
    SELECT
        b.rows,
        ceil(
            least(b.rows * current_setting('block_size')::numeric, s.all_bytes)
            + b.rows * coalesce(s.table_bytes / nullif(s.rows, numeric '0'), 0)
        )::bigint AS bytes
    FROM backlog AS b
    CROSS JOIN size AS s
)
SELECT
    CASE
        WHEN w.bytes > pg_size_bytes(current_setting('max_wal_size')) THEN 'warning'
        ELSE 'ok'
    END AS severity,
    format(
        '%s; %s%s',
        current_setting('max_wal_size'),
        CASE
            WHEN w.rows = numeric '0' THEN 'there is nothing to delete'
            ELSE format('deleting %s writes about %s', w.rows, pg_size_pretty(w.bytes))
        END,
        -- On Citus the coordinator knows the size of its own tables only.
        CASE
            WHEN w.rows > numeric '0' AND notification_shards('{}') IS NOT NULL
                THEN ' here, and the rest on the workers'
        END
    ) AS found,
    'Raise it for the first run, switch wal_compression on, or spread that over some nights with a '
    'time limit.' AS advice
FROM written AS w;
