-- One user's notifications, newest first, and why each of them stays, would go, or went:
--
--     SELECT * FROM explain_notification_cleanup('42');
--
-- What support asks when a user misses something, and a developer before trusting the rule.
CREATE OR REPLACE FUNCTION explain_notification_cleanup(
    user_id notification_user_id,
    max_notifications integer DEFAULT 1000,
    min_keep integer DEFAULT 100
)
RETURNS TABLE (
    id notification_id,
    created_at notification_created_at,
    status text,
    deleted_at timestamptz,
    newest bigint,
    fate text,
    reason text,
    run_id bigint
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_users CONSTANT notification_user_id[] := ARRAY[explain_notification_cleanup.user_id];
    v_max CONSTANT integer := explain_notification_cleanup.max_notifications;
    v_keep CONSTANT integer := explain_notification_cleanup.min_keep;
    v_is_over boolean;
BEGIN
    PERFORM check_cleanup_limits(v_max, v_keep);
    IF explain_notification_cleanup.user_id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'invalid user_id => NULL',
            HINT = 'user_id takes a user. Notifications without one are left alone.';
    END IF;
    v_is_over := EXISTS (
        SELECT
        FROM notification_crowds(v_max, v_users) AS c
    );

    RETURN QUERY
    WITH inbox AS MATERIALIZED (
        SELECT
            n.tableoid AS relation,
            n.ctid AS place,
            n.id,
            n.created_at,
            n.status::text AS status,
            n.deleted_at,
            count(*) FILTER (WHERE n.deleted_at IS NULL) OVER () AS live
        FROM notifications AS n
        WHERE n.user_id = ANY (v_users)
    ),
    -- All that the rule ranks of this user, not only what goes.
    ranked AS MATERIALIZED (
        SELECT
            e.relation,
            e.place,
            e.newest
        FROM notification_excess(v_users, 0, statement_timestamp()) AS e
    )
    SELECT
        i.id::notification_id,
        i.created_at::notification_created_at,
        i.status,
        i.deleted_at,
        r.newest,
        CASE
            WHEN run.id IS NOT NULL THEN 'went'
            WHEN i.deleted_at IS NOT NULL THEN 'deleted'
            WHEN v_is_over AND r.newest > v_keep THEN 'would go'
            ELSE 'stays'
        END,
        CASE
            WHEN run.id IS NOT NULL THEN format('run %s deleted it', run.id)
            WHEN i.deleted_at IS NOT NULL
            THEN 'somebody else deleted it: no run has this deleted_at'
            WHEN i.status IS NULL THEN 'it has no status'
            WHEN i.status <> 'read' THEN format('it is %s', i.status)
            WHEN i.created_at IS NULL THEN 'it has no created_at'
            WHEN i.id IS NULL THEN 'it has no id'
            WHEN r.newest IS NULL THEN 'its created_at is in the future'
            WHEN NOT v_is_over
                THEN format('the user has %s live ones, and may have %s', i.live, v_max)
            WHEN r.newest <= v_keep THEN format('it is one of the %s newest read ones', v_keep)
            ELSE format(
                'the user has %s live ones, more than %s, and it is not one of the %s newest read '
                'ones',
                i.live,
                v_max,
                v_keep
            )
        END,
        run.id
    FROM inbox AS i
    LEFT JOIN ranked AS r ON r.relation = i.relation
        AND r.place = i.place
    LEFT JOIN notification_cleanup_runs AS run ON run.started_at = i.deleted_at
    ORDER BY
        i.created_at DESC NULLS LAST,
        i.id DESC;
END
$$;
COMMENT ON FUNCTION explain_notification_cleanup(notification_user_id, integer, integer) IS
    'A row a notification of this user, newest first. fate: stays, would go (with the next run '
    'that has these limits), went (with the run run_id), or deleted (by somebody else, or by a run '
    'that is no longer in the history). newest: its rank among the read ones that the rule counts. '
    'Reads only; works on a hot standby. What was deleted is found by the application''s own index '
    'on the user; without one it reads the table.';
