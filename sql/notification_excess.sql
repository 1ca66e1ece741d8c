-- The rule: who has more than max_notifications live notifications, how many of them go, and which is the newest that goes.
-- Nothing else finds or ranks: preview and plan are made from it.
CREATE OR REPLACE FUNCTION notification_excess(
    max_notifications integer, min_keep integer, user_ids notification_user_id[], as_of timestamptz, to_delete boolean
)
RETURNS TABLE (user_id notification_user_id, total bigint, unread bigint, deletable bigint,
    created_at notification_created_at, id notification_id, pages bigint[])
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET row_security = off  -- a caller whom it would filter gets an error, never "0 deleted"
SET jit = off SET plan_cache_mode = force_custom_plan  -- for a few users, a generic plan would read the whole table
AS $$
#variable_conflict use_column
DECLARE
    v_user_ids notification_user_id[];
    v_totals bigint[];
BEGIN
    IF (max_notifications >= 1 AND min_keep BETWEEN 0 AND max_notifications) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'max_notifications takes 1 or more, min_keep 0 to max_notifications.',
            MESSAGE = format('invalid limits: max_notifications => %L, min_keep => %L', max_notifications, min_keep);
    END IF;

    -- Find, by one index-only pass. EXECUTE, because PL/pgSQL gives parallel workers to no other query that it takes a value from.
    EXECUTE $find$
        SELECT array_agg(crowded.user_id), array_agg(crowded.total)
        FROM (
            SELECT n.user_id::notification_user_id, count(*) AS total
            FROM notifications AS n
            WHERE n.deleted_at IS NULL AND n.user_id IS NOT NULL AND ($2 IS NULL OR n.user_id = ANY ($2))
            GROUP BY n.user_id
            HAVING count(*) > $1
        ) AS crowded
    $find$ INTO v_user_ids, v_totals USING max_notifications, user_ids;
    IF v_user_ids IS NULL THEN RETURN; END IF;

    -- Rank, by one pass over the inboxes found: all of each, or, to delete, what may go at all, and on which page it lies.
    RETURN QUERY
    SELECT crowded.user_id, crowded.total, coalesce(inbox.unread, 0), coalesce(inbox.deletable, 0), inbox.cutoff_at, inbox.cutoff_id, inbox.pages
    FROM unnest(v_user_ids, v_totals) AS crowded (user_id, total)
    LEFT JOIN (
        SELECT
            ranked.user_id,
            count(*) FILTER (WHERE ranked.status = 'unread') AS unread,
            count(*) FILTER (WHERE ranked.deletable AND ranked.newest > min_keep) AS deletable,
            (array_agg(ranked.created_at) FILTER (WHERE ranked.deletable AND ranked.newest - 1 = min_keep))[1]::notification_created_at AS cutoff_at,
            (array_agg(ranked.id) FILTER (WHERE ranked.deletable AND ranked.newest - 1 = min_keep))[1]::notification_id AS cutoff_id,
            -- From the bytes of the ctid: from its text costs five times as much.
            array_agg((get_byte(ranked.place, 0)::bigint << 24) + (get_byte(ranked.place, 1) << 16) + (get_byte(ranked.place, 2) << 8)
                + get_byte(ranked.place, 3)) FILTER (WHERE to_delete AND ranked.newest > min_keep) AS pages
        FROM (
            SELECT live.*, tidsend(live.ctid) AS place,
                row_number() OVER (PARTITION BY live.user_id, live.deletable ORDER BY live.created_at DESC, live.id DESC) AS newest
            FROM (
                SELECT n.ctid, n.user_id, n.status, n.created_at, n.id, (n.status = 'read' AND n.created_at <= as_of) IS TRUE AS deletable
                FROM notifications AS n
                WHERE n.user_id = ANY (v_user_ids) AND n.deleted_at IS NULL
            ) AS live
            WHERE live.deletable OR NOT to_delete
        ) AS ranked
        GROUP BY ranked.user_id
    ) AS inbox ON inbox.user_id = crowded.user_id ORDER BY 4 DESC, 1;
END
$$;
COMMENT ON FUNCTION notification_excess(integer, integer, notification_user_id[], timestamptz, boolean) IS
'The rule, for preview and plan: each user (of user_ids, unless NULL) with more than max_notifications live notifications as of then; how many, how many of them unread, how many to delete, and the newest that goes.
to_delete: instead of unread ones, the page of each notification that goes.';
REVOKE ALL ON FUNCTION notification_excess(integer, integer, notification_user_id[], timestamptz, boolean) FROM PUBLIC;
