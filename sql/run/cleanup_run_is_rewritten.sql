-- Whether a batch of the run has met a table that was rewritten or replaced since the plan, so that
-- whoever works on the run should plan anew:
--
--     SELECT cleanup_run_is_rewritten(7);
CREATE OR REPLACE FUNCTION cleanup_run_is_rewritten(run_id bigint)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM notification_cleanup_open_runs AS o
        WHERE o.run_id = cleanup_run_is_rewritten.run_id
            AND o.rewritten
    );
END
$$;
COMMENT ON FUNCTION cleanup_run_is_rewritten(bigint) IS
    'Whether the run is given up because its table was rewritten or replaced since it was planned: '
    'call plan_notification_cleanup() again.';
