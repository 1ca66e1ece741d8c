-- Refuses another deleted_at than the run's, which a trigger or rule has written:
--
--     SELECT check_written_deleted_at(NULL, now());
CREATE OR REPLACE FUNCTION check_written_deleted_at(
    other timestamptz,  -- NULL: there is none
    started_at timestamptz
)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF check_written_deleted_at.other IS NULL THEN
        RETURN;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'triggered_data_change_violation',
        MESSAGE = format(
            'a trigger or rule wrote deleted_at = %s where the run writes %s',
            check_written_deleted_at.other,
            check_written_deleted_at.started_at
        ),
        DETAIL = 'With it the record of the run would be wrong, and undo would not find these '
            'notifications. Nothing of this batch was changed.',
        HINT = 'Let the trigger or rule leave a deleted_at alone that the statement sets.';
END
$$;
COMMENT ON FUNCTION check_written_deleted_at(timestamptz, timestamptz) IS
    'For sweep_cleanup_batch() and find_undone_deletions(): refuses another deleted_at than that '
    'of the run.';
