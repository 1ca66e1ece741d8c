-- Frozen at the end of the routines' migration: the one before builds no index of a view or of a
-- partitioned table, and cannot know yet whether one is missing.
DO $$
BEGIN
    PERFORM warn_without_index();
END
$$;
