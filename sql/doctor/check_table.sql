-- sql/doctor/check_table.sql: the table must still be what it was when it was adopted. The routines
-- are made for its columns, and their types are those of our domains.
WITH wanted (name) AS (
    VALUES
        ('id'::name),
        ('user_id'),
        ('created_at'),
        ('status'),
        ('deleted_at'),
        ('ctid'),
        ('tableoid')
),
columns AS (
    SELECT
        w.name,
        c.oid AS relation,
        c.relkind,
        a.attnum,
        format_type(a.atttypid, a.atttypmod) AS type_name,
        t.typname AS domain_name,
        format_type(t.typbasetype, t.typtypmod) AS domain_type
    FROM wanted AS w
    LEFT JOIN pg_class AS c ON c.oid = to_regclass('notifications')
    LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid
        AND a.attname = w.name
    LEFT JOIN pg_type AS t ON t.oid = to_regtype('notification_' || w.name)
        AND w.name IN ('id', 'user_id', 'created_at')
),
problems AS (
    SELECT CASE
        WHEN c.attnum IS NULL THEN format('%s is missing', c.name)
        WHEN c.type_name <> c.domain_type
            THEN format('%s is not of type %s', c.name, c.domain_name)
        WHEN c.name = 'deleted_at'
            AND NOT pg_column_is_updatable(c.relation, c.attnum, false)
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
    END AS problem
    FROM columns AS c
)
SELECT
    CASE WHEN count(p.problem) = 0 THEN 'ok' ELSE 'failure' END AS severity,
    string_agg(p.problem, '; ' ORDER BY p.problem) AS found,
    'Undo that, or adopt it as it is now: notification-cleanup migrate down, and up.' AS advice
FROM problems AS p;
