-- sql/doctor/check_renamed_schemas.sql: a path is made of names. Where a schema was renamed, its
-- routines look for their tables elsewhere, and may find those of this schema.
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'failure' END AS severity,
    string_agg(
        format(
            'the routines in schema %I, which was renamed, work on the tables of schema %I',
            s.schema_name,
            current_schema()
        ),
        '; '
    ) AS found,
    string_agg(
        format(
            'To make them anew: SCHEMA=%L notification-cleanup migrate adopt. To remove them: '
            'migrate down.',
            s.schema_name
        ),
        ' '
    ) AS advice
FROM notification_stray_schemas() AS s;
