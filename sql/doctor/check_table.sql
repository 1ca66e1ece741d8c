-- sql/doctor/check_table.sql: the table must still be what it was when it was adopted. The routines
-- are made for its columns, and their types are those of our domains.
WITH columns AS (
    SELECT
        c.oid AS relation,
        c.relkind,
        wanted.name,
        a.attnum
    FROM (VALUES
        ('id'::name),
        ('deleted_at'),
        ('ctid'),
        ('tableoid')
    ) AS wanted (name)
    LEFT JOIN pg_class AS c ON c.oid = to_regclass('notifications')
    LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid
        AND a.attname = wanted.name
),
problems AS (
    SELECT p.problem
    FROM notification_column_problems() AS p
    UNION ALL
    SELECT 'the view hides what is soft-deleted, so that nothing can be restored or purged'
    WHERE notification_view_hides_deleted()
    UNION ALL
    SELECT CASE
        WHEN c.attnum IS NULL
            AND c.name IN ('ctid', 'tableoid')
            THEN format('%s is missing', c.name)
        WHEN c.name = 'deleted_at'
            AND NOT pg_column_is_updatable(c.relation::regclass, c.attnum, false)
            THEN 'deleted_at cannot be updated'
        WHEN c.name = 'id'
            AND c.relkind <> 'v'
            AND NOT EXISTS (
                SELECT
                FROM pg_index AS i
                WHERE i.indrelid = c.relation
                    AND i.indisunique
                    AND i.indisvalid
                    AND i.indpred IS NULL
                    AND c.attnum = ANY (i.indkey)
            )
            THEN 'id has no unique index'
    END
    FROM columns AS c
)
SELECT
    CASE WHEN count(p.problem) = 0 THEN 'ok' ELSE 'failure' END AS severity,
    string_agg(p.problem, '; ' ORDER BY p.problem) AS found,
    'Undo that, or adopt it as it is now: notification-cleanup migrate adopt.' AS advice
FROM problems AS p;
