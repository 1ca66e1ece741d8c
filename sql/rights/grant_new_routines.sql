-- Frozen at the end of the routines' migration: who may execute a routine may execute what it
-- calls. An upgrade brings new routines that the old ones call, and without this a role that cleans
-- up could not any more. A routine runs with the rights of its caller, so to execute one gives no
-- other right.
DO $$
DECLARE
    v_grant text;
    v_granted boolean := true;
BEGIN
    WHILE v_granted LOOP
        v_granted := false;
        FOR v_grant IN
            SELECT DISTINCT format(
                'GRANT EXECUTE ON ROUTINE %s TO %s',
                new.oid::regprocedure,
                CASE
                    WHEN may.grantee = 0 THEN 'PUBLIC'
                    ELSE quote_ident(pg_get_userbyid(may.grantee))
                END
            )
            FROM pg_proc AS new
            JOIN pg_namespace AS namespace ON namespace.oid = new.pronamespace
                AND namespace.nspname = current_schema()
            JOIN pg_proc AS caller ON caller.pronamespace = new.pronamespace
                AND caller.oid <> new.oid
                AND strpos(caller.prosrc, new.proname || '(') > 0
            CROSS JOIN aclexplode(caller.proacl) AS may
            WHERE coalesce(new.proconfig @> '{row_security=off}', false)
                AND (
                    coalesce(caller.proconfig @> '{row_security=off}', false)
                    OR caller.prokind = 'p'
                )
                AND format('%s %s', new.tableoid, new.oid) <> ALL (
                    current_setting('notification_cleanup.existing')::text[]
                )
                AND NOT has_function_privilege(
                    CASE WHEN may.grantee = 0 THEN 'public' ELSE pg_get_userbyid(may.grantee) END,
                    new.oid,
                    'EXECUTE'
                )
        LOOP
            EXECUTE v_grant;
            v_granted := true;
        END LOOP;
    END LOOP;
END
$$;
