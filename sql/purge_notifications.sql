-- The end of the life cycle: deletes notifications for good that were soft-deleted longer than retention ago,
-- oldest first, at most max_rows a call, and returns how many. Call it until it returns 0.
--
--     SELECT purge_notifications('30 days', 10000);

CREATE OR REPLACE FUNCTION purge_notifications(
    retention interval DEFAULT '30 days',
    max_rows integer DEFAULT 10000
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_purged bigint;
BEGIN
    IF (retention > interval '0' AND now() - retention < now() AND max_rows >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid limits: retention => %L, max_rows => %L', retention, max_rows),
            HINT = 'retention takes a positive interval, max_rows 1 or more.';
    END IF;

    WITH expired AS (
        SELECT n.id
        FROM notifications AS n
        WHERE n.deleted_at < now() - retention
        ORDER BY n.deleted_at
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    ),
    purged AS (
        DELETE FROM notifications AS n
        -- By the primary key: an array, because a join could read the whole table, and IS TRUE, because the index on
        -- deleted_at would lead to the rows of a whole run for each row.
        WHERE n.id = ANY (ARRAY(SELECT expired.id FROM expired))
            AND (n.deleted_at < now() - retention) IS TRUE
        RETURNING n.id
    )
    SELECT count(*) INTO v_purged
    FROM purged;

    RETURN v_purged;
END
$$;

COMMENT ON FUNCTION purge_notifications(interval, integer) IS
'Deletes for good, oldest first, up to max_rows notifications that were soft-deleted longer than retention ago, and returns how many; never a live one, and never waits for a row lock. What is purged cannot be restored.';
REVOKE ALL ON FUNCTION purge_notifications(interval, integer) FROM PUBLIC;
