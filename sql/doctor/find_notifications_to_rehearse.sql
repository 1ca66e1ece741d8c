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
    v_left bigint := find_notifications_to_rehearse.max_batches;
    v_rows bigint;
    v_spot record;
BEGIN
    FOR v_spot IN
        SELECT
            p.first_row,
            p.behind_last_row,
            count(*) OVER () - row_number() OVER () + 1 AS spots_left
        FROM notification_sample_pages() AS p
    LOOP
        RETURN QUERY
        WITH spot AS (
            SELECT
                n.tableoid AS relation,
                n.ctid AS place,
                n.id,
                n.user_id,
                n.created_at
            FROM notifications AS n
            WHERE n.ctid >= v_spot.first_row
                AND n.ctid < v_spot.behind_last_row
                AND n.deleted_at IS NULL
                AND n.status = 'read'
                AND n.user_id IS NOT NULL
                AND n.created_at <= now()
            -- Of each spot some, because a trigger may be about others only.
            LIMIT ceil(v_left::numeric / v_spot.spots_left::numeric)
        )
        SELECT
            NULL::bigint AS run_id,
            1::bigint AS number,
            0 AS attempts,
            NULL::timestamptz AS done_at,
            s.created_at::notification_created_at AS oldest,
            s.created_at::notification_created_at AS newest,
            (notification_shards(ARRAY[s.user_id]::notification_user_id[]))[1] AS shard,
            pg_relation_filenode(s.relation::regclass) AS file,
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
