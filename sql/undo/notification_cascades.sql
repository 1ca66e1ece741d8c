-- How a notification that is deleted for good takes others along: by foreign keys with ON DELETE
-- CASCADE that lead from notifications back to notifications, at once or by way of other tables. A
-- query for each way, which finds what goes with the notification before (relation, place); none
-- where there is no such way, as nearly everywhere.
--
--     SELECT notification_cascades();
--
-- They are made from the catalog, because only there stands which columns refer to which.
CREATE OR REPLACE FUNCTION notification_cascades()
RETURNS SETOF text
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
WITH RECURSIVE behind AS MATERIALIZED (
    SELECT t.relation::oid AS relation
    FROM notification_tables() AS t
),
keys AS MATERIALIZED (
    SELECT
        k.oid,
        k.conrelid,
        k.confrelid,
        (
            -- For format(): first the alias of what is referred to, then of what refers. By the
            -- operator that the server uses, whatever stands in the path.
            SELECT string_agg(
                format(
                    '%%1$s.%s OPERATOR(%I.%s) %%2$s.%s',
                    concat_ws(
                        ' COLLATE ',
                        replace(quote_ident(referred.attname::text), '%', '%%'),
                        nullif(referred.attcollation, oid '0')::regcollation
                    ),
                    operator.oprnamespace::regnamespace::text,
                    operator.oprname,
                    replace(quote_ident(referring.attname::text), '%', '%%')
                ),
                ' AND '
            )
            FROM unnest(k.confkey, k.conkey, k.conpfeqop) AS pair (referred, referring, operator)
            JOIN pg_attribute AS referred ON referred.attrelid = k.confrelid
                AND referred.attnum = pair.referred
            JOIN pg_attribute AS referring ON referring.attrelid = k.conrelid
                AND referring.attnum = pair.referring
            JOIN pg_operator AS operator ON operator.oid = pair.operator
        ) AS condition
    FROM pg_constraint AS k
    WHERE k.contype = 'f'
        AND k.conparentid = oid '0'
        AND k.confdeltype = 'c'
),
-- A foreign key of a table, unlike one of a partitioned table, says nothing of its children.
tables AS (
    SELECT
        c.oid,
        concat(CASE WHEN c.relkind <> 'p' THEN 'ONLY ' END, c.oid::regclass) AS name
    FROM pg_class AS c
    WHERE c.relkind IN ('r', 'p')
),
ways AS (
    SELECT
        ARRAY[k.oid] AS keys,
        k.conrelid AS reached,
        1 AS length,
        format(
            '%s AS t0 JOIN %s AS t1 ON %s',
            referred.name,
            referring.name,
            format(k.condition, 't0', 't1')
        ) AS joined
    FROM keys AS k
    JOIN behind AS b ON b.relation = k.confrelid
    JOIN tables AS referred ON referred.oid = k.confrelid
    JOIN tables AS referring ON referring.oid = k.conrelid
    UNION ALL
    SELECT
        w.keys || k.oid,
        k.conrelid,
        w.length + 1,
        format(
            '%s JOIN %s AS t%s ON %s',
            w.joined,
            referring.name,
            w.length + 1,
            format(k.condition, 't' || w.length::text, 't' || (w.length + 1)::text)
        )
    FROM ways AS w
    JOIN keys AS k ON k.confrelid = w.reached
        AND k.oid <> ALL (w.keys)
    JOIN tables AS referring ON referring.oid = k.conrelid
    WHERE w.reached NOT IN (SELECT b.relation FROM behind AS b)
)
SELECT format(
    'SELECT t%1$s.tableoid, t%1$s.ctid FROM %2$s '
    'WHERE t0.tableoid = before.relation AND t0.ctid = before.place',
    w.length,
    w.joined
)
FROM ways AS w
WHERE w.reached IN (SELECT b.relation FROM behind AS b)
$$;
COMMENT ON FUNCTION notification_cascades() IS
    'For find_cascading_notifications() and the doctor: how a foreign key with ON DELETE CASCADE '
    'leads from a notification to others that are deleted along with it, a query each.';
