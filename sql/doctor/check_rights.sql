-- sql/doctor/check_rights.sql: a run fails where its role lacks a grant that it needs. Other uses
-- may be the business of another role; whoever has all that one of them takes, and may not even
-- begin to clean up, is there for that one.
WITH privileges AS (
    SELECT
        p.*,
        CASE p.kind
            WHEN 'SCHEMA' THEN has_schema_privilege(p.object_id, p.privilege)
            WHEN 'ROUTINE' THEN has_function_privilege(p.object_id, p.privilege)
            WHEN 'ROLE' THEN pg_has_role(p.object_id, p.privilege)
            WHEN 'TABLE' THEN has_table_privilege(p.object_id, p.privilege)
                OR p.column_names IS NOT NULL AND NOT EXISTS (
                    SELECT
                    FROM pg_attribute AS a
                    WHERE a.attrelid = p.object_id
                        AND a.attname = ANY (p.column_names)
                        AND NOT has_column_privilege(p.object_id, a.attnum, p.privilege)
                )
        END AS is_held
    FROM notification_cleanup_privileges() AS p
),
uses AS (
    SELECT
        p.purpose,
        count(*) FILTER (WHERE NOT p.is_held) AS missing,
        bool_or(
            p.is_held
            AND p.kind = 'ROUTINE'
            AND NOT EXISTS (
                SELECT
                FROM privileges AS other
                WHERE other.object_id = p.object_id
                    AND other.purpose <> p.purpose
            )
        ) AS has_begun
    FROM privileges AS p
    GROUP BY p.purpose
),
summary AS (
    SELECT
        bool_or(u.purpose = 'clean up' AND u.missing > 0) AS cannot_clean_up,
        bool_or(u.purpose = 'clean up' AND u.has_begun) AS is_to_clean_up,
        bool_or(u.purpose IN ('undo', 'purge', 'watch') AND u.missing = 0) AS is_for_another_use,
        string_agg(u.purpose, ', ' ORDER BY u.purpose) FILTER (WHERE u.missing > 0) AS lacking
    FROM uses AS u
),
verdict AS (
    SELECT
        s.lacking,
        s.cannot_clean_up AND (s.is_to_clean_up OR NOT s.is_for_another_use) AS is_failure
    FROM summary AS s
)
SELECT
    CASE
        WHEN v.is_failure THEN 'failure'
        WHEN v.lacking IS NOT NULL THEN 'note'
        ELSE 'ok'
    END AS severity,
    CASE
        WHEN v.is_failure
            THEN (
                SELECT format(
                    '%I lacks what a run takes: %s%s',
                    current_user,
                    array_to_string((array_agg(m.privilege ORDER BY m.privilege))[1:3], ', '),
                    ' and ' || nullif(greatest(count(*) - 3, 0), 0) || ' more'
                )
                FROM (
                    SELECT concat_ws(
                        ' ',
                        p.privilege,
                        '(' || array_to_string(p.column_names, ', ') || ')',
                        'on',
                        p.object
                    ) AS privilege
                    FROM privileges AS p
                    WHERE p.purpose = 'clean up'
                        AND NOT p.is_held
                ) AS m
            )
        WHEN v.lacking IS NOT NULL
            THEN format('%I lacks grants for: %s', current_user, v.lacking)
    END AS found,
    format(
        E'As the owner, in psql: '
        'SELECT %I.notification_cleanup_grants(%L, %L) \\gexec',
        current_schema(),
        quote_ident(current_user::text),
        CASE WHEN v.is_failure THEN '{clean up}' ELSE format('{%s}', v.lacking) END
    ) AS advice
FROM verdict AS v;
