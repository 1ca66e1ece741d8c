-- The job for pg_cron and for a backlog of any size: cleanup_notifications() batch by batch, a COMMIT after each.
--
--     CALL cleanup_notifications_in_batches();
--     CALL cleanup_notifications_in_batches(batch_size => 50000, time_limit => '2 hours');

CREATE OR REPLACE PROCEDURE cleanup_notifications_in_batches(
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100,
    batch_size integer DEFAULT 10000,
    time_limit interval DEFAULT NULL
)
LANGUAGE plpgsql
SECURITY INVOKER
AS $$
DECLARE
    v_run record;
    v_batch record;
    v_users integer := 0;
    v_elapsed interval;
BEGIN
    -- A procedure that commits may carry no SET clause, and a local setting ends with its transaction.
    PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);

    BEGIN
        COMMIT;  -- never succeeds here, but the message tells whether it could outside of this block
    EXCEPTION
        WHEN invalid_transaction_termination THEN
            IF SQLERRM = 'invalid transaction termination' THEN
                RAISE EXCEPTION USING
                    ERRCODE = 'invalid_transaction_termination',
                    MESSAGE = 'cleanup_notifications_in_batches() commits, so it cannot run inside a transaction',
                    HINT = 'CALL it alone: outside of BEGIN, not from a function, and as the only statement of its string. Inside a transaction use SELECT * FROM cleanup_notifications().';
            END IF;
    END;

    IF (batch_size >= 1 AND coalesce(time_limit, interval '1 second') > interval '0') IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('invalid limits: batch_size => %L, time_limit => %L', batch_size, time_limit),
            HINT = 'batch_size takes 1 or more, time_limit a positive interval or NULL.';
    END IF;

    -- Serializable or repeatable read by default would make this fail, or the application, wherever the two meet.
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);

    -- With nobody to clean this opens a run; it is closed again below.
    SELECT * INTO v_run FROM cleanup_notifications(max_notifications, min_keep, '{}');
    UPDATE notification_cleanup_runs SET finished_at = NULL WHERE id = v_run.id;

    FOR v_batch IN
        SELECT
            inbox.batch,
            array_agg(inbox.user_id) AS user_ids,
            sum(count(*)) OVER () AS users_found
        FROM (
            -- Whole users, so a batch is only about batch_size. Those with nothing to delete come last, in batch NULL.
            SELECT
                p.user_id,
                CASE WHEN p.deletable_notifications > 0 THEN
                    div(sum(p.deletable_notifications) OVER (ORDER BY p.deletable_notifications DESC, p.user_id)
                        - p.deletable_notifications, batch_size)
                END AS batch
            FROM preview_notification_cleanup(max_notifications, min_keep) AS p
        ) AS inbox
        GROUP BY inbox.batch
        ORDER BY inbox.batch
    LOOP
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
        PERFORM pg_catalog.set_config('search_path', 'schema of this procedure', true);
        v_users := v_users + cardinality(v_batch.user_ids);
        IF v_batch.batch IS NOT NULL THEN
            SELECT * INTO v_run FROM cleanup_notifications(max_notifications, min_keep, v_batch.user_ids, v_run.id);
        ELSE
            -- To be counted, their inboxes need not be read again.
            UPDATE notification_cleanup_runs AS r
            SET
                users_over_limit = r.users_over_limit + cardinality(v_batch.user_ids),
                users_still_over_limit = r.users_still_over_limit + cardinality(v_batch.user_ids)
            WHERE r.id = v_run.id;
        END IF;
        v_elapsed := clock_timestamp() - v_run.started_at;
        RAISE NOTICE 'run %: % of % users done, % notifications deleted, % elapsed',
            v_run.id, v_users, v_batch.users_found, v_run.notifications_deleted, v_elapsed;
        EXIT WHEN v_elapsed >= time_limit;
    END LOOP;

    UPDATE notification_cleanup_runs SET finished_at = clock_timestamp() WHERE id = v_run.id;
END
$$;

-- Writes the schema into the body: a caller's search_path must not decide what the procedure calls.
DO $$
BEGIN
    EXECUTE replace(
        pg_get_functiondef('cleanup_notifications_in_batches(integer, integer, integer, interval)'::regprocedure),
        '''schema of this procedure''',
        quote_literal(quote_ident(current_schema()) || ', pg_temp')
    );
END
$$;

COMMENT ON PROCEDURE cleanup_notifications_in_batches(integer, integer, integer, interval) IS
'cleanup_notifications() for whole users in batches of about batch_size notifications, with a COMMIT and a NOTICE of progress after each; stops after the batch that crosses time_limit.
CALL it alone, not inside a transaction. One row of notification_cleanup_runs grows with each commit; finished_at stays NULL if the call is killed, and the next run goes on.';
REVOKE ALL ON PROCEDURE cleanup_notifications_in_batches(integer, integer, integer, interval) FROM PUBLIC;
