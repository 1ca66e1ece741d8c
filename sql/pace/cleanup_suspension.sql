-- Since when, by whom and why the job is suspended, as words to be put into a sentence; NULL where
-- it is not:
--
--     SELECT cleanup_suspension();
CREATE OR REPLACE FUNCTION cleanup_suspension()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN (
        SELECT format(
            'since %s by %s: %s',
            date_trunc('second', s.suspended_at),
            s.suspended_by,
            s.reason
        )
        FROM notification_cleanup_suspension AS s
    );
END
$$;
COMMENT ON FUNCTION cleanup_suspension() IS
    'Since when, by whom and why suspend_notification_cleanup() has suspended the job; NULL where '
    'it is not suspended.';
