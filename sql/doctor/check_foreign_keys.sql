-- sql/doctor/check_foreign_keys.sql: for each notification that is purged the server looks for rows
-- of other tables that refer to it. Without an index it reads all of such a table each time.
WITH keys AS (
    SELECT
        k.conrelid::regclass AS relation,
        k.confdeltype IN ('a', 'r') AS keeps,  -- NO ACTION, RESTRICT
        first_column.attname,
        EXISTS (
            SELECT
            FROM pg_index AS i
            WHERE i.indrelid = k.conrelid
                AND i.indisvalid
                AND i.indpred IS NULL
                AND i.indkey[0] = ANY (k.conkey)
        ) AS has_index,
        (
            SELECT sum(pg_relation_size(part.oid) / current_setting('block_size')::bigint)
            FROM (
                SELECT k.conrelid AS oid
                UNION
                SELECT tree.relid
                FROM pg_partition_tree(k.conrelid) AS tree
            ) AS part
        ) AS pages
    FROM pg_constraint AS k
    JOIN notification_tables() AS t ON t.relation = k.confrelid
    JOIN pg_attribute AS first_column ON first_column.attrelid = k.conrelid
        AND first_column.attnum = k.conkey[1]
    WHERE k.contype = 'f'
        AND k.conparentid = oid '0'
)
SELECT
    CASE
        WHEN bool_or(NOT k.has_index AND k.pages >= 1000) THEN 'warning'
        WHEN bool_or(k.keeps OR NOT k.has_index) THEN 'note'
        ELSE 'ok'
    END AS severity,
    string_agg(
        format(
            '%s refers to notifications%s%s',
            k.relation,
            CASE WHEN k.keeps THEN ', and keeps those from being purged' END,
            CASE
                WHEN NOT k.has_index
                    THEN format(
                        ', and has no index for that: each one purged reads %s pages',
                        k.pages
                    )
            END
        ),
        '; '
        ORDER BY k.relation::text
    ) FILTER (WHERE k.keeps OR NOT k.has_index) AS found,
    string_agg(
        format('CREATE INDEX CONCURRENTLY ON %s (%I);', k.relation, k.attname),
        ' '
        ORDER BY k.relation::text
    ) FILTER (WHERE NOT k.has_index) AS advice
FROM keys AS k;
