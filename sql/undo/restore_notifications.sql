-- Undo of one run in one transaction.
--
--     SELECT restore_notifications(7);
CREATE OR REPLACE FUNCTION restore_notifications(
    run_id bigint
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    -- More subtransactions than 64 in one transaction slow down every other session.
    v_max_attempts CONSTANT integer := 60;
    v_attempts integer := 0;
    v_batch_size integer;
    v_batch record;
    v_restored bigint := 0::bigint;
BEGIN
    PERFORM check_run_id(restore_notifications.run_id);
    PERFORM check_notification_columns();
    PERFORM give_up_notification_cleanup(restore_notifications.run_id);
    SELECT least(greatest(100000, r.notifications_deleted / 30), 1000000)::integer
    INTO v_batch_size
    FROM notification_cleanup_runs AS r
    WHERE r.id = restore_notifications.run_id;
    -- The calls that follow the first few are for what another session held.
    LOOP
        v_batch := restore_batch(
            restore_notifications.run_id,
            v_batch_size,
            v_max_attempts - v_attempts
        );
        EXIT WHEN v_batch.restored IS NULL;
        v_restored := v_restored + v_batch.restored;
        v_attempts := v_attempts + v_batch.attempts;
        IF v_attempts >= v_max_attempts THEN
            RAISE EXCEPTION USING
                ERRCODE = 'program_limit_exceeded',
                MESSAGE = format(
                    'run %s takes more than one transaction to undo',
                    restore_notifications.run_id
                ),
                DETAIL = 'What refuses is found by trying ever smaller parts, and '
                    || v_max_attempts || ' attempts did not suffice. Nothing was restored.',
                HINT = 'Call restore_next_batch() until it is NULL, or notification-cleanup '
                    'restore.';
        END IF;
    END LOOP;
    RETURN v_restored;
END
$$;
COMMENT ON FUNCTION restore_notifications(bigint) IS
    'Undoes one run of notification_cleanup_runs: gives up the batches it has left, after waiting '
    'for those in flight, clears deleted_at on exactly the rows it deleted that are still there, '
    'and returns how many. It steps over what a constraint or a trigger refuses, with a warning '
    'and a row in notification_cleanup_refused; where too many refuse, it fails and changes '
    'nothing. Raise '
    'max_notifications first, or the next run deletes them again.
On a table in use call restore_next_batch() instead: this holds what it restores until its end.';
