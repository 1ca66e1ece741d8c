-- Does one step to the one notification of a batch that is not in the queue, looks at it, and takes
-- all of it back:
--
--     SELECT r.*
--     FROM find_notifications_to_rehearse(1) AS batch
--     CROSS JOIN rehearse_cleanup_step('purge', batch) AS r;
--
-- By the routines that a run, an undo and a purge call. Waits for nobody: 100 ms for a lock at
-- most, since the notification is one that the application may want. With an empty list it finds
-- out whether the server accepts the statements at all.
CREATE OR REPLACE FUNCTION rehearse_cleanup_step(
    step text,  -- soft-delete; or restore or purge, which begin with that
    batch notification_cleanup_batches,
    OUT outcome text,
    OUT sqlstate text,
    OUT message text,
    OUT detail text,
    OUT advice text
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET lock_timeout = '100ms'
-- What our routines and the application's triggers tell is not for whoever calls this.
SET client_min_messages = error
AS $$
DECLARE
    v_lock_timeout CONSTANT text := current_setting('lock_timeout');
    v_id CONSTANT notification_id := (rehearse_cleanup_step.batch).ids[1];
    v_user_id CONSTANT notification_user_id := (rehearse_cleanup_step.batch).users[1];
    v_created_at CONSTANT notification_created_at := (rehearse_cleanup_step.batch).created_ats[1];
    v_run notification_cleanup_runs;
    v_sweep record;
    v_deleted_at timestamptz;
    -- Where it lies once it is deleted.
    v_relations oid[] := ARRAY[]::oid[];
    v_places tid[] := ARRAY[]::tid[];
    v_is_done boolean;
BEGIN
    PERFORM check_notification_columns();
    -- A number that no run has, nor a rehearsal in another session: none is missing afterwards.
    INSERT INTO notification_cleanup_runs (id, max_notifications, min_keep)
    OVERRIDING SYSTEM VALUE
    VALUES (-pg_backend_pid(), 1, 1)
    RETURNING * INTO v_run;
    rehearse_cleanup_step.batch.run_id := v_run.id;
    INSERT INTO notification_cleanup_batches
    SELECT (rehearse_cleanup_step.batch).*;

    v_sweep := sweep_cleanup_batch(v_run.id, 1, v_lock_timeout);
    PERFORM record_cleanup_batch(
        v_run.id,
        1,
        v_sweep.deleted,
        v_sweep.missed,
        v_sweep.kept,
        interval '0'
    );
    -- Deferred ones would speak at COMMIT only. It is for the steps that follow as well.
    SET CONSTRAINTS ALL IMMEDIATE;
    IF v_id IS NULL THEN
        rehearse_cleanup_step.outcome := 'accepted';
        rehearse_cleanup_step.message := 'the server takes the statement, but '
            'no read notification was found to try it with';
    ELSIF v_sweep.deleted = 0 AND v_sweep.kept IS NULL THEN
        rehearse_cleanup_step.outcome := 'held';
        rehearse_cleanup_step.message := 'another session holds it, or has changed it';
    ELSE
        SELECT
            n.deleted_at,
            ARRAY[n.tableoid],
            ARRAY[n.ctid]
        INTO
            v_deleted_at,
            v_relations,
            v_places
        FROM notifications AS n
        WHERE n.id = v_id
            AND n.user_id = v_user_id
            AND n.created_at = v_created_at;
        rehearse_cleanup_step.outcome := CASE
            WHEN NOT FOUND THEN 'fails'
            WHEN v_deleted_at IS DISTINCT FROM v_run.started_at THEN 'kept'
            ELSE 'works'
        END;
    END IF;

    IF rehearse_cleanup_step.outcome IN ('accepted', 'works')
        AND rehearse_cleanup_step.step <> 'soft-delete'
    THEN
        IF rehearse_cleanup_step.step = 'restore' THEN
            PERFORM restore_listed_notifications(
                v_relations,
                v_places,
                (rehearse_cleanup_step.batch).ids,
                (rehearse_cleanup_step.batch).users,
                (rehearse_cleanup_step.batch).created_ats
            );
        ELSE
            PERFORM check_delete_rules();
            PERFORM purge_listed_notifications(
                v_relations,
                v_places,
                (rehearse_cleanup_step.batch).ids,
                (rehearse_cleanup_step.batch).users,
                (rehearse_cleanup_step.batch).created_ats
            );
        END IF;
        SELECT n.deleted_at
        INTO v_deleted_at
        FROM notifications AS n
        WHERE n.id = v_id
            AND n.user_id = v_user_id
            AND n.created_at = v_created_at;
        v_is_done := CASE rehearse_cleanup_step.step
            WHEN 'restore' THEN FOUND AND v_deleted_at IS NULL
            WHEN 'purge' THEN NOT FOUND
        END;
        IF v_id IS NOT NULL AND NOT v_is_done THEN
            rehearse_cleanup_step.outcome := 'kept';
        END IF;
    END IF;

    -- All of it is taken back, but not what the variables say.
    RAISE EXCEPTION USING ERRCODE = 'NC001', MESSAGE = 'taken back';
EXCEPTION
    WHEN SQLSTATE 'NC001' THEN
        IF rehearse_cleanup_step.outcome = 'works' THEN
            rehearse_cleanup_step.message := format('done to %s, and taken back', v_id);
        ELSIF rehearse_cleanup_step.outcome = 'kept' THEN
            rehearse_cleanup_step.message := 'a trigger or rule keeps it as it is, or writes '
                'another deleted_at afterwards';
            rehearse_cleanup_step.advice := 'Let that trigger or rule pass what the step does.';
        ELSIF rehearse_cleanup_step.outcome = 'fails' AND v_sweep.kept IS NOT NULL THEN
            rehearse_cleanup_step.message := 'a trigger deletes it for good, or the view hides it '
                'once it is deleted, so that nothing could be restored';
            rehearse_cleanup_step.advice := 'Let both leave what is deleted in sight.';
        ELSIF rehearse_cleanup_step.outcome = 'fails' THEN
            rehearse_cleanup_step.message := 'the view hides it once it is deleted, so that '
                'nothing could be restored or purged';
            rehearse_cleanup_step.advice := 'Let the view show what is deleted as well.';
        END IF;
    WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
        rehearse_cleanup_step.outcome := 'held';
        rehearse_cleanup_step.message := SQLERRM;
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS
            rehearse_cleanup_step.sqlstate = RETURNED_SQLSTATE,
            rehearse_cleanup_step.message = MESSAGE_TEXT,
            rehearse_cleanup_step.detail = PG_EXCEPTION_DETAIL,
            rehearse_cleanup_step.advice = PG_EXCEPTION_HINT;
        -- There it is the whole notification, which is nothing for a log.
        IF rehearse_cleanup_step.sqlstate IN ('23502', '23514') THEN
            rehearse_cleanup_step.detail := NULL;
        END IF;
        rehearse_cleanup_step.outcome := CASE
            -- Undo and purge step over what a key or constraint refuses; a run fails of it.
            WHEN rehearse_cleanup_step.sqlstate LIKE '23%'
                AND rehearse_cleanup_step.step <> 'soft-delete'
                THEN 'refused'
            ELSE 'fails'
        END;
        -- Our own statements have been found here; what is not is what somebody else's names.
        IF rehearse_cleanup_step.sqlstate IN ('42P01', '42883', '42704', '42703', '3F000') THEN
            rehearse_cleanup_step.message := format(
                '%s, because a trigger of the application runs under the search_path that is '
                'pinned here (%s)',
                rehearse_cleanup_step.message,
                current_setting('search_path')
            );
            rehearse_cleanup_step.advice := (
                SELECT
                    'Let its function name the schema, or give it a search_path of its own: '
                    || coalesce(
                        string_agg(
                            DISTINCT format(
                                'ALTER FUNCTION %s SET search_path = %s;',
                                t.tgfoid::regprocedure,
                                s.reset_val
                            ),
                            ' '
                        ),
                        'ALTER FUNCTION ... SET search_path = ...;'
                    )
                FROM pg_settings AS s
                LEFT JOIN (
                    notification_tables() AS behind
                    JOIN pg_trigger AS t ON t.tgrelid = behind.relation
                        AND NOT t.tgisinternal
                    JOIN pg_proc AS p ON p.oid = t.tgfoid
                        AND p.proconfig IS NULL
                ) ON true
                WHERE s.name = 'search_path'
            );
        END IF;
        rehearse_cleanup_step.advice := coalesce(
            nullif(rehearse_cleanup_step.advice, ''),
            CASE rehearse_cleanup_step.sqlstate
                WHEN '42P10' THEN
                    'Publish without a row filter and a list of columns, or only by the columns of '
                    'the primary key, or ALTER TABLE ... REPLICA IDENTITY FULL.'
                WHEN '42501' THEN
                    'Grant it. Behind a view it is the owner of the view who needs it.'
                WHEN '0A000' THEN 'Replace the rule by a trigger.'
                WHEN '23514' THEN 'Let the constraint allow that deleted_at alone changes.'
                ELSE 'It is the application''s own; let it pass what the step does.'
            END
        );
END
$$;
COMMENT ON FUNCTION rehearse_cleanup_step(text, notification_cleanup_batches) IS
    'For rehearse_notification_cleanup(), which is what to call: does a step to the one '
    'notification of the batch, takes it back, and returns how it went. outcome: works; held by '
    'another session; kept as it is by a trigger; refused by a constraint, which undo '
    'and purge step over; '
    'fails; accepted, where there is no notification.';
