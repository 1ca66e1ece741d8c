-- sql/doctor/check_foreign_keys.sql: for each notification that is purged the server looks for rows
-- of other tables that refer to it. Without an index it reads all of such a table each time.
SELECT
    CASE
        WHEN bool_or(NOT k.has_index AND k.pages >= 1000) THEN 'warning'
        WHEN bool_or(k.keeps OR NOT k.has_index) THEN 'note'
        ELSE 'ok'
    END AS severity,
    string_agg(
        format(
            '%s refers to %s%s%s',
            k.relation,
            k.refers_to,
            CASE WHEN k.keeps THEN ', and keeps those from being purged' END,
            CASE
                WHEN NOT k.has_index
                    THEN format(
                        ', and has no index for that: each one purged reads %s pages',
                        k.pages
                    )
            END
        ),
        '; '
        ORDER BY k.relation::text
    ) FILTER (WHERE k.keeps OR NOT k.has_index) AS found,
    string_agg(
        format('CREATE INDEX CONCURRENTLY ON %s (%I);', k.relation, k.first_column),
        ' '
        ORDER BY k.relation::text
    ) FILTER (WHERE NOT k.has_index) AS advice
FROM notification_foreign_keys() AS k;
