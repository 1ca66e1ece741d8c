-- Which index serves each table behind notifications, and what builds it where none does: SELECT * FROM notification_cleanup_indexes();
CREATE OR REPLACE FUNCTION notification_cleanup_indexes()
RETURNS TABLE (relation regclass, purpose text, index regclass, statement text)
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off SET jit = off
SET enable_indexscan = off SET enable_indexonlyscan = off SET enable_bitmapscan = off SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_explained json;
    v_plan jsonb;
BEGIN
    -- A scan names the table behind any view, its columns and its condition.
    EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) SELECT n.user_id, n.deleted_at INTO v_explained FROM notifications AS n;
    v_plan := v_explained::jsonb;
    PERFORM set_config(s.name, 'on', true) FROM unnest(ARRAY['enable_indexscan', 'enable_indexonlyscan', 'enable_bitmapscan']) AS s (name);
    IF v_plan #>> '{0,Plan,Node Type}' NOT IN ('Append', 'Seq Scan') OR v_plan::text LIKE '%"Subplan Name"%' THEN RETURN; END IF;  -- of many tables
    RETURN QUERY
    WITH tables AS MATERIALIZED (  -- and the partitioned one, from whose index a partition yet to come gets its own
        SELECT t.oid, t.is_leaf, format('%s.%I', c.relnamespace::regnamespace, c.relname) AS name, p.purpose, w.key, w.condition,
            string_to_array(translate(w.condition, '()', ''), ' AND ') AS terms
        FROM jsonb_path_query(v_plan, 'strict $[0].Plan.**{0 to 2} ? (@."Node Type" == "Seq Scan")') AS s (scan)
        CROSS JOIN (VALUES ('live', 0, 'NULL'), ('deleted', 1, 'NOT NULL')) AS p (purpose, number, value)
        CROSS JOIN LATERAL (  -- without the alias: the pattern matches that, or a whole literal
            SELECT '(''[^'']*'')|(?<!\w)' || regexp_replace(quote_ident(s.scan ->> 'Alias'), '(\W)', '\\\1', 'g') || '\.'
        ) AS a (pattern)
        CROSS JOIN LATERAL (
            SELECT regexp_replace(s.scan -> 'Output' ->> p.number, a.pattern, '\1', 'g'),
                regexp_replace(format('(%s IS %s)', s.scan #>> '{Output,1}', p.value) || coalesce(' AND ' || (s.scan ->> 'Filter'), ''), a.pattern, '\1', 'g')
        ) AS w (key, condition)
        CROSS JOIN LATERAL to_regclass(format('%I.%I', s.scan ->> 'Schema', s.scan ->> 'Relation Name')) AS leaf
        CROSS JOIN LATERAL (
            SELECT leaf, true UNION
            SELECT coalesce((SELECT n.oid FROM pg_class AS n WHERE n.oid = 'notifications'::regclass AND n.relkind <> 'v'), pg_partition_root(leaf)), false
        ) AS t (oid, is_leaf)
        JOIN pg_class AS c ON c.oid = t.oid
        WHERE t.is_leaf OR t.oid <> leaf
    ),
    found AS (
        SELECT DISTINCT ON (t.purpose, t.oid) t.*, i.indexrelid, i.indisvalid, coalesce(i.indnatts = 1 AND NOT i.indisunique AND i.terms @> t.terms, true) AS exact
        FROM tables AS t
        LEFT JOIN LATERAL (
            SELECT i.*, string_to_array(translate(pg_get_expr(i.indpred, i.indrelid), '()', ''), ' AND ') AS terms
            FROM pg_index AS i
            JOIN pg_class AS c ON c.oid = i.indexrelid AND c.relam = (SELECT m.oid FROM pg_am AS m WHERE m.amname = 'btree')
            WHERE i.indrelid = t.oid AND pg_get_indexdef(i.indexrelid, 1, false) IN (t.key, '(' || t.key || ')')
        ) AS i ON i.terms @> t.terms AND i.terms <@ t.terms OR t.purpose = 'deleted' AND coalesce(i.terms <@ t.terms, i.indrelid IS NOT NULL)
        ORDER BY t.purpose, t.oid, i.indisvalid DESC, i.indexrelid
    )
    SELECT f.oid::regclass, CASE WHEN f.is_leaf THEN f.purpose END, CASE WHEN f.indisvalid THEN f.indexrelid::regclass END,
        CASE
            WHEN f.is_leaf AND NOT f.indisvalid THEN format('REINDEX INDEX CONCURRENTLY %s', f.indexrelid::regclass)
            WHEN f.indexrelid IS NULL AND (f.is_leaf OR bool_and(f.exact) OVER (PARTITION BY f.purpose)) THEN
                -- Once each partition has its index, that of the partitioned table only takes them.
                format(CASE WHEN f.is_leaf THEN 'CREATE INDEX CONCURRENTLY ' ELSE 'SET LOCAL statement_timeout = ''2s''; CREATE INDEX ' END || '%sON %s (%s) WHERE %s',
                    CASE WHEN f.oid = 'notifications'::regclass THEN 'notifications_' || f.purpose || '_idx ' END, f.name, f.key, f.condition)
        END
    FROM found AS f
    ORDER BY f.purpose DESC, f.is_leaf DESC, f.oid;
END
$$;
COMMENT ON FUNCTION notification_cleanup_indexes() IS
'For each table or partition behind notifications, and each purpose (live: find and rank; deleted: purge and undo), the valid index that serves, or NULL and what builds it.
A partitioned table itself has no purpose, and comes behind its partitions: its index is for partitions to come. In psql: SELECT statement FROM notification_cleanup_indexes() WHERE statement IS NOT NULL \gexec';
REVOKE ALL ON FUNCTION notification_cleanup_indexes() FROM PUBLIC;
