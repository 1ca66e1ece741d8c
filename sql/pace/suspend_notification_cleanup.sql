-- Suspends the job until somebody resumes it, whoever calls it and however often:
--
--     SELECT suspend_notification_cleanup('run 7 is being undone, ask Ada');
--
-- It is written down in a table, so that a restart or a failover changes nothing about it.
CREATE OR REPLACE FUNCTION suspend_notification_cleanup(reason text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_was_suspended boolean;
BEGIN
    PERFORM check_calling_schema();
    IF coalesce(btrim(suspend_notification_cleanup.reason), '') = '' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a suspension without a reason',
            HINT = 'reason takes a text: whoever finds the job suspended will want to know why.';
    END IF;
    -- Again only where somebody has resumed it between the two statements.
    WHILE v_was_suspended IS NULL LOOP
        INSERT INTO notification_cleanup_suspension (reason)
        VALUES (suspend_notification_cleanup.reason)
        ON CONFLICT (is_suspended) DO NOTHING;
        IF FOUND THEN
            v_was_suspended := false;
            CONTINUE;
        END IF;
        RAISE NOTICE 'was suspended already %', cleanup_suspension();
        UPDATE notification_cleanup_suspension AS s
        SET
            reason = suspend_notification_cleanup.reason,
            suspended_at = DEFAULT,
            suspended_by = DEFAULT,
            application_name = DEFAULT;
        IF FOUND THEN
            v_was_suspended := true;
        END IF;
    END LOOP;
    RETURN NOT v_was_suspended;
END
$$;
COMMENT ON FUNCTION suspend_notification_cleanup(text) IS
    'Suspends the job: until resume_notification_cleanup() nobody plans or continues a run, and '
    'whoever works on one ends after the batch, with a notice that gives the reason. Undo and '
    'purge go on. Returns whether it was not suspended before; where it was, the new reason '
    'counts.';
