-- The rule: who has more than max_notifications live notifications, how many of them go, and which is the newest that goes.
-- Nothing else finds or ranks: preview and plan are made from it.
CREATE OR REPLACE FUNCTION notification_excess(
    max_notifications integer, min_keep integer, user_ids notification_user_id[], as_of timestamptz, to_delete boolean
)
RETURNS TABLE (user_id notification_user_id, total bigint, unread bigint, deletable bigint,
    created_at notification_created_at, id notification_id, shard bigint, pages bigint[])
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET row_security = off  -- a caller whom it would filter gets an error, never "0 deleted"
SET jit = off SET plan_cache_mode = force_custom_plan  -- for a few users, a generic plan would read the whole table
AS $$
#variable_conflict use_column
DECLARE
    v_user_ids notification_user_id[];
    v_totals bigint[];
    v_shards bigint[];
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
    IF to_delete THEN v_shards := notification_shards(v_user_ids); END IF;

    RETURN QUERY
    SELECT crowded.user_id, crowded.total, coalesce(inbox.unread, 0), coalesce(inbox.deletable, 0), inbox.cutoff_at, inbox.cutoff_id,
        crowded.shard, inbox.pages
    FROM unnest(v_user_ids, v_totals, v_shards) AS crowded (user_id, total, shard)
    LEFT JOIN notification_inboxes(v_user_ids, min_keep, as_of, to_delete) AS inbox ON inbox.user_id = crowded.user_id ORDER BY 7, 4 DESC, 1;
END
$$;
COMMENT ON FUNCTION notification_excess(integer, integer, notification_user_id[], timestamptz, boolean) IS
'The rule, for preview and plan: each user (of user_ids, unless NULL) with more than max_notifications live notifications as of then; how many, how many of them unread, how many to delete, and the newest that goes.
to_delete: instead of unread ones, the shard of the user, and the page of each notification that goes.';
REVOKE ALL ON FUNCTION notification_excess(integer, integer, notification_user_id[], timestamptz, boolean) FROM PUBLIC;
