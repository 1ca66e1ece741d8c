-- Why the cleanup cannot work on the columns as they are: a row for each that is no longer what it
-- was adopted as, none where all is well.
--
--     SELECT * FROM notification_column_problems();
--
-- A length or a precision may change, since our domains have none. Another type or collation is
-- another =, and with it another user.
CREATE OR REPLACE FUNCTION notification_column_problems()
RETURNS TABLE (problem text)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN QUERY
    -- Each column as it is stored: a domain of the application's stands for what it is made of.
    WITH RECURSIVE layers AS (
        SELECT
            a.attname,
            a.atttypid AS type,
            a.atttypmod AS typmod,
            a.attnotnull AS is_not_null,
            -- Of a generated column it is the expression.
            (
                SELECT pg_get_expr(d.adbin, d.adrelid)
                FROM pg_attrdef AS d
                WHERE d.adrelid = a.attrelid
                    AND d.adnum = a.attnum
            ) AS default_value,
            a.attcollation,
            format_type(a.atttypid, a.atttypmod) AS type_name
        FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass('notifications')
            AND a.attname IN ('id', 'user_id', 'created_at', 'status', 'deleted_at')
            AND NOT a.attisdropped
        UNION ALL
        SELECT
            l.attname,
            t.typbasetype,
            t.typtypmod,
            l.is_not_null OR t.typnotnull,
            coalesce(l.default_value, t.typdefault),
            l.attcollation,
            l.type_name
        FROM layers AS l
        JOIN pg_type AS t ON t.oid = l.type
            AND t.typtype = 'd'
    ),
    column_of AS (
        SELECT l.*
        FROM layers AS l
        JOIN pg_type AS t ON t.oid = l.type
            AND t.typtype <> 'd'
    )
    SELECT format('column %s is missing', wanted.name)
    FROM (VALUES
        ('id'::name),
        ('user_id'),
        ('created_at'),
        ('status'),
        ('deleted_at')
    ) AS wanted (name)
    WHERE wanted.name NOT IN (SELECT c.attname FROM column_of AS c)
    UNION ALL
    SELECT format(
        'column %s is %s, and was %s when the cleanup was installed',
        c.attname,
        concat_ws(' COLLATE ', c.type_name, nullif(c.attcollation, 0)::regcollation),
        concat_ws(
            ' COLLATE ',
            format_type(domain.typbasetype, domain.typtypmod),
            nullif(domain.typcollation, 0)::regcollation
        )
    )
    FROM column_of AS c
    JOIN pg_type AS domain ON domain.oid = CASE c.attname
        WHEN 'id' THEN 'notification_id'::regtype
        WHEN 'user_id' THEN 'notification_user_id'::regtype
        WHEN 'created_at' THEN 'notification_created_at'::regtype
    END
    WHERE c.type <> domain.typbasetype
        OR c.attcollation <> domain.typcollation
    UNION ALL
    SELECT format(
        'column deleted_at is %s, and has to be a nullable timestamp with time zone of full '
        'precision',
        c.type_name
    )
    FROM column_of AS c
    WHERE c.attname = 'deleted_at'
        AND (
            c.type <> 'timestamptz'::regtype
            OR c.typmod NOT IN (-1, 6)
            OR c.is_not_null
        )
    UNION ALL
    -- DEFAULT NULL, as some write it out, is kept for some types.
    SELECT
        'column deleted_at begins as '
        || c.default_value
        || ', but a notification is live while it is NULL'
    FROM column_of AS c
    WHERE c.attname = 'deleted_at'
        AND NOT starts_with(c.default_value, 'NULL::')
    UNION ALL
    SELECT format(
        'column status is %s, and has to be case-sensitive text, or an enum with the labels '
        '''read'' and ''unread''',
        c.type_name
    )
    FROM column_of AS c
    WHERE c.attname = 'status'
        AND (
            c.type NOT IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
            OR EXISTS (
                SELECT
                FROM pg_collation AS used
                WHERE used.oid = c.attcollation
                    AND NOT used.collisdeterministic
            )
        )
        AND (
            SELECT count(*)
            FROM pg_enum AS e
            WHERE e.enumtypid = c.type
                AND e.enumlabel IN ('read', 'unread')
        ) < 2;
END
$$;
COMMENT ON FUNCTION notification_column_problems() IS
    'Each column of notifications that is missing, or of another type or collation than when the '
    'cleanup was installed, in words: both types and which column. For '
    'check_notification_columns() and the doctor.';
