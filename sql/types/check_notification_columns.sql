-- Refuses to work on columns that are no longer what the cleanup was installed for:
--
--     SELECT check_notification_columns();
--
-- Whatever reads or writes notifications calls this first: with another type or collation two users
-- might be one, or a run find nothing that it has listed; and in another schema all is another's.
CREATE OR REPLACE FUNCTION check_notification_columns()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_problems CONSTANT text := (
        SELECT string_agg(p.problem, '; ' ORDER BY p.problem)
        FROM notification_column_problems() AS p
    );
BEGIN
    PERFORM check_calling_schema();
    IF v_problems IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'datatype_mismatch',
            MESSAGE = format(
                'the notifications in schema %I are not what the cleanup was installed for: %s',
                current_schema(),
                v_problems
            ),
            DETAIL = 'Nothing was changed.',
            HINT = 'Undo that, or adopt the table as it is now: notification-cleanup migrate '
                'adopt.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_notification_columns() IS
    'Raises datatype_mismatch (42804) where a column of notifications is missing, or no longer of '
    'the type and collation that it had when the cleanup was installed. A length or a precision '
    'may have changed.';
