-- Writes the record of a new run, which is still empty:
--
--     SELECT * FROM record_new_cleanup_run(1000, 100);
CREATE OR REPLACE FUNCTION record_new_cleanup_run(
    max_notifications integer,
    min_keep integer
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_run notification_cleanup_runs;
    v_is_behind boolean;
BEGIN
    -- started_at names the rows of a run, so two runs that open in the same microsecond must
    -- differ in it.
    WHILE v_run.id IS NULL LOOP
        BEGIN
            INSERT INTO notification_cleanup_runs (max_notifications, min_keep)
            VALUES (
                record_new_cleanup_run.max_notifications,
                record_new_cleanup_run.min_keep
            )
            ON CONFLICT (started_at) DO NOTHING
            RETURNING * INTO v_run;
            -- Runs that open at the same moment may get their numbers the other way round.
            v_is_behind := EXISTS (
                SELECT
                FROM notification_cleanup_runs AS r
                WHERE r.id > v_run.id
                    AND r.started_at < v_run.started_at - interval '1 minute'
            );
        EXCEPTION
            WHEN unique_violation THEN
                v_is_behind := true;
        END;
        IF v_is_behind THEN
            RAISE EXCEPTION USING
                ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = 'the numbers of new runs are behind those of notification_cleanup_runs',
                DETAIL = 'So it is where the rows were copied without the sequence, as logical '
                    'replication does. Nothing was written.',
                HINT = 'As the owner: ' || cleanup_run_ids_repair();
        END IF;
    END LOOP;
    RETURN v_run;
END
$$;
COMMENT ON FUNCTION record_new_cleanup_run(integer, integer) IS
    'For open_notification_cleanup(): writes the record of a new run, and raises 55000 where its '
    'number is not the highest.';
