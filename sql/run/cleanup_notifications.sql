-- The job in one call and one transaction:
--
--     SELECT * FROM cleanup_notifications(user_ids => ARRAY[42, 43]);
CREATE OR REPLACE FUNCTION cleanup_notifications(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100,
    user_ids notification_user_id[] DEFAULT NULL,
    max_deletions bigint DEFAULT NULL
)
RETURNS notification_cleanup_runs
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_run record;
    v_suspension text;
BEGIN
    IF to_regclass('notification_cleanup_runs') IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_schema_name',
            MESSAGE = format(
                'cleanup_notifications() has lost its tables, which were in schema %s',
                split_part(current_setting('search_path'), ', ', 1)
            ),
            HINT = 'Where that schema was renamed: SCHEMA=new_name notification-cleanup migrate '
                'adopt.';
    END IF;
    PERFORM check_cleanup_limits(
        cleanup_notifications.max_notifications,
        cleanup_notifications.min_keep,
        cleanup_notifications.max_deletions
    );
    v_suspension := cleanup_suspension();
    IF v_suspension IS NOT NULL THEN
        RAISE NOTICE 'the cleanup is suspended %', v_suspension;
        RETURN NULL;
    END IF;
    -- Nobody else sees this run before it has ended, so it neither continues another one nor can be
    -- joined. A batch that gave way comes again at once, until it waits.
    v_run := open_notification_cleanup(
        cleanup_notifications.max_notifications,
        cleanup_notifications.min_keep,
        NULL,
        cleanup_notifications.user_ids
    );
    PERFORM check_planned_deletions(v_run, cleanup_notifications.max_deletions);
    WHILE v_run.finished_at IS NULL LOOP
        EXIT WHEN cleanup_next_batch(v_run.id) IS NULL;
    END LOOP;
    -- Where it was suspended meanwhile: what is left of it nobody else could do.
    PERFORM give_up_notification_cleanup(v_run.id);

    SELECT r.*
    INTO v_run
    FROM notification_cleanup_runs AS r
    WHERE r.id = v_run.id;
    RETURN v_run;
END
$$;
COMMENT ON FUNCTION cleanup_notifications(integer, integer, notification_user_id[], bigint) IS
    'Soft-deletes, for every user with more than max_notifications live notifications, all read '
    'ones except the min_keep newest, in one transaction; skips rows that somebody holds. Returns '
    'the record of the run: SELECT * FROM cleanup_notifications(). user_ids: only those of the '
    'list who are over the limit. max_deletions: where more is to be deleted, nothing is written, '
    'and the call fails with NC001. Look before with preview_notification_cleanup(), undo with '
    'restore_notifications(id). NULL, with a notice, while the cleanup is suspended. On a table in '
    'use CALL cleanup_notifications_in_batches() instead: this one holds what it deletes until its '
    'end.';
