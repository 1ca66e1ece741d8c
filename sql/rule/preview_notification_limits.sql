-- Which limit? A row for each of some, all from one look: SELECT * FROM preview_notification_limits('{500,1000,2000}', 50);
CREATE OR REPLACE FUNCTION preview_notification_limits(
    limits integer[] DEFAULT '{100,250,500,1000,2000,5000,10000}', min_keep integer DEFAULT 100
)
RETURNS TABLE (max_notifications integer, users_over_limit bigint, deletable_notifications bigint, deletable_percent numeric, users_still_over_limit bigint)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_smallest CONSTANT integer := (SELECT min(l) FROM unnest(limits) AS l HAVING count(*) = count(l));
BEGIN
    IF (v_smallest >= 1 AND min_keep BETWEEN 0 AND v_smallest) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'limits takes one or more, each of 1 or more, min_keep 0 to the smallest of them.',
            MESSAGE = format('invalid limits: limits => %L, min_keep => %L', limits, min_keep);
    END IF;
    RETURN QUERY  -- whom a limit leaves alone depends on it, but not what goes of whoever is over it
    SELECT l.max_notifications, count(e.total), coalesce(sum(e.deletable), 0)::bigint,
        coalesce(round(100 * sum(e.deletable) / (SELECT s.total_notifications FROM notification_stats() AS s), 1), 0.0),
        count(*) FILTER (WHERE e.total - e.deletable > l.max_notifications)
    FROM (SELECT DISTINCT unnest(preview_notification_limits.limits)) AS l (max_notifications)
    LEFT JOIN notification_excess(v_smallest, min_keep, NULL, statement_timestamp(), false) AS e ON e.total > l.max_notifications
    GROUP BY l.max_notifications ORDER BY l.max_notifications;
END
$$;
COMMENT ON FUNCTION preview_notification_limits(integer[], integer) IS
'What each of these limits would do: as preview_notification_cleanup(max_notifications, min_keep) in sum, and which percentage of all live notifications it would delete. Reads only; works on a hot standby.';
REVOKE ALL ON FUNCTION preview_notification_limits(integer[], integer) FROM PUBLIC;
