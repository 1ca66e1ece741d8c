-- The tables that have notifications, and the other partitions beside these, which a view may leave
-- out:
--
--     SELECT notification_siblings();
CREATE OR REPLACE FUNCTION notification_siblings()
RETURNS oid[]
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
WITH roots AS (
    SELECT DISTINCT coalesce(pg_partition_root(t.relation), t.relation) AS root
    FROM notification_tables() AS t
    WHERE t.is_leaf
)
SELECT array_agg(coalesce(part.relid, r.root)::oid)
FROM roots AS r
LEFT JOIN LATERAL pg_partition_tree(r.root) AS part ON part.isleaf
$$;
COMMENT ON FUNCTION notification_siblings() IS
    'For purge_listed_notifications(): the tables in which a purge may delete what is listed, and '
    'nothing else.';
