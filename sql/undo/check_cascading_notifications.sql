-- Refuses to delete notifications for good that would take others along:
--
--     SELECT check_cascading_notifications(find_cascading_notifications('{16384}', '{"(0,1)"}'));
CREATE OR REPLACE FUNCTION check_cascading_notifications(
    positions bigint[]  -- by find_cascading_notifications(); NULL: none
)
RETURNS void
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF check_cascading_notifications.positions IS NULL THEN
        RETURN;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'foreign_key_violation',
        MESSAGE = 'a foreign key with ON DELETE CASCADE would delete other notifications along '
            'with it, which are live or were soft-deleted later',
        HINT = 'It goes when these have gone. Where they are to stay without it, let the foreign '
            'key SET NULL.';
END
$$;
COMMENT ON FUNCTION check_cascading_notifications(bigint[]) IS
    'For try_restore_or_purge() and the rehearsal: refuses what find_cascading_notifications() '
    'has found.';
