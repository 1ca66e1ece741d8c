-- Lets the workers of Citus plan a batch as the coordinator does, until the caller's end:
--
--     SELECT pin_tid_scans_on_workers();
--
-- The settings of a function stay on the coordinator. Citus hands on a SET LOCAL of a DO block, and
-- only when it is told to.
CREATE OR REPLACE FUNCTION pin_tid_scans_on_workers()
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    DO $citus$
    BEGIN
        SET LOCAL citus.propagate_set_commands = 'local';
        SET LOCAL jit = off;
        SET LOCAL enable_tidscan = on;
        SET LOCAL enable_nestloop = off;
        SET LOCAL enable_hashjoin = on;
        SET LOCAL enable_mergejoin = off;
        SET LOCAL enable_seqscan = off;
        SET LOCAL enable_indexscan = off;
        SET LOCAL enable_indexonlyscan = off;
        SET LOCAL enable_bitmapscan = off;
    END
    $citus$;
END
$$;
COMMENT ON FUNCTION pin_tid_scans_on_workers() IS
    'For the functions that carry the same settings on the coordinator: sets them on the workers '
    'of Citus as well.';
