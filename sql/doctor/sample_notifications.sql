-- What a sample of the notifications is like, a row for each page range, status and deletion:
--
--     SELECT * FROM sample_notifications();
--
-- A deletion is NULL where a notification is live, else 'then' for a deleted_at that may be the
-- time of a deletion, and 'never' for another one: infinity, one of the future, or one before the
-- notification was created. Whoever marks live ones like that has notifications that no run sees.
CREATE OR REPLACE FUNCTION sample_notifications()
RETURNS TABLE (
    status text,
    deletion text,
    notifications bigint
)
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
    -- For a created_at without zone, and clocks that are not quite right.
    v_tolerance CONSTANT interval := interval '1 day';
    v_spot record;
BEGIN
    FOR v_spot IN
        SELECT
            p.first_row,
            p.behind_last_row
        FROM notification_sample_pages() AS p
    LOOP
        RETURN QUERY
        SELECT
            sampled.status,
            sampled.deletion,
            count(*)
        FROM (
            SELECT
                n.status::text AS status,
                CASE
                    WHEN n.deleted_at IS NULL
                        THEN NULL
                    WHEN NOT isfinite(n.deleted_at)
                        OR n.deleted_at > now() + v_tolerance
                        OR n.deleted_at < n.created_at - v_tolerance AND n.created_at <= now()
                        THEN 'never'
                    ELSE 'then'
                END AS deletion
            FROM notifications AS n
            WHERE n.ctid >= v_spot.first_row
                AND n.ctid < v_spot.behind_last_row
        ) AS sampled
        GROUP BY
            sampled.status,
            sampled.deletion;
    END LOOP;
END
$$;
COMMENT ON FUNCTION sample_notifications() IS
    'For the doctor: how many of some notifications from a few pages of the table have each '
    'status, and whether they are live (deletion NULL), deleted at that time (then), or have a '
    'deleted_at that is not the time of a deletion (never).';
