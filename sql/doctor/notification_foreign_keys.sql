-- Which foreign keys a purge has to do with: those that refer to notifications, and those that
-- refer to what goes with them by ON DELETE CASCADE.
--
--     SELECT * FROM notification_foreign_keys();
CREATE OR REPLACE FUNCTION notification_foreign_keys()
RETURNS TABLE (
    relation regclass,
    refers_to regclass,
    first_column name,
    keeps boolean,
    has_index boolean,
    pages bigint
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE keys AS (
        SELECT k.*
        FROM pg_constraint AS k
        JOIN notification_tables() AS t ON t.relation = k.confrelid
        WHERE k.contype = 'f'
            AND k.conparentid = oid '0'
        UNION
        SELECT k.*
        FROM keys AS cascading
        JOIN pg_constraint AS k ON k.confrelid = cascading.conrelid
        WHERE cascading.confdeltype = 'c'
            AND k.contype = 'f'
            AND k.conparentid = oid '0'
    )
    SELECT
        k.conrelid::regclass,
        k.confrelid::regclass,
        a.attname,
        k.confdeltype IN ('a', 'r')  -- NO ACTION, RESTRICT
            -- A purge takes no notification along that is not to go itself.
            OR k.confdeltype = 'c'
            AND k.conrelid IN (SELECT t.relation FROM notification_tables() AS t),
        EXISTS (
            SELECT
            FROM pg_index AS i
            WHERE i.indrelid = k.conrelid
                AND i.indisvalid
                AND i.indpred IS NULL
                AND i.indkey[0] = ANY (k.conkey)
        ),
        (
            SELECT sum(pg_relation_size(part.oid) / current_setting('block_size')::bigint)::bigint
            FROM (
                SELECT k.conrelid AS oid
                UNION
                SELECT tree.relid
                FROM pg_partition_tree(k.conrelid) AS tree
            ) AS part
        )
    FROM keys AS k
    JOIN pg_attribute AS a ON a.attrelid = k.conrelid
        AND a.attnum = k.conkey[1];
END
$$;
COMMENT ON FUNCTION notification_foreign_keys() IS
    'The foreign keys that refer to notifications, or to what is deleted with them: from which '
    'table and its first column, whether it keeps what it refers to from being purged (NO ACTION, '
    'RESTRICT, or a CASCADE to other notifications), whether it has an index, and how many pages '
    'are read for each notification that is purged where it has none.';
