-- Opens a run for cleanup_next_batch(), or returns one that has not ended:
--
--     SELECT * FROM plan_notification_cleanup(batch_size => 3000);
CREATE OR REPLACE FUNCTION plan_notification_cleanup(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100,
    batch_size integer DEFAULT 10000,
    pause_factor double precision DEFAULT 0,
    max_replica_lag interval DEFAULT NULL,
    max_deletions bigint DEFAULT NULL
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_suspension text;
BEGIN
    PERFORM check_cleanup_limits(
        plan_notification_cleanup.max_notifications,
        plan_notification_cleanup.min_keep,
        plan_notification_cleanup.max_deletions
    );
    PERFORM check_cleanup_pace(
        plan_notification_cleanup.pause_factor,
        plan_notification_cleanup.max_replica_lag
    );
    IF (plan_notification_cleanup.batch_size BETWEEN 1 AND 1000000) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid batch_size => %L', plan_notification_cleanup.batch_size),
            HINT = 'batch_size takes 1 to 1000000.';
    END IF;

    -- Also where it only returns a run that was planned before the columns were altered.
    PERFORM check_notification_columns();
    -- One plan at a time: who comes second finds the run of the first.
    PERFORM pg_advisory_xact_lock(
        'pg_class'::regclass::oid::integer,
        'notification_cleanup_runs'::regclass::oid::integer
    );
    v_suspension := cleanup_suspension();
    IF v_suspension IS NOT NULL THEN
        RAISE NOTICE 'the cleanup is suspended %', v_suspension;
        RETURN NULL;
    END IF;
    v_run := continue_notification_cleanup(
        plan_notification_cleanup.max_notifications,
        plan_notification_cleanup.min_keep
    );
    IF v_run.id IS NULL THEN
        PERFORM warn_without_index();
        v_run := open_notification_cleanup(
            plan_notification_cleanup.max_notifications,
            plan_notification_cleanup.min_keep,
            plan_notification_cleanup.batch_size,
            NULL
        );
    END IF;
    PERFORM check_planned_deletions(v_run, plan_notification_cleanup.max_deletions);
    IF v_run.finished_at IS NULL THEN
        -- How fast it goes, and that it goes, is up to its last caller.
        PERFORM pace_notification_cleanup(
            v_run.id,
            plan_notification_cleanup.pause_factor,
            plan_notification_cleanup.max_replica_lag
        );
        UPDATE notification_cleanup_open_runs AS o
        SET stopped_at = NULL
        WHERE o.run_id = v_run.id;
    END IF;
    RETURN v_run;
END
$$;
COMMENT ON FUNCTION
    plan_notification_cleanup(integer, integer, integer, double precision, interval, bigint)
IS
    'Opens a run in batches of batch_size notifications, for cleanup_next_batch(id), and returns '
    'its record; it has ended already where there is nothing to delete. Returns instead a run with '
    'the same limits that has not ended, if there is one: do its batches, then plan again. One '
    'whose last batch is older than 36 hours is given up. pause_factor: after each batch rest so '
    'many times as long as it took. max_replica_lag: before each batch wait until no standby, no '
    'logical slot and no slot of a standby that is away is further behind; needs '
    'pg_read_all_stats. Of several callers of one run the last one''s pace counts. max_deletions: '
    'where more is to be deleted, nothing is written, and the call fails with NC001. NULL, with a '
    'notice, while the cleanup is suspended.';
