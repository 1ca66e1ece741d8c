-- The end of the life cycle, to be called until it returns 0: SELECT purge_notifications('30 days', 10000);
CREATE OR REPLACE FUNCTION purge_notifications(retention interval DEFAULT '30 days', max_rows integer DEFAULT 10000)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
DECLARE
    v_purged bigint;
BEGIN
    IF (retention > interval '0' AND now() - retention < now() AND max_rows >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'retention takes a positive interval, max_rows 1 or more.',
            MESSAGE = format('invalid limits: retention => %L, max_rows => %L', retention, max_rows);
    END IF;
    -- By the primary key: an array, as a join could read the whole table, and IS TRUE, as the other index leads through a whole run.
    DELETE FROM notifications AS n
    WHERE (n.deleted_at < now() - retention) IS TRUE AND n.id = ANY (ARRAY(
        SELECT e.id FROM notifications AS e WHERE e.deleted_at < now() - retention ORDER BY e.deleted_at LIMIT max_rows FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_purged = ROW_COUNT;
    RETURN v_purged;
END
$$;
COMMENT ON FUNCTION purge_notifications(interval, integer) IS
'Deletes for good, oldest first, up to max_rows notifications that were soft-deleted longer than retention ago, and returns how many; never a live one, and never waits for a row lock. What is purged cannot be restored.';
REVOKE ALL ON FUNCTION purge_notifications(interval, integer) FROM PUBLIC;
