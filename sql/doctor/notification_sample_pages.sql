-- Some pages, spread over notifications, for whoever wants a sample of it: so few that they are
-- read in no time, however large the table is.
--
--     SELECT * FROM notification_sample_pages();
CREATE OR REPLACE FUNCTION notification_sample_pages()
RETURNS TABLE (
    first_row tid,
    behind_last_row tid
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_pages bigint;  -- of the largest table or partition
    v_width bigint;
    v_spots bigint;
BEGIN
    SELECT
        coalesce(max(t.pages), 0),
        -- Each spot is read in all of them at once.
        64 / greatest(count(*), 1) + 1
    INTO
        v_pages,
        v_width
    FROM notification_tables() AS t
    WHERE t.is_leaf;
    v_spots := least(v_pages / v_width, 15) + 1;
    RETURN QUERY
    SELECT
        format('(%s,0)', first.page)::tid,
        format('(%s,0)', first.page + v_width)::tid
    FROM generate_series(0::bigint, v_spots - 1) AS spot (number)
    CROSS JOIN LATERAL (
        SELECT spot.number * greatest(v_pages / v_spots, v_width) AS page
    ) AS first;
END
$$;
COMMENT ON FUNCTION notification_sample_pages() IS
'Up to 16 ranges of places (ctid), spread over notifications, of some pages each: for samples.';
