-- sql/doctor/check_schemas.sql: whoever may create a function or an operator where our routines
-- look for theirs has it executed as whoever cleans up.
SELECT
    CASE WHEN count(*) = 0 THEN 'ok' ELSE 'failure' END AS severity,
    string_agg(
        format(
            '%s may create functions and operators in schema %I, which are executed by whoever '
            'cleans up where they match better than those of PostgreSQL',
            c.creator,
            c.schema_name
        ),
        '; '
    ) AS found,
    string_agg(
        format('REVOKE CREATE ON SCHEMA %I FROM %s;', c.schema_name, c.creator),
        ' '
    ) || ' Or install into a schema of its own, with a view of the table.' AS advice
FROM notification_schema_creators() AS c;
