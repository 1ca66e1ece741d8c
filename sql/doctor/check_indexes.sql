-- sql/doctor/check_indexes.sql: without an index for live notifications each run reads the whole
-- table, and without one for deleted ones undo and purge do. Both work, but slowly.
WITH served AS MATERIALIZED (
    SELECT i.*
    FROM notification_cleanup_indexes() AS i
    WHERE i.purpose IS NOT NULL
),
-- What the application reads an inbox by, with the soft-deleted notifications in it.
inboxes AS (
    SELECT
        i.indexrelid::regclass AS index,
        i.indrelid::regclass AS relation,
        ours.index AS live_index,
        c.relkind = 'r' AND NOT c.relispartition AS is_plain
    FROM notification_tables() AS t
    JOIN pg_class AS c ON c.oid = t.relation
    JOIN pg_index AS i ON i.indrelid = t.relation
        AND i.indisvalid
        AND NOT i.indisunique
        AND i.indpred IS NULL
        AND i.indnkeyatts = 2
        AND pg_get_indexdef(i.indexrelid, 1, false) = 'user_id'
        AND pg_get_indexdef(i.indexrelid, 2, false) = 'created_at'
    LEFT JOIN served AS ours ON ours.relation = t.relation
        AND ours.purpose = 'live'
        AND ours.index <> i.indexrelid
    -- A partition's goes with that of the whole.
    WHERE NOT EXISTS (
        SELECT
        FROM pg_inherits AS parent
        WHERE parent.inhrelid = i.indexrelid
    )
        -- Where such a one is there already, only the other one is too many.
        AND NOT EXISTS (
            SELECT
            FROM pg_index AS better
            WHERE better.indrelid = i.indrelid
                AND better.indisvalid
                AND pg_get_expr(better.indpred, better.indrelid) = '(deleted_at IS NULL)'
                AND pg_get_indexdef(better.indexrelid, 1, false) = 'user_id'
                AND pg_get_indexdef(better.indexrelid, 2, false) = 'created_at'
        )
        AND to_regclass('notifications') IN (
            SELECT n.oid
            FROM pg_class AS n
            WHERE n.relkind <> 'v'
        )
)
SELECT
    CASE
        WHEN (SELECT bool_or(s.index IS NULL) FROM served AS s) THEN 'warning'
        WHEN EXISTS (SELECT FROM inboxes) THEN 'note'
        ELSE 'ok'
    END AS severity,
    coalesce(
        (
            SELECT string_agg(
                format('%s has no valid one for %s notifications', s.relation, s.purpose),
                '; '
            )
            FROM served AS s
            WHERE s.index IS NULL
        ),
        (
            SELECT string_agg(
                format('%s, by user and time, has the soft-deleted notifications in it', i.index),
                '; '
            )
            FROM inboxes AS i
        )
    ) AS found,
    CASE
        WHEN (SELECT bool_or(s.index IS NULL) FROM served AS s)
            THEN coalesce(
                (SELECT string_agg(s.statement || ';', ' ') FROM served AS s),
                'Build one on what the view shows as user_id, WHERE what it shows as deleted_at IS '
                'NULL; and one on what it shows as deleted_at.'
            )
        ELSE (
            SELECT
                'Where all queries of an inbox leave those out, one that leaves them out as well '
                'serves them and the cleanup, instead of two: '
                || string_agg(
                    CASE
                        WHEN i.is_plain THEN concat_ws(
                            ' ',
                            format(
                                'CREATE INDEX CONCURRENTLY ON %s (user_id, created_at DESC) '
                                'WHERE deleted_at IS NULL;',
                                i.relation
                            ),
                            format('DROP INDEX CONCURRENTLY %s;', i.index),
                            'DROP INDEX CONCURRENTLY ' || i.live_index || ';'
                        )
                        ELSE format(
                            'on %s (user_id, created_at DESC) WHERE deleted_at IS NULL',
                            i.relation
                        )
                    END,
                    ' '
                )
            FROM inboxes AS i
        )
    END AS advice;
