-- Refuses a purge on Citus where notifications go along with others by ON DELETE CASCADE: workers
-- do not tell the coordinator what they have deleted.
--
--     SELECT check_distributed_cascades();
CREATE OR REPLACE FUNCTION check_distributed_cascades()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF EXISTS (
        SELECT
        FROM pg_constraint AS k
        WHERE k.contype = 'f'
            AND k.confdeltype = 'c'
            AND k.conrelid = to_regclass('notifications')
            AND k.confrelid = to_regclass('notifications')
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'on Citus a purge cannot see which other notifications a foreign key with '
                'ON DELETE CASCADE deletes along',
            HINT = 'Let the foreign key between notifications be one without CASCADE.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_distributed_cascades() IS
    'For purge_listed_notifications() on Citus: refuses where notifications go along with others.';
