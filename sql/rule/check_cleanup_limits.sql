-- Refuses limits that make no sense, before anything is written:
--
--     SELECT check_cleanup_limits(1000, 100);
CREATE OR REPLACE FUNCTION check_cleanup_limits(
    max_notifications integer,
    min_keep integer,
    max_deletions bigint DEFAULT NULL  -- NULL: none
)
RETURNS void
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF (
        check_cleanup_limits.max_notifications >= 1
        AND check_cleanup_limits.min_keep >= 0
        AND check_cleanup_limits.min_keep <= check_cleanup_limits.max_notifications
        AND coalesce(check_cleanup_limits.max_deletions >= 0, true)
    ) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid limits: max_notifications => %L, min_keep => %L%s',
                check_cleanup_limits.max_notifications,
                check_cleanup_limits.min_keep,
                format(', max_deletions => %s', check_cleanup_limits.max_deletions)
            ),
            HINT = 'max_notifications takes 1 or more, min_keep 0 to max_notifications, '
                'max_deletions 0 or more, or NULL for none.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_cleanup_limits(integer, integer, bigint) IS
    'Raises invalid_parameter_value (22023) unless these are limits that a run can have.';
