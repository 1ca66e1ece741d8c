-- Frozen at the beginning of the routines' migration: an upgrade that brings a new routine finds
-- the name taken, and leaves everything as it was. What an installation would find, the first
-- migration looks for, and says together with all else.
DO $$
DECLARE
    v_namesakes text;
BEGIN
    SELECT string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid::regprocedure::text)
    INTO v_namesakes
    FROM pg_proc AS p
    JOIN pg_namespace AS namespace ON namespace.oid = p.pronamespace
        AND namespace.nspname = current_schema()
    WHERE p.proname = ANY (
        '{names of ours}'::name[]
    )
        -- Ours have this setting, but for the procedure, which must not have any.
        AND NOT (
            coalesce(p.proconfig @> '{row_security=off}', false)
            OR p.prokind = 'p'
                AND strpos(p.prosrc, 'plan_notification_cleanup(') > 0
        );
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
