-- What undo or purge steps over: the notifications that refused within the last day. Forgets those
-- that refused earlier, so that they are tried again.
--
--     SELECT refused_notifications('restore', '2025-06-01 03:00:00+00', '2025-06-01 03:00:00+00');
CREATE OR REPLACE FUNCTION refused_notifications(
    operation text,
    deleted_from timestamptz,
    deleted_until timestamptz
)
RETURNS text[]  -- each as relation, place and id: '16384 (0,1) 7'; NULL: none
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    DELETE FROM notification_cleanup_refused AS f
    WHERE f.operation = refused_notifications.operation
        AND f.deleted_at BETWEEN
            refused_notifications.deleted_from AND refused_notifications.deleted_until
        -- A clock that was ahead does not keep them for longer.
        AND f.refused_at NOT BETWEEN now() - interval '1 day' AND clock_timestamp();
    RETURN (
        SELECT array_agg(concat_ws(' ', f.relation, f.place, f.id))
        FROM notification_cleanup_refused AS f
        WHERE f.operation = refused_notifications.operation
            AND f.deleted_at BETWEEN
                refused_notifications.deleted_from AND refused_notifications.deleted_until
    );
END
$$;
COMMENT ON FUNCTION refused_notifications(text, timestamptz, timestamptz) IS
    'For restore_next_batch() and purge_notifications(): the notifications, deleted at such a '
    'time, that they step over, because these have refused within the last day.';
