-- Frozen at the end of the routines' migration: an upgrade that brings a new routine finds the name
-- taken, and leaves everything as it was. What an installation would find, the first migration
-- looks for.
DO $$
DECLARE
    v_namesakes text;
BEGIN
    SELECT string_agg(DISTINCT other.oid::regprocedure::text, ', ')
    INTO v_namesakes
    FROM pg_proc AS ours
    JOIN pg_namespace AS namespace ON namespace.oid = ours.pronamespace
        AND namespace.nspname = current_schema()
    JOIN pg_proc AS other ON other.pronamespace = ours.pronamespace
        AND other.proname = ours.proname
    -- All of ours were created or replaced just now.
    WHERE ours.xmin = pg_current_xact_id()::xid
        AND other.xmin <> pg_current_xact_id()::xid;
    IF v_namesakes IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_function',
            MESSAGE = format(
                'cannot be installed: schema %I has routines of these names already: %s',
                current_schema(),
                v_namesakes
            ),
            HINT = 'Nothing was changed. Rename them, or move them to another schema.';
    END IF;
END
$$;
