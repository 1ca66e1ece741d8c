-- Refuses to purge where a rule does something else instead of DELETE: nothing would go, and what
-- the rule returns would be counted as gone.
--
--     SELECT check_delete_rules();
CREATE OR REPLACE FUNCTION check_delete_rules()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_rules text;
BEGIN
    SELECT string_agg(format('%I on %s', r.rulename, r.ev_class::regclass), ', ')
    INTO v_rules
    FROM pg_rewrite AS r
    WHERE r.ev_type = '4'  -- DELETE
        AND r.is_instead
        AND r.ev_enabled IN ('O', 'A')
        AND r.ev_class IN (SELECT t.relation FROM notification_tables() AS t);
    IF v_rules IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'rules do something else instead of DELETE: ' || v_rules,
            DETAIL = 'With them no notification can be purged. Nothing was changed.',
            HINT = 'DROP RULE, or do not purge here.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_delete_rules() IS
    'For purge_notifications(): raises object_not_in_prerequisite_state (55000) where a rule of '
    'the application does something else instead of DELETE.';
