-- Which index serves each table behind notifications, and what builds it where none does.
--
--     SELECT * FROM notification_cleanup_indexes();
CREATE OR REPLACE FUNCTION notification_cleanup_indexes()
RETURNS TABLE (
    relation regclass,
    purpose text,
    index regclass,
    statement text
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
-- It compares what the server prints of an index.
SET quote_all_identifiers = off
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    WITH templates AS MATERIALIZED (
        SELECT
            t.*,
            format(
                '%sON %I.%I (%s)%s WHERE %s',
                CASE WHEN c.oid = 'notifications'::regclass THEN free_name.name || ' ' END,
                namespace.nspname,
                c.relname,
                -- An expression stands in parentheses of its own.
                CASE WHEN cardinality(t.included) > 0 THEN format('(%s)', t.key) ELSE t.key END,
                ' INCLUDE (' || nullif(array_to_string(t.included, ', '), '') || ')',
                t.condition
            ) AS definition
        FROM notification_index_templates() AS t
        JOIN pg_class AS c ON c.oid = t.relation
        JOIN pg_namespace AS namespace ON namespace.oid = c.relnamespace
        -- An index of the first name may be on a table that was renamed, or on another one.
        CROSS JOIN LATERAL (
            SELECT candidate.name
            FROM generate_series(0, 9) AS number
            CROSS JOIN LATERAL (
                SELECT concat('notifications_', t.purpose, '_idx', nullif(number, 0))
            ) AS candidate (name)
            WHERE NOT EXISTS (
                SELECT
                FROM pg_class AS holder
                WHERE holder.relnamespace = c.relnamespace
                    AND holder.relname = candidate.name
            )
            ORDER BY number
            LIMIT 1
        ) AS free_name
    ),
    -- Indexes that are just like the template, and those that a failure has left invalid, also with
    -- more columns behind.
    alike AS MATERIALIZED (
        SELECT
            t.relation,
            t.purpose,
            i.indexrelid AS index,
            i.indisvalid AS is_valid,
            format('%I.%I', namespace.nspname, c.relname) AS name
        FROM templates AS t
        JOIN pg_index AS i ON i.indrelid = t.relation
            AND NOT i.indisunique
            AND (
                i.indnkeyatts = 1
                AND i.indnatts = 1 + cardinality(t.included)
                OR NOT i.indisvalid
                AND cardinality(t.included) = 0
            )
            AND pg_get_indexdef(i.indexrelid, 1, false) IN (t.key, format('(%s)', t.key))
            AND pg_get_expr(i.indpred, i.indrelid) = t.condition
        JOIN pg_class AS c ON c.oid = i.indexrelid
        JOIN pg_am AS m ON m.oid = c.relam
            AND m.amname = 'btree'
        JOIN pg_namespace AS namespace ON namespace.oid = c.relnamespace
    ),
    leaves AS MATERIALIZED (
        SELECT
            s.relation,
            s.purpose,
            coalesce(s.index, valid.index) AS index,
            valid.index IS NOT NULL AS has_alike,
            invalid.name AS invalid
        FROM notification_index_scans() AS s
        LEFT JOIN LATERAL (
            SELECT min(a.index)::regclass AS index
            FROM alike AS a
            WHERE a.relation = s.relation
                AND a.purpose = s.purpose
                AND a.is_valid
        ) AS valid ON true
        LEFT JOIN LATERAL (
            SELECT min(a.name) AS name
            FROM alike AS a
            WHERE a.relation = s.relation
                AND a.purpose = s.purpose
                AND NOT a.is_valid
        ) AS invalid ON true
    ),
    -- The partitioned table, from whose index a partition yet to come gets its own.
    roots AS (
        SELECT
            t.relation,
            t.purpose,
            t.definition,
            (
                SELECT i.indexrelid::regclass
                FROM pg_index AS i
                WHERE i.indrelid = t.relation
                    AND (
                        i.indexrelid IN (
                            SELECT a.index
                            FROM alike AS a
                            WHERE a.purpose = t.purpose
                        )
                        OR i.indexrelid IN (
                            SELECT pg_partition_root(l.index)
                            FROM leaves AS l
                            WHERE l.purpose = t.purpose
                        )
                    )
                ORDER BY
                    i.indisvalid DESC,
                    i.indexrelid
                LIMIT 1
            ) AS index
        FROM templates AS t
        JOIN pg_class AS c ON c.oid = t.relation
            AND c.relkind = 'p'
        WHERE NOT EXISTS (
            SELECT
            FROM pg_inherits AS i
            JOIN notification_tables() AS parent ON parent.relation = i.inhparent
            WHERE i.inhrelid = t.relation
        )
    ),
    found AS (
        SELECT
            l.relation,
            l.purpose,
            l.index,
            true AS is_leaf,
            CASE
                WHEN l.index IS NOT NULL THEN NULL
                WHEN l.invalid IS NOT NULL THEN 'REINDEX INDEX CONCURRENTLY ' || l.invalid
                ELSE 'CREATE INDEX CONCURRENTLY ' || t.definition
            END AS statement
        FROM leaves AS l
        LEFT JOIN templates AS t ON t.relation = l.relation
            AND t.purpose = l.purpose
        UNION ALL
        SELECT
            r.relation,
            r.purpose,
            valid.indexrelid::regclass,
            false,
            -- Once each partition has its index, that of the partitioned table only takes them.
            -- Where another index serves a partition, this one would be built there, and would
            -- stop everybody meanwhile.
            CASE
                WHEN r.index IS NULL AND NOT EXISTS (
                    SELECT
                    FROM leaves AS l
                    WHERE l.purpose = r.purpose
                        AND l.index IS NOT NULL
                        AND NOT l.has_alike
                ) THEN 'SET LOCAL statement_timeout = ''2s''; CREATE INDEX ' || r.definition
            END
        FROM roots AS r
        LEFT JOIN pg_index AS valid ON valid.indexrelid = r.index
            AND valid.indisvalid
    )
    SELECT
        f.relation,
        CASE WHEN f.is_leaf THEN f.purpose END,
        f.index,
        f.statement
    FROM found AS f
    ORDER BY
        f.purpose DESC,
        f.is_leaf DESC,
        f.relation::oid;
END
$$;
COMMENT ON FUNCTION notification_cleanup_indexes() IS
E'For each table or partition behind notifications, and each purpose (live: find and rank; '
'deleted: purge and undo), the valid index that serves, or NULL and what builds it; that is NULL '
'too where a view of several tables does not tell.
A partitioned table itself has no purpose, and comes behind its partitions: its index is for '
'partitions to come. In psql: '
'SELECT statement FROM notification_cleanup_indexes() WHERE statement IS NOT NULL \\gexec';
