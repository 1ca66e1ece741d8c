-- Tells if a trigger of the application fires after an UPDATE of notifications, and so may write
-- them once more, in a statement of its own:
--
--     SELECT notification_updates_are_followed();
CREATE OR REPLACE FUNCTION notification_updates_are_followed()
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_followed CONSTANT oid[] := ARRAY(
        SELECT t.tgrelid
        FROM pg_trigger AS t
        WHERE NOT t.tgisinternal
            AND t.tgenabled <> 'D'
            AND t.tgtype & 16 > 0  -- UPDATE
            AND t.tgtype & (2 | 64) = 0  -- neither BEFORE nor INSTEAD OF
    );
BEGIN
    -- Each batch asks. Where nothing has such a trigger, it need not look for all partitions.
    IF v_followed = '{}' THEN
        RETURN false;
    END IF;
    RETURN EXISTS (
        SELECT
        FROM notification_tables() AS behind
        WHERE behind.relation = ANY (v_followed)
    );
END
$$;
COMMENT ON FUNCTION notification_updates_are_followed() IS
    'For sweep_cleanup_batch() and restore_listed_notifications(): whether a trigger of the '
    'application fires after an UPDATE of notifications.';
