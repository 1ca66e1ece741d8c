-- Counts for a run that is to be given up what batches that are not done have deleted all the same:
--
--     SELECT count_lost_commits(7);
--
-- Only on Citus, where a kill can come between the commit on the worker and the coordinator's: see
-- deleted_on_worker().
CREATE OR REPLACE FUNCTION count_lost_commits(run_id bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_number bigint;
    v_listed bigint[];
    v_gone bigint[];
BEGIN
    FOR v_number, v_listed IN
        SELECT
            b.number,
            ARRAY(SELECT generate_series(1::bigint, cardinality(b.places)::bigint))
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = count_lost_commits.run_id
            AND b.done_at IS NULL
            AND b.shard IS NOT NULL
        ORDER BY b.number
        FOR UPDATE  -- waits for those in flight
    LOOP
        v_gone := deleted_on_worker(count_lost_commits.run_id, v_number, v_listed);
        CONTINUE WHEN v_gone = '{}';
        UPDATE notification_cleanup_batches AS b
        SET
            done_at = clock_timestamp(),
            users_left = ARRAY(
                SELECT listed.user_id
                FROM unnest(b.users) WITH ORDINALITY AS listed (user_id, number)
                WHERE listed.number <> ALL (v_gone)
            )
        WHERE b.run_id = count_lost_commits.run_id
            AND b.number = v_number;
        UPDATE notification_cleanup_runs AS r
        SET notifications_deleted = r.notifications_deleted + cardinality(v_gone)
        WHERE r.id = count_lost_commits.run_id;
    END LOOP;
END
$$;
COMMENT ON FUNCTION count_lost_commits(bigint) IS
    'Adds to the record of a run what its unfinished batches have soft-deleted in transactions of '
    'which only the half on the worker was committed; elsewhere than on Citus nothing.';
