-- Says how many notifications have just refused, and why the last of them did:
--
--     SELECT warn_of_refused('restore', 3);
CREATE OR REPLACE FUNCTION warn_of_refused(
    operation text,
    refused bigint
)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF warn_of_refused.refused = 0 THEN
        RETURN;
    END IF;
    RAISE WARNING USING
        MESSAGE = format(
            '%s %s: %s',
            warn_of_refused.refused,
            CASE warn_of_refused.operation
                WHEN 'restore' THEN 'notifications cannot be restored'
                ELSE 'notifications cannot be purged'
            END,
            (
                SELECT f.detail
                FROM notification_cleanup_refused AS f
                WHERE f.operation = warn_of_refused.operation
                ORDER BY f.number DESC
                LIMIT 1
            )
        ),
        HINT = 'notification_cleanup_refused tells which, and why. They are tried again after a '
            'day.';
END
$$;
COMMENT ON FUNCTION warn_of_refused(text, bigint) IS
    'For restore_next_batch() and purge_notifications(): a warning that this many notifications '
    'have just refused to be restored or purged, with the reason of the last one.';
