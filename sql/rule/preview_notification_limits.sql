-- Which limit is right? A row for each of several limits, all of them from one look at the table.
--
--     SELECT * FROM preview_notification_limits('{500,1000,2000}', min_keep => 50);
CREATE OR REPLACE FUNCTION preview_notification_limits(
    limits integer[] DEFAULT '{100,250,500,1000,2000,5000,10000}',
    min_keep integer DEFAULT 100
)
RETURNS TABLE (
    max_notifications integer,
    users_over_limit bigint,
    deletable_notifications bigint,
    deletable_percent numeric,
    users_still_over_limit bigint
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    -- NULL where one of the limits is NULL, or where there is none.
    v_smallest CONSTANT integer := (
        SELECT min(l)
        FROM unnest(preview_notification_limits.limits) AS l
        HAVING count(*) = count(l)
    );
BEGIN
    IF (
        v_smallest >= 1
        AND preview_notification_limits.min_keep BETWEEN 0 AND v_smallest
    ) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid limits: limits => %L, min_keep => %L',
                preview_notification_limits.limits,
                preview_notification_limits.min_keep
            ),
            HINT = 'limits takes one or more, each of 1 or more, '
                'min_keep 0 to the smallest of them.';
    END IF;
    -- A limit decides which users are over it, but not what goes of a user who is. So everybody
    -- over the smallest limit is ranked once, and serves every larger limit that they are over.
    RETURN QUERY
    SELECT
        l.max_notifications,
        count(e.total),
        coalesce(sum(e.deletable), 0)::bigint,
        coalesce(
            round(
                100 * sum(e.deletable)
                / (SELECT s.total_notifications FROM notification_stats() AS s),
                1
            ),
            0.0
        ),
        count(*) FILTER (WHERE e.total - e.deletable > l.max_notifications)
    FROM (
        SELECT DISTINCT unnest(preview_notification_limits.limits)
    ) AS l (max_notifications)
    LEFT JOIN notification_excess(
        v_smallest,
        preview_notification_limits.min_keep,
        NULL,
        statement_timestamp(),
        false
    ) AS e ON e.total > l.max_notifications
    GROUP BY l.max_notifications
    ORDER BY l.max_notifications;
END
$$;
COMMENT ON FUNCTION preview_notification_limits(integer[], integer) IS
'What each of these limits would do: as preview_notification_cleanup(max_notifications, min_keep) '
'in sum, and which percentage of all live notifications it would delete. Reads only; works on a '
'hot standby.';
REVOKE ALL ON FUNCTION preview_notification_limits(integer[], integer) FROM PUBLIC;
