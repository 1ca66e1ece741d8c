-- What became of the notifications of a batch that it did not soft-delete:
--
--     SELECT * FROM explain_cleanup_shortfall(7, 1, '{3,4}', '{4}');
--
-- Only for a batch that fell short; in the usual case nobody asks.
CREATE OR REPLACE FUNCTION explain_cleanup_shortfall(
    run_id bigint,
    number bigint,
    missed bigint[],  -- positions in the list
    kept bigint[],    -- those of them that a trigger kept; NULL: none
    OUT skipped bigint,
    OUT deleted_before bigint,
    OUT users_left notification_user_id[]
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
SET timezone = 'UTC'
-- Planned as the sweep is: see there.
SET plan_cache_mode = force_custom_plan
SET enable_tidscan = on
SET enable_nestloop = off
SET enable_hashjoin = on
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_indexscan = off
SET enable_indexonlyscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_batch notification_cleanup_batches;
    v_users CONSTANT notification_user_id[] := cleanup_batch_pruning_users(
        explain_cleanup_shortfall.run_id,
        explain_cleanup_shortfall.number
    );
    v_gone bigint[];
BEGIN
    SELECT b.*
    INTO STRICT v_batch
    FROM notification_cleanup_batches AS b
    WHERE b.run_id = explain_cleanup_shortfall.run_id
        AND b.number = explain_cleanup_shortfall.number;
    IF v_batch.shard IS NOT NULL THEN
        PERFORM pin_tid_scans_on_workers();
    END IF;

    -- What is still there as it was listed, somebody held, unless a trigger kept it. Whatever is
    -- not was changed, or has gone.
    SELECT count(*)
    INTO explain_cleanup_shortfall.skipped
    FROM unnest(
        v_batch.relations,
        v_batch.places,
        v_batch.ids,
        v_batch.users,
        v_batch.created_ats
    ) WITH ORDINALITY AS doomed (relation, place, id, user_id, created_at, number)
    JOIN notifications AS n
        ON n.tableoid = doomed.relation
        AND n.ctid = doomed.place
        AND n.id = doomed.id
        AND n.user_id = doomed.user_id
        AND n.created_at = doomed.created_at
    WHERE doomed.number = ANY (explain_cleanup_shortfall.missed)
        AND (
            explain_cleanup_shortfall.kept IS NULL
            OR doomed.number <> ALL (explain_cleanup_shortfall.kept)
        )
        AND n.ctid = ANY (v_batch.places)
        AND n.deleted_at IS NULL
        AND n.status = 'read'
        AND n.created_at BETWEEN v_batch.oldest AND v_batch.newest
        AND (v_users IS NULL OR n.user_id = ANY (v_users));

    -- On Citus the run itself may have deleted some, in a transaction whose other half was lost.
    v_gone := deleted_on_worker(
        explain_cleanup_shortfall.run_id,
        explain_cleanup_shortfall.number,
        explain_cleanup_shortfall.missed
    );
    explain_cleanup_shortfall.deleted_before := cardinality(v_gone)::bigint;
    explain_cleanup_shortfall.users_left := ARRAY(
        SELECT listed.user_id
        FROM unnest(v_batch.users) WITH ORDINALITY AS listed (user_id, number)
        WHERE listed.number = ANY (explain_cleanup_shortfall.missed)
            AND listed.number <> ALL (v_gone)
    );
END
$$;
COMMENT ON FUNCTION explain_cleanup_shortfall(bigint, bigint, bigint[], bigint[]) IS
    'Of the missed notifications of a batch: how many somebody held (skipped), how many the run '
    'had deleted already (deleted_before), and the users of those that were left.';
