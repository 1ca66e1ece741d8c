-- Some notifications of the kind that a run deletes, to try it with: each a batch of its own.
--
--     SELECT * FROM find_notifications_to_rehearse(5);
--
-- Reads no more than some pages, spread over the table, however large that is: so it may find none
-- where such notifications are rare.
CREATE OR REPLACE FUNCTION find_notifications_to_rehearse(max_batches bigint)
RETURNS SETOF notification_cleanup_batches
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
-- By place and by nothing else (Tid Range Scan), so that no page is read but those named.
SET enable_tidscan = on
SET enable_seqscan = off
SET enable_indexscan = off
SET enable_indexonlyscan = off
SET enable_bitmapscan = off
SET seq_page_cost = 1e9
SET random_page_cost = 1e9
AS $$
DECLARE
    v_pages bigint;  -- of the largest table
    v_pages_a_spot bigint;
    v_spots bigint;
    v_page bigint;
    v_left bigint := find_notifications_to_rehearse.max_batches;
    v_rows bigint;
BEGIN
    SELECT
        coalesce(max(t.pages), 0),
        64 / greatest(count(*), 1) + 1
    INTO
        v_pages,
        v_pages_a_spot
    FROM notification_tables() AS t
    WHERE t.is_leaf;

    v_spots := least(v_pages / v_pages_a_spot, 15) + 1;

    -- A spot is looked at in all tables and partitions at once.
    FOR v_spot IN 0 .. v_spots - 1 LOOP
        v_page := greatest(v_pages / v_spots, v_pages_a_spot) * v_spot;
        RETURN QUERY
        WITH spot AS (
            SELECT
                n.tableoid AS relation,
                n.ctid AS place,
                n.id,
                n.user_id,
                n.created_at
            FROM notifications AS n
            WHERE n.ctid >= format('(%s,0)', v_page)::tid
                AND n.ctid < format('(%s,0)', v_page + v_pages_a_spot)::tid
                AND n.deleted_at IS NULL
                AND n.status = 'read'
                AND n.user_id IS NOT NULL
                AND n.created_at <= now()
            -- Of each spot some, because a trigger may be about others only.
            LIMIT ceil(v_left / (v_spots - v_spot)::numeric)
        )
        SELECT
            NULL::bigint AS run_id,
            1::bigint AS number,
            0 AS attempts,
            NULL::timestamptz AS done_at,
            s.created_at::notification_created_at AS oldest,
            s.created_at::notification_created_at AS newest,
            (notification_shards(ARRAY[s.user_id]::notification_user_id[]))[1] AS shard,
            pg_relation_filenode(s.relation) AS file,
            ARRAY[s.relation] AS relations,
            ARRAY[s.place] AS places,
            ARRAY[s.id]::notification_id[] AS ids,
            ARRAY[s.user_id]::notification_user_id[] AS users,
            ARRAY[s.created_at]::notification_created_at[] AS created_ats,
            NULL::notification_user_id[] AS last_users,
            NULL::bigint[] AS last_users_planned,
            NULL::notification_user_id[] AS users_left
        FROM spot AS s;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_left := v_left - v_rows;
        EXIT WHEN v_left = 0;
    END LOOP;
END
$$;
COMMENT ON FUNCTION find_notifications_to_rehearse(bigint) IS
    'For rehearse_notification_cleanup(), which is what to call: live read notifications from a '
    'few pages of the table, each as a batch of its own that is not in the queue.';
REVOKE ALL ON FUNCTION find_notifications_to_rehearse(bigint) FROM PUBLIC;
