-- Warns where no valid index serves the cleanup, so that a run reads whole tables: a migration does
-- at its end, and each plan.
--
--     SELECT warn_without_index();
CREATE OR REPLACE FUNCTION warn_without_index()
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_tables text;
BEGIN
    -- Where ours are valid each partition has them too, and the long way need not be gone.
    IF 2 = (
        SELECT count(*)
        FROM pg_index AS x
        WHERE x.indrelid = 'notifications'::regclass
            AND x.indisvalid
            AND x.indexrelid IN (
                to_regclass('notifications_live_idx'),
                to_regclass('notifications_deleted_idx')
            )
    ) THEN
        RETURN;
    END IF;
    SELECT string_agg(DISTINCT i.relation::text, ', ')
    INTO v_tables
    FROM notification_cleanup_indexes() AS i
    WHERE i.purpose IS NOT NULL
        AND i.index IS NULL;
    IF v_tables IS NOT NULL THEN
        RAISE WARNING USING
            MESSAGE = 'no valid index serves the cleanup on ' || v_tables,
            HINT = E'notification-cleanup migrate up builds it, or prints what the table behind a '
                'view lacks. In psql: SELECT statement FROM notification_cleanup_indexes() '
                'WHERE statement IS NOT NULL \\gexec';
    END IF;
END
$$;
COMMENT ON FUNCTION warn_without_index() IS
    'Raises a WARNING that names the tables behind notifications on which no valid index serves.';
