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
BEGIN
    RETURN EXISTS (
        SELECT
        FROM notification_tables() AS behind
        JOIN pg_trigger AS t ON t.tgrelid = behind.relation
        WHERE NOT t.tgisinternal
            AND t.tgenabled IN ('O', 'A')
            AND t.tgtype & 16 > 0  -- UPDATE
            AND t.tgtype & (2 | 64) = 0  -- neither BEFORE nor INSTEAD OF
    );
END
$$;
COMMENT ON FUNCTION notification_updates_are_followed() IS
    'For restore_listed_notifications(): whether a trigger of the application fires after an '
    'UPDATE of notifications.';
