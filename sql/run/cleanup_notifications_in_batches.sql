-- The job for pg_cron and for a backlog of any size:
--
--     CALL cleanup_notifications_in_batches(time_limit => '2 hours');
CREATE OR REPLACE PROCEDURE cleanup_notifications_in_batches(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100,
    batch_size integer DEFAULT 10000,
    time_limit interval DEFAULT NULL,
    pause_factor double precision DEFAULT 0,
    max_replica_lag interval DEFAULT NULL,
    max_deletions bigint DEFAULT NULL
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_run record;
    v_run_id bigint;  -- NULL: to be planned
    v_newest_run_before bigint;
    v_deleted bigint;
    v_why_no_commit text;
    v_why_no_rollback text;
    v_called_at CONSTANT timestamptz := pg_catalog.clock_timestamp();
    v_found CONSTANT regprocedure := pg_catalog.to_regprocedure(
        'cleanup_notifications_in_batches(
            integer, integer, integer, interval, double precision, interval, bigint
        )'
    );
BEGIN
    -- A procedure that commits may carry no SET clause, and a local setting ends with its
    -- transaction.
    PERFORM pg_catalog.set_config('search_path', 'path of this procedure', true);
    -- Neither succeeds in a block that catches errors. Where the call is inside a transaction both
    -- say so, in the same words; where it is not, each says that it is not for such a block. The
    -- words are in the language of the server.
    BEGIN
        COMMIT;
    EXCEPTION
        WHEN invalid_transaction_termination THEN
            v_why_no_commit := SQLERRM;
    END;
    BEGIN
        ROLLBACK;
    EXCEPTION
        WHEN invalid_transaction_termination THEN
            v_why_no_rollback := SQLERRM;
    END;
    IF v_why_no_commit = v_why_no_rollback THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_transaction_termination',
            MESSAGE = 'cleanup_notifications_in_batches() commits, so it cannot run inside a '
                'transaction',
            HINT = 'CALL it alone: outside of BEGIN, not from a function, and as the only '
                'statement of its string. Inside a transaction use '
                'SELECT * FROM cleanup_notifications().';
    END IF;
    IF to_regclass('notification_cleanup_runs') IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_schema_name',
            MESSAGE = format(
                'cleanup_notifications_in_batches() has lost its tables, which were in schema %s',
                split_part(current_setting('search_path'), ', ', 1)
            ),
            HINT = 'Where that schema was renamed: SCHEMA=new_name notification-cleanup migrate '
                'adopt.';
    END IF;
    PERFORM check_calling_schema(v_found);
    IF cleanup_notifications_in_batches.time_limit <= interval '0' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format(
                'invalid limit: time_limit => %L',
                cleanup_notifications_in_batches.time_limit
            ),
            HINT = 'time_limit takes a positive interval, or NULL for none.';
    END IF;

    -- By their numbers, because a clock may be set back.
    SELECT coalesce(max(r.id), bigint '0')
    INTO v_newest_run_before
    FROM notification_cleanup_runs AS r;
    LOOP
        COMMIT;
        -- At a stricter level this would fail, or the application, wherever the two meet.
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
        PERFORM pg_catalog.set_config('search_path', 'path of this procedure', true);
        IF v_run_id IS NULL THEN
            SELECT r.*
            INTO v_run
            FROM plan_notification_cleanup(
                cleanup_notifications_in_batches.max_notifications,
                cleanup_notifications_in_batches.min_keep,
                cleanup_notifications_in_batches.batch_size,
                cleanup_notifications_in_batches.pause_factor,
                cleanup_notifications_in_batches.max_replica_lag,
                cleanup_notifications_in_batches.max_deletions
            ) AS r;
            EXIT WHEN v_run.id IS NULL;  -- suspended, as a notice says
            v_run_id := v_run.id;
            RAISE NOTICE 'run %: % users over the limit, % notifications to delete',
                v_run_id,
                v_run.users_over_limit,
                v_run.notifications_planned;
            EXIT WHEN v_run.finished_at IS NOT NULL;
            CONTINUE;
        END IF;

        v_deleted := cleanup_next_batch(v_run_id);
        SELECT r.*
        INTO v_run
        FROM notification_cleanup_runs AS r
        WHERE r.id = v_run_id;
        IF NOT FOUND THEN
            PERFORM check_run_id(v_run_id);
        END IF;
        IF v_deleted > 0 THEN
            RAISE NOTICE 'run %: % of % notifications deleted, % skipped, % changed, % elapsed',
                v_run_id,
                v_run.notifications_deleted,
                v_run.notifications_planned,
                v_run.notifications_skipped,
                v_run.notifications_changed,
                clock_timestamp() - v_called_at;
        ELSIF v_deleted IS NULL THEN
            -- What an earlier call had left is done now, or the table was rewritten: plan our own.
            -- Otherwise that was our own, or somebody has stopped or undone it.
            EXIT WHEN v_run.id > v_newest_run_before AND v_run.finished_at IS NOT NULL;
            EXIT WHEN v_run.finished_at IS NULL AND NOT cleanup_run_is_rewritten(v_run_id);
            v_run_id := NULL;
        END IF;
        EXIT WHEN clock_timestamp() - v_called_at
            >= cleanup_notifications_in_batches.time_limit;
    END LOOP;
END
$$;
-- Writes the path into the body: a caller's search_path must not decide what the procedure calls.
DO $$
BEGIN
    EXECUTE replace(
        pg_get_functiondef(
            'cleanup_notifications_in_batches(
                integer, integer, integer, interval, double precision, interval, bigint
            )'::regprocedure
        ),
        '''path of this procedure''',
        quote_literal(current_setting('search_path'))
    );
END
$$;
COMMENT ON PROCEDURE
    cleanup_notifications_in_batches(
        integer, integer, integer, interval, double precision, interval, bigint
    )
IS
    'The job of cleanup_notifications() in batches of batch_size notifications, with a COMMIT and '
    'a NOTICE of progress after each; stops after the batch that crosses time_limit. pause_factor, '
    'max_replica_lag and max_deletions: as of plan_notification_cleanup(); waiting counts against '
    'time_limit. CALL it alone, not inside a transaction. What it leaves when it is stopped or '
    'killed, the next call with the same limits does first; two calls at the same time share the '
    'work.';
