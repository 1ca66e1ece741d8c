-- sql/doctor/check_renamed_schemas.sql: a path is a name. Where a schema was renamed and a new one
-- has taken its name, the routines of the old one lead to the new one.
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'failure' END AS severity,
    string_agg(
        format(
            'the routines in schema %I, which was renamed, name the tables of schema %I',
            s.schema_name,
            current_schema()
        ),
        '; '
    ) AS found,
    string_agg(
        format('SCHEMA=%s notification-cleanup migrate adopt (or down).', s.schema_name),
        ' '
    ) AS advice
FROM notification_stray_schemas() AS s;
