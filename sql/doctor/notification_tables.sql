-- Which relations are behind notifications, itself included: the tables that have the rows, and
-- the views and partitioned tables above those. Nothing else in the product looks for them.
--
--     SELECT * FROM notification_tables() WHERE is_leaf;
CREATE OR REPLACE FUNCTION notification_tables()
RETURNS TABLE (
    relation regclass,
    is_leaf boolean,
    pages bigint,
    visible_share numeric
)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
WITH RECURSIVE behind (relation) AS (
    SELECT to_regclass('notifications')::oid
    UNION
    SELECT part.relation
    FROM behind AS b
    CROSS JOIN LATERAL (
        -- Partitions, and children by INHERITS.
        SELECT i.inhrelid
        FROM pg_inherits AS i
        WHERE i.inhparent = b.relation
        UNION ALL
        -- A view shows the rows of the relation that both of these columns come from.
        SELECT d.refobjid
        FROM pg_rewrite AS r
        JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass
            AND d.objid = r.oid
            AND d.refclassid = 'pg_class'::regclass
        JOIN pg_attribute AS a ON a.attrelid = d.refobjid
            AND a.attnum = d.refobjsubid
            AND a.attname IN ('ctid', 'tableoid')
        WHERE r.ev_class = b.relation
        GROUP BY d.refobjid
        HAVING count(DISTINCT a.attname) = 2
    ) AS part (relation)
)
SELECT
    c.oid::regclass AS relation,
    c.relkind = 'r' AS is_leaf,
    size.pages,
    -- After a TRUNCATE more pages are known as visible than there are.
    CASE
        WHEN size.pages > 0 THEN least(c.relallvisible::numeric / size.pages::numeric, 1)
    END AS visible_share
FROM behind AS b
JOIN pg_class AS c ON c.oid = b.relation
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN c.relkind = 'r'
            THEN pg_relation_size(c.oid::regclass) / current_setting('block_size')::bigint
        ELSE 0
    END AS pages
) AS size
ORDER BY c.oid
$$;
COMMENT ON FUNCTION notification_tables() IS
'Every relation behind notifications, itself included. is_leaf: an ordinary table, which has rows '
'of its own (a partition, a child by INHERITS, the table behind a view); false for a view and for '
'a partitioned table. visible_share: the part of its pages that are all-visible, NULL for none.';
