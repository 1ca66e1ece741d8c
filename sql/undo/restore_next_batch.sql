-- Undo of one run in batches: call it until it is NULL. Any number of sessions may call it.
--
--     SELECT restore_next_batch(7);
CREATE OR REPLACE FUNCTION restore_next_batch(
    run_id bigint,
    batch_size integer DEFAULT 10000
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    PERFORM check_run_id(restore_next_batch.run_id);
    IF (restore_next_batch.batch_size >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid batch_size => %L', restore_next_batch.batch_size),
            HINT = 'batch_size takes 1 or more.';
    END IF;
    PERFORM check_notification_columns();
    PERFORM give_up_notification_cleanup(restore_next_batch.run_id);
    RETURN (
        SELECT b.restored
        FROM restore_batch(
            restore_next_batch.run_id,
            least(restore_next_batch.batch_size, 1000000),  -- an array takes no more of them
            60
        ) AS b
    );
END
$$;
COMMENT ON FUNCTION restore_next_batch(bigint, integer) IS
    'Undoes the next batch_size notifications of one run, in the order of the table, and returns '
    'how many. The first call gives up the batches that the run has left, after waiting for those '
    'in flight.
Call it until it is NULL, each time in a transaction of its own. It steps over what a constraint '
    'or a trigger refuses, with a warning and a row in notification_cleanup_refused. It skips what '
    'another session holds, and waits for one of those when nothing else is left. 0 means that '
    'this one has changed or gone meanwhile, or that all of the batch refused.';
