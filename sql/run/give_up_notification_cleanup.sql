-- Gives a run up: what it has left is not done, and its record stays without an end. Does nothing
-- where the run has ended. Waits for batches in flight:
--
--     SELECT give_up_notification_cleanup(7);
CREATE OR REPLACE FUNCTION give_up_notification_cleanup(run_id bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    PERFORM count_lost_commits(give_up_notification_cleanup.run_id);
    IF settle_notification_cleanup(give_up_notification_cleanup.run_id) THEN
        RAISE NOTICE 'run %: given up%',
            give_up_notification_cleanup.run_id,
            CASE
                WHEN cleanup_run_is_rewritten(give_up_notification_cleanup.run_id)
                THEN ', because its table was rewritten or replaced since the plan'
            END;
    END IF;
END
$$;
COMMENT ON FUNCTION give_up_notification_cleanup(bigint) IS
    'For plan_notification_cleanup(), cleanup_next_batch() and restore_notifications(), which are '
    'what to call: removes what a run has left, after waiting for batches in flight.';
