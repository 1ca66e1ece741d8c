-- Which index the planner has for each table behind notifications, for each of two purposes.
--
--     SELECT * FROM notification_index_scans();
CREATE OR REPLACE FUNCTION notification_index_scans()
RETURNS TABLE (
    relation regclass,
    purpose text,
    index regclass
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- The whole table, a bitmap and a sort cost more than any index that serves.
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_live json;
    v_deleted json;
BEGIN
    -- Live notifications are counted from an index alone. The order keeps out an index that finds
    -- them without their users.
    EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON)
    SELECT n.user_id
    INTO v_live
    FROM notifications AS n
    WHERE n.deleted_at IS NULL
    ORDER BY n.user_id;
    -- Purge reads the oldest ones first, and undo those of one moment. No partition by time is left
    -- out: all of them are before infinity.
    EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON)
    SELECT n.deleted_at
    INTO v_deleted
    FROM notifications AS n
    WHERE n.deleted_at < 'infinity'
    ORDER BY n.deleted_at;

    RETURN QUERY
    WITH RECURSIVE nodes (purpose, node, is_sorted) AS (
        SELECT
            plan.purpose,
            plan.node,
            false
        FROM (VALUES
            ('live', v_live::jsonb #> '{0,Plan}'),
            ('deleted', v_deleted::jsonb #> '{0,Plan}')
        ) AS plan (purpose, node)
        UNION ALL
        SELECT
            parent.purpose,
            child.node,
            parent.is_sorted OR parent.node ->> 'Node Type' = 'Sort'
        FROM nodes AS parent
        CROSS JOIN jsonb_array_elements(parent.node -> 'Plans') AS child (node)
    ),
    -- An index is in the schema of its table.
    scans AS (
        SELECT
            t.relation,
            s.purpose,
            s.node,
            s.is_sorted,
            to_regclass(s.schema || quote_ident(s.node ->> 'Index Name')) AS index
        FROM (
            SELECT
                n.*,
                quote_ident(n.node ->> 'Schema') || '.' AS schema
            FROM nodes AS n
        ) AS s
        JOIN notification_tables() AS t ON t.is_leaf
            AND t.relation = to_regclass(s.schema || quote_ident(s.node ->> 'Relation Name'))
    )
    SELECT
        s.relation,
        s.purpose,
        max(s.index::oid) FILTER (
            WHERE CASE s.purpose
                -- The index alone, and not one of all notifications whose entries are filtered. A
                -- partial index that the planner takes has no other; a filter is that of a view.
                WHEN 'live' THEN
                    s.node ->> 'Node Type' = 'Index Only Scan'
                    AND (NOT s.node ? 'Filter' OR s.node ? 'Index Cond' OR i.indpred IS NOT NULL)
                WHEN 'deleted' THEN
                    s.node ? 'Index Cond'
                    AND NOT s.is_sorted
            END
        )::regclass
    FROM scans AS s
    LEFT JOIN pg_index AS i ON i.indexrelid = s.index
    GROUP BY
        s.relation,
        s.purpose;
END
$$;
COMMENT ON FUNCTION notification_index_scans() IS
'For each table behind notifications that has any rows to look at, and each purpose (live: find '
'and count; deleted: purge and undo), the index by which the planner reads them, or NULL where '
'none serves. For notification_cleanup_indexes(), which is what to call.';
