-- sql/doctor/check_replica_identity.sql: no row of a table can be updated or deleted that a
-- publication publishes the updates or deletes of, unless the table has a replica identity. The
-- rehearsal finds that out for one partition, this for all of them, and for our own tables.
WITH written AS (
    SELECT t.relation::oid AS relation
    FROM notification_tables() AS t
    WHERE t.is_leaf
    UNION ALL
    SELECT ours.oid
    FROM pg_class AS ours
    JOIN pg_namespace AS namespace ON namespace.oid = ours.relnamespace
        AND namespace.nspname = current_schema()
    WHERE starts_with(ours.relname, 'notification_cleanup_')
        AND ours.relkind = 'r'
),
published AS (
    SELECT
        c.oid::regclass AS relation,
        publication.pubname
    FROM written AS w
    JOIN pg_class AS c ON c.oid = w.relation
    -- A partition is published through the table that it belongs to as well.
    JOIN pg_class AS whole ON whole.oid = c.oid
        OR whole.oid IN (SELECT pg_partition_ancestors(c.oid))
    JOIN pg_namespace AS namespace ON namespace.oid = whole.relnamespace
    JOIN pg_publication_tables AS p ON p.schemaname = namespace.nspname
        AND p.tablename = whole.relname
    JOIN pg_publication AS publication ON publication.pubname = p.pubname
        AND (publication.pubupdate OR publication.pubdelete)
    WHERE c.relreplident <> 'f'
        AND NOT EXISTS (
            SELECT
            FROM pg_index AS i
            WHERE i.indrelid = c.oid
                AND CASE c.relreplident
                    WHEN 'd' THEN i.indisprimary
                    WHEN 'i' THEN i.indisreplident
                END
        )
)
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'failure' END AS severity,
    string_agg(
        format('%s has none, for publication %s', p.relation, p.pubname),
        '; '
    ) AS found,
    string_agg(
        DISTINCT format('ALTER TABLE %s REPLICA IDENTITY FULL;', p.relation),
        ' '
    ) AS advice
FROM published AS p;
