-- Which statuses live notifications have, in a sample:
--
--     SELECT * FROM sample_notification_statuses();
CREATE OR REPLACE FUNCTION sample_notification_statuses()
RETURNS TABLE (
    status text,
    notifications bigint
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
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
    v_spot record;
    v_statuses text[] := ARRAY[]::text[];
BEGIN
    FOR v_spot IN
        SELECT
            p.first_row,
            p.behind_last_row
        FROM notification_sample_pages() AS p
    LOOP
        v_statuses := v_statuses || ARRAY(
            SELECT n.status::text
            FROM notifications AS n
            WHERE n.ctid >= v_spot.first_row
                AND n.ctid < v_spot.behind_last_row
                AND n.deleted_at IS NULL
            LIMIT 1000
        );
    END LOOP;
    RETURN QUERY
    SELECT
        sampled.status,
        count(*)
    FROM unnest(v_statuses) AS sampled (status)
    GROUP BY sampled.status;
END
$$;
COMMENT ON FUNCTION sample_notification_statuses() IS
'For the doctor: the statuses of some live notifications from a few pages of the table, and how '
'many of them have each.';
