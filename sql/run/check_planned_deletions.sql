-- Refuses a run that would delete more than its caller expects, the brake for a first night:
--
--     SELECT check_planned_deletions(r, 50000) FROM notification_cleanup_runs AS r WHERE r.id = 7;
--
-- A run that is continued counts with what it has left.
CREATE OR REPLACE FUNCTION check_planned_deletions(
    run notification_cleanup_runs,
    max_deletions bigint  -- NULL: any number
)
RETURNS void
LANGUAGE plpgsql
IMMUTABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_run CONSTANT notification_cleanup_runs := check_planned_deletions.run;
    v_left CONSTANT bigint := v_run.notifications_planned
        - v_run.notifications_deleted
        - v_run.notifications_skipped
        - v_run.notifications_changed;
BEGIN
    IF v_left > check_planned_deletions.max_deletions THEN
        RAISE EXCEPTION USING
            ERRCODE = 'NC001',
            MESSAGE = format(
                '%s notifications to delete are more than max_deletions, %s',
                v_left,
                check_planned_deletions.max_deletions
            ),
            DETAIL = format(
                '%s users are over the limit of %s. Nothing was written.',
                v_run.users_over_limit,
                v_run.max_notifications
            ),
            HINT = 'Look with SELECT * FROM preview_notification_cleanup(). If all of it may go, '
                'raise max_deletions, or leave it out.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_planned_deletions(notification_cleanup_runs, bigint) IS
    'Raises NC001 where the run has more left to delete than max_deletions.';
