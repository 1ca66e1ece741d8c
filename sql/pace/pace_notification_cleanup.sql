-- Lets a run that is under way go on at another pace, whoever works on it:
--
--     SELECT pace_notification_cleanup(7, pause_factor => 3);
CREATE OR REPLACE FUNCTION pace_notification_cleanup(
    run_id bigint,
    pause_factor double precision DEFAULT 0,
    max_replica_lag interval DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    PERFORM check_calling_schema();
    PERFORM check_run_id(pace_notification_cleanup.run_id);
    PERFORM check_cleanup_pace(
        pace_notification_cleanup.pause_factor,
        pace_notification_cleanup.max_replica_lag
    );
    UPDATE notification_cleanup_open_runs AS o
    SET
        pause_factor = pace_notification_cleanup.pause_factor,
        max_replica_lag = pace_notification_cleanup.max_replica_lag,
        resting_since = NULL,
        rest_until = NULL,
        -- Each replica must first come to where the primary is now.
        replicas_mark = CASE
            WHEN pace_notification_cleanup.max_replica_lag IS NOT NULL
            THEN pg_current_wal_flush_lsn()
        END,
        replicas_due = clock_timestamp()
    WHERE o.run_id = pace_notification_cleanup.run_id;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION pace_notification_cleanup(bigint, double precision, interval) IS
    'Sets pause_factor and max_replica_lag of a run that has not ended, from its next batch on: '
    'see plan_notification_cleanup(). Returns whether the run had anything left.';
