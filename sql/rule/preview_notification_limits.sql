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
    v_users notification_user_id[];
    v_totals bigint[];
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
    SELECT
        array_agg(c.user_id),
        array_agg(c.total)
    INTO
        v_users,
        v_totals
    FROM notification_crowds(v_smallest, NULL) AS c;

    -- A limit decides which users are over it, but not what goes of a user who is. So everybody
    -- over the smallest limit is ranked once, and serves every larger limit that they are over.
    RETURN QUERY
    WITH excess AS (
        SELECT
            e.user_id,
            count(*) AS notifications
        FROM notification_excess(
            v_users,
            preview_notification_limits.min_keep,
            statement_timestamp()
        ) AS e
        GROUP BY e.user_id
    ),
    crowds AS (
        SELECT
            c.total,
            coalesce(e.notifications, 0) AS deletable
        FROM unnest(v_users, v_totals) AS c (user_id, total)
        LEFT JOIN excess AS e ON e.user_id = c.user_id
    )
    SELECT
        l.max_notifications,
        count(c.total),
        coalesce(sum(c.deletable), 0)::bigint,
        coalesce(
            round(
                numeric '100' * sum(c.deletable)
                / (SELECT s.total_notifications::numeric FROM notification_stats() AS s),
                1
            ),
            0.0
        ),
        count(*) FILTER (WHERE c.total - c.deletable > l.max_notifications)
    FROM (
        SELECT DISTINCT unnest(preview_notification_limits.limits)
    ) AS l (max_notifications)
    LEFT JOIN crowds AS c ON c.total > l.max_notifications
    GROUP BY l.max_notifications
    ORDER BY l.max_notifications;
END
$$;
COMMENT ON FUNCTION preview_notification_limits(integer[], integer) IS
'What each of these limits would do: as preview_notification_cleanup(max_notifications, min_keep) '
'in sum, and which percentage of all live notifications it would delete. Reads only; works on a '
'hot standby.';
