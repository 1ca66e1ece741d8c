-- Checks every PL/pgSQL routine of the search_path with plpgsql_check, all warnings on.
\set ON_ERROR_STOP on
CREATE SCHEMA plpgsql_check;
CREATE EXTENSION plpgsql_check SCHEMA plpgsql_check;
DO $$
DECLARE
    v_finding record;
    v_findings integer := 0;
    v_routines integer := 0;
    v_routine oid;
BEGIN
    FOR v_routine IN
        SELECT p.oid
        FROM pg_proc AS p
        JOIN pg_language AS l ON l.oid = p.prolang
        WHERE l.lanname = 'plpgsql' AND p.pronamespace = current_schema()::regnamespace
    LOOP
        v_routines := v_routines + 1;
        FOR v_finding IN
            SELECT *
            FROM plpgsql_check.plpgsql_check_function_tb(v_routine, all_warnings => true)
            WHERE message NOT IN (
                -- cleanup_notifications_in_batches() provokes this one, to learn whether it may
                -- commit at all.
                'cannot commit while a subtransaction is active',
                -- notification_shards() and notification_cron_jobs() ask Citus and pg_cron only
                -- where they are.
                'relation "pg_dist_partition" does not exist',
                'relation "cron.job" does not exist',
                -- It does not know DO within a routine.
                'returned row from not a CallStmt'
            )
        LOOP
            v_findings := v_findings + 1;
            RAISE WARNING '%:% %: % %',
                v_routine::regprocedure,
                v_finding.lineno,
                v_finding.level,
                v_finding.message,
                v_finding.detail;
        END LOOP;
    END LOOP;
    IF v_findings > 0 OR v_routines = 0 THEN
        RAISE EXCEPTION 'plpgsql_check: % findings in % routines', v_findings, v_routines;
    END IF;
END
$$;
