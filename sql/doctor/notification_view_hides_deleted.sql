-- Whether notifications is a view that cannot show what is soft-deleted, as with
-- WHERE deleted_at IS NULL. Undo and purge would find nothing there.
--
--     SELECT notification_view_hides_deleted();
--
-- The planner tells: what two conditions exclude it does not read. A condition that it does not
-- understand is found by the rehearsal.
CREATE OR REPLACE FUNCTION notification_view_hides_deleted()
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET constraint_exclusion = on
AS $$
DECLARE
    v_plan json;
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid
            AND a.attname = 'deleted_at'
        WHERE c.oid = to_regclass('notifications')
            AND c.relkind = 'v'
    ) THEN
        RETURN false;
    END IF;
    EXPLAIN (FORMAT JSON)
    SELECT n.deleted_at
    INTO v_plan
    FROM notifications AS n
    WHERE n.deleted_at IS NOT NULL;
    RETURN coalesce(v_plan #>> '{0,Plan,One-Time Filter}' = 'false', false);
END
$$;
COMMENT ON FUNCTION notification_view_hides_deleted() IS
'For the doctor: whether notifications is a view whose condition keeps out what is soft-deleted.';
