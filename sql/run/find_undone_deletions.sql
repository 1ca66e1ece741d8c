-- Which notifications of a batch that its statement has soft-deleted are not so any more, because
-- the application's triggers that fired after it have undone it, or deleted the row:
--
--     SELECT find_undone_deletions(b, now(), '{1,2}', '{16384,16384}', '{"(0,8)","(0,9)"}')
--     FROM notification_cleanup_batches AS b;
CREATE OR REPLACE FUNCTION find_undone_deletions(
    batch notification_cleanup_batches,
    started_at timestamptz,
    numbers bigint[],  -- positions in the list of the batch
    relations oid[],   -- where each of them lies since
    places tid[]
)
RETURNS bigint[]  -- NULL: none
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_undone bigint[];
    v_other timestamptz;
BEGIN
    SELECT
        array_agg(written.number) FILTER (WHERE found.deleted_at IS NULL),
        min(found.deleted_at) FILTER (WHERE found.deleted_at <> find_undone_deletions.started_at)
    INTO
        v_undone,
        v_other
    FROM unnest(find_undone_deletions.numbers) AS written (number)
    LEFT JOIN find_written_notifications(
        find_undone_deletions.numbers,
        find_undone_deletions.relations,
        find_undone_deletions.places,
        (find_undone_deletions.batch).ids,
        (find_undone_deletions.batch).users,
        (find_undone_deletions.batch).created_ats
    ) AS found ON found.number = written.number;
    PERFORM check_written_deleted_at(v_other, find_undone_deletions.started_at);
    RETURN v_undone;
END
$$;
COMMENT ON FUNCTION
    find_undone_deletions(notification_cleanup_batches, timestamptz, bigint[], oid[], tid[])
IS
    'For sweep_cleanup_batch(): the positions of those notifications of a batch that its statement '
    'has soft-deleted and that a trigger after it has restored or deleted; NULL for none.';
