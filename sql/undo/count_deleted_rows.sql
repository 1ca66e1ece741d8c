-- How many rows of some tables this transaction has deleted so far, by whatever statement, foreign
-- key or trigger:
--
--     SELECT count_deleted_rows(notification_siblings());
--
-- The server counts them for its statistics, also those of attempts that were taken back.
CREATE OR REPLACE FUNCTION count_deleted_rows(tables oid[])
RETURNS bigint
LANGUAGE sql
VOLATILE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT coalesce(sum(pg_stat_get_xact_tuples_deleted(t.oid)), 0)::bigint
FROM unnest(count_deleted_rows.tables) AS t (oid)
$$;
COMMENT ON FUNCTION count_deleted_rows(oid[]) IS
    'For purge_listed_notifications(): how many rows of these tables the transaction has deleted '
    'so far. Needs track_counts = on.';
