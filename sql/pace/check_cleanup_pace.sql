-- Refuses a pace that makes no sense, or that this role cannot keep:
--
--     SELECT check_cleanup_pace(1, interval '30 seconds');
CREATE OR REPLACE FUNCTION check_cleanup_pace(
    pause_factor double precision,
    max_replica_lag interval
)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF (
        check_cleanup_pace.pause_factor BETWEEN double precision '0' AND '1000'
        AND coalesce(check_cleanup_pace.max_replica_lag > interval '0', true)
    ) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid pace: pause_factor => %L, max_replica_lag => %L',
                check_cleanup_pace.pause_factor,
                check_cleanup_pace.max_replica_lag
            ),
            HINT = 'pause_factor takes 0 to 1000, max_replica_lag a positive interval, or NULL for '
                'none.';
    END IF;
    IF check_cleanup_pace.max_replica_lag IS NOT NULL THEN
        -- Raises an error for a role that may not see the replicas.
        PERFORM notification_replicas();
    END IF;
END
$$;
COMMENT ON FUNCTION check_cleanup_pace(double precision, interval) IS
    'Raises invalid_parameter_value (22023) unless this is a pace that a run can have, and '
    'insufficient_privilege (42501) where this role may not see how far the replicas are.';
