-- What the two indexes of each table behind notifications are to be on.
--
--     SELECT * FROM notification_index_templates();
CREATE OR REPLACE FUNCTION notification_index_templates()
RETURNS TABLE (
    relation regclass,
    purpose text,
    key text,
    included text[],
    condition text
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
-- It compares what the server prints of an index.
SET quote_all_identifiers = off
-- Only the scan of a whole table shows what each of its columns is to the view.
SET enable_indexscan = off
SET enable_indexonlyscan = off
SET enable_bitmapscan = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_explained json;
    v_plan jsonb;
BEGIN
    IF EXISTS (
        SELECT
        FROM pg_class AS c
        WHERE c.oid = to_regclass('notifications')
            AND c.relkind <> 'v'
    ) THEN
        RETURN QUERY
        SELECT
            t.relation,
            template.purpose,
            template.key,
            ARRAY[]::text[],
            template.condition
        FROM notification_tables() AS t
        JOIN pg_class AS c ON c.oid = t.relation
            AND c.relkind IN ('r', 'p')
        CROSS JOIN (VALUES
            ('live', 'user_id', '(deleted_at IS NULL)'),
            ('deleted', 'deleted_at', '(deleted_at IS NOT NULL)')
        ) AS template (purpose, key, condition);
        RETURN;
    END IF;

    -- Behind a view the columns have other names, or are expressions. The plan has them in the
    -- words of the table; they are for printing only, for whoever owns the table.
    EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON)
    SELECT
        n.user_id,
        n.deleted_at
    INTO v_explained
    FROM notifications AS n;
    v_plan := v_explained::jsonb #> '{0,Plan}';
    IF v_plan ->> 'Node Type' = 'Seq Scan' THEN
        v_plan := jsonb_build_object('Plans', jsonb_build_array(v_plan));
    ELSIF v_plan ->> 'Node Type' <> 'Append' THEN
        RETURN;  -- The view joins several tables: there is no telling which column is whose.
    END IF;

    RETURN QUERY
    WITH scans AS (
        SELECT
            to_regclass(
                format('%I.%I', s.node ->> 'Schema', s.node ->> 'Relation Name')
            ) AS relation,
            -- Takes the alias away: the pattern matches that, or a whole literal, which stays.
            -- In E'', because standard_conforming_strings may be off.
            E'(''[^'']*'')|(?<!\\w)'
                || regexp_replace(quote_ident(s.node ->> 'Alias'), E'(\\W)', E'\\\\\\1', 'g')
                || E'\\.' AS alias,
            s.node #>> '{Output,0}' AS user_id,
            s.node #>> '{Output,1}' AS deleted_at,
            s.node ->> 'Filter' AS filter
        FROM jsonb_array_elements(v_plan -> 'Plans') AS s (node)
        WHERE s.node ->> 'Node Type' = 'Seq Scan'
            AND NOT s.node ? 'Plans'
    ),
    columns AS (
        SELECT
            s.relation,
            regexp_replace(s.user_id, s.alias, E'\\1', 'g') AS user_id,
            regexp_replace(s.deleted_at, s.alias, E'\\1', 'g') AS deleted_at,
            regexp_replace(s.filter, s.alias, E'\\1', 'g') AS filter
        FROM scans AS s
    ),
    templates AS (
        SELECT
            c.relation,
            template.purpose,
            template.key,
            CASE
                WHEN c.filter IS NULL THEN template.condition
                ELSE format('(%s AND %s)', template.condition, c.filter)
            END AS condition
        FROM columns AS c
        CROSS JOIN LATERAL (VALUES
            ('live', c.user_id, format('(%s IS NULL)', c.deleted_at)),
            ('deleted', c.deleted_at, format('(%s IS NOT NULL)', c.deleted_at))
        ) AS template (purpose, key, condition)
    ),
    -- An index-only scan computes an expression from its columns, which have to be in the index
    -- beside it.
    complete AS (
        SELECT
            t.relation,
            t.purpose,
            t.key,
            ARRAY(
                SELECT quote_ident(a.attname::text)
                FROM pg_attribute AS a
                WHERE a.attrelid = t.relation
                    AND a.attnum > 0
                    AND NOT a.attisdropped
                    AND t.key ~ (
                        E'(?<![\\w"])'
                        || regexp_replace(quote_ident(a.attname::text), E'(\\W)', E'\\\\\\1', 'g')
                        || E'(?![\\w"])'
                    )
                    AND NOT EXISTS (
                        SELECT
                        FROM pg_attribute AS whole
                        WHERE whole.attrelid = t.relation
                            AND quote_ident(whole.attname::text) = t.key
                    )
                ORDER BY a.attnum
            ) AS included,
            t.condition
        FROM templates AS t
    )
    SELECT
        c.relation,
        c.purpose,
        c.key,
        c.included,
        c.condition
    FROM complete AS c
    UNION ALL
    -- A partitioned table behind the view is like any of its partitions.
    SELECT
        p.relation,
        any_leaf.purpose,
        any_leaf.key,
        any_leaf.included,
        any_leaf.condition
    FROM notification_tables() AS p
    JOIN pg_class AS partitioned ON partitioned.oid = p.relation
        AND partitioned.relkind = 'p'
    CROSS JOIN (
        SELECT DISTINCT ON (c.purpose)
            c.*
        FROM complete AS c
        ORDER BY
            c.purpose,
            c.relation::oid
    ) AS any_leaf;
END
$$;
COMMENT ON FUNCTION notification_index_templates() IS
'For each table or partitioned table behind notifications, and each purpose, what an index that '
'serves is on: key, included columns, condition. Behind a view they are taken from what EXPLAIN '
'says, and are to be looked at before they are executed. For notification_cleanup_indexes(), '
'which is what to call.';
