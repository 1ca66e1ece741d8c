-- What a batch finds deleted already by its own run:
--
--     SELECT deleted_on_worker(7, 1, '{3,4}');
--
-- Citus commits on the worker and on the coordinator one after the other. When a kill comes between
-- the two, the notifications are soft-deleted and the batch is not done: it comes again, and counts
-- them then. Elsewhere a batch and its record are one transaction, so there are none.
CREATE OR REPLACE FUNCTION deleted_on_worker(
    run_id bigint,
    number bigint,
    missed bigint[]  -- positions in the list
)
RETURNS bigint[]
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET plan_cache_mode = force_custom_plan
SET timezone = 'UTC'
AS $$
DECLARE
    v_batch notification_cleanup_batches;
    v_started_at timestamptz;
    v_users notification_user_id[];
    v_ids notification_id[];
    v_created_ats notification_created_at[];
BEGIN
    SELECT b.*
    INTO STRICT v_batch
    FROM notification_cleanup_batches AS b
    WHERE b.run_id = deleted_on_worker.run_id
        AND b.number = deleted_on_worker.number;
    IF v_batch.shard IS NULL THEN
        RETURN ARRAY[]::bigint[];
    END IF;

    SELECT r.started_at
    INTO STRICT v_started_at
    FROM notification_cleanup_runs AS r
    WHERE r.id = deleted_on_worker.run_id;
    v_users := cleanup_batch_pruning_users(v_batch.run_id, v_batch.number);

    SELECT
        array_agg(n.id::notification_id),
        array_agg(n.user_id::notification_user_id),
        array_agg(n.created_at::notification_created_at)
    INTO
        v_ids,
        v_users,
        v_created_ats
    FROM notifications AS n
    WHERE n.deleted_at = v_started_at
        AND n.user_id = ANY (v_users)
        AND n.created_at BETWEEN v_batch.oldest AND v_batch.newest;

    -- Without their places, which the update has changed.
    RETURN ARRAY(
        SELECT DISTINCT listed.number
        FROM unnest(v_batch.ids, v_batch.users, v_batch.created_ats)
            WITH ORDINALITY AS listed (id, user_id, created_at, number)
        JOIN unnest(v_ids, v_users, v_created_ats) AS gone (id, user_id, created_at)
            ON gone.id = listed.id
            AND gone.user_id = listed.user_id
            AND gone.created_at = listed.created_at
        WHERE listed.number = ANY (deleted_on_worker.missed)
    );
END
$$;
COMMENT ON FUNCTION deleted_on_worker(bigint, bigint, bigint[]) IS
    'The positions of those missed notifications of a batch that its own run has soft-deleted in a '
    'transaction of which only the half on the worker was committed; elsewhere than on Citus none.';
