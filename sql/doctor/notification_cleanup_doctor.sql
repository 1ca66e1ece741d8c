-- Is all well, for this role and on this server? A row a check: SELECT * FROM notification_cleanup_doctor();
CREATE OR REPLACE FUNCTION notification_cleanup_doctor()
RETURNS TABLE (name text, ok boolean, found text, advice text)
LANGUAGE plpgsql
SET search_path FROM CURRENT SET row_security = off
AS $$
#variable_conflict use_column
DECLARE
    v_table CONSTANT oid := to_regclass('notifications')::oid;
    v_behind oid[];  -- and the tables, partitions and views behind it
    v_name text; v_ok boolean; v_found text; v_advice text;
BEGIN
    WITH RECURSIVE behind (oid) AS (
        SELECT v_table UNION SELECT p.part FROM behind AS b JOIN (
            SELECT i.inhparent, i.inhrelid FROM pg_inherits AS i UNION ALL SELECT r.ev_class, a.attrelid  -- a view has the ctid of what is behind
            FROM pg_rewrite AS r JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
            JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attname = 'ctid'
        ) AS p (whole, part) ON p.whole = b.oid
    )
    SELECT array_agg(b.oid) INTO v_behind FROM behind AS b;
    FOREACH v_name IN ARRAY '{rights,table,indexes,row-level security,triggers,replica identity,vacuum,server,last run,unfinished runs,max_wal_size,idle in transaction,pg_cron}'::text[] LOOP
        BEGIN
            CASE v_name
            WHEN 'rights' THEN  -- of which some are not needed to clean up
                SELECT bool_and(o.optional), nullif(count(*), 0) || ' grants are missing', string_agg(format('GRANT %s TO %I;', p.privilege, current_user), ' ' ORDER BY o.optional) INTO v_ok, v_found, v_advice
                FROM (SELECT format('%s%s ON %I.%I', g[1], g[2], current_schema(), g[3]) FROM unnest(ARRAY['SELECT (ctid, tableoid, id, user_id, status, created_at, deleted_at) ON notifications',
                        'UPDATE (deleted_at) ON notifications', 'DELETE ON notifications', 'SELECT ON notification_cleanup_runs', 'INSERT (max_notifications, min_keep) ON notification_cleanup_runs',
                        'UPDATE (finished_at, users_over_limit, users_cleaned, users_still_over_limit, notifications_planned, notifications_deleted, notifications_skipped) ON notification_cleanup_runs',
                        'UPDATE (notifications_restored) ON notification_cleanup_runs', 'SELECT, INSERT, UPDATE, DELETE ON notification_cleanup_cutoffs',
                        'SELECT, INSERT, UPDATE, DELETE ON notification_cleanup_batches', 'SELECT, INSERT, UPDATE, DELETE ON notification_cleanup_throttles',
                        'SELECT, INSERT, DELETE ON notification_cleanup_positions', 'SELECT ON notification_cleanup_health']) AS s (privilege)
                    CROSS JOIN regexp_match(s.privilege, '^([A-Z, ]+)( \(.*\))? ON (\w+)$') AS g CROSS JOIN unnest(string_to_array(g[1], ', ')) AS p
                    LEFT JOIN pg_attribute AS a ON a.attrelid = to_regclass(g[3]) AND a.attname = ANY (regexp_split_to_array(g[2], '\W+'))
                    GROUP BY g HAVING NOT bool_and(coalesce(has_column_privilege(a.attrelid, a.attnum, p), has_table_privilege(to_regclass(g[3]), p)))
                    UNION ALL SELECT format('EXECUTE ON ROUTINE %I.%I', current_schema(), f.proname) FROM pg_proc AS f WHERE f.pronamespace = current_schema()::regnamespace
                        AND (f.proconfig @> '{row_security=off}' OR f.proname = 'cleanup_notifications_in_batches') AND NOT has_function_privilege(f.oid, 'EXECUTE')  -- ours
                    UNION ALL SELECT 'pg_read_all_stats' WHERE NOT pg_has_role('pg_read_all_stats', 'USAGE')
                ) AS p (privilege) CROSS JOIN LATERAL (SELECT p.privilege ~ 'restore|purge|deleted_shards|health|doctor|limits|stop|read_all_stats|replicas|DELETE ON \S+notifications$') AS o (optional);
            WHEN 'table' THEN
                SELECT count(p.problem) = 0, string_agg(p.problem, '; ' ORDER BY p.problem), 'Undo that, or adopt it as it is now: notification-cleanup migrate down, and up.' INTO v_ok, v_found, v_advice
                FROM unnest('{id,user_id,created_at,status,deleted_at,ctid,tableoid}'::name[]) AS w (name) LEFT JOIN pg_attribute AS a ON a.attrelid = v_table AND a.attname = w.name
                LEFT JOIN pg_type AS t ON t.oid = to_regtype('notification_' || w.name) AND w.name IN ('id', 'user_id', 'created_at')
                CROSS JOIN LATERAL (SELECT CASE WHEN a.attname IS NULL THEN format('%s is missing', w.name)
                    WHEN format_type(a.atttypid, a.atttypmod) <> format_type(t.typbasetype, t.typtypmod) THEN format('%s is not of type %s', w.name, t.typname)
                    WHEN w.name = 'deleted_at' AND NOT pg_column_is_updatable(v_table, a.attnum, false) THEN 'deleted_at cannot be updated'
                    WHEN w.name = 'id' AND NOT EXISTS (SELECT FROM pg_class AS c LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                        WHERE c.oid = v_table AND (c.relkind = 'v' OR a.attnum = ANY (i.indkey))) THEN 'id has no unique index' END) AS p (problem);
            WHEN 'indexes' THEN
                SELECT bool_and(i.index IS NOT NULL), string_agg(format('%s has no valid one for %s notifications', i.relation, i.purpose), '; ') FILTER (WHERE i.index IS NULL),
                    string_agg(i.statement || ';', ' ') INTO v_ok, v_found, v_advice FROM notification_cleanup_indexes() AS i WHERE i.purpose IS NOT NULL;
            WHEN 'row-level security' THEN  -- behind a view, its owner's rights count
                SELECT count(*) = 0, string_agg(format('hides rows of %s from %I', c.oid::regclass, r.rolname), '; '), string_agg(DISTINCT format('ALTER ROLE %I BYPASSRLS;', r.rolname), ' ') INTO v_ok, v_found, v_advice
                FROM pg_class AS c LEFT JOIN pg_class AS v ON v.oid = v_table AND v.relkind = 'v' AND c.oid = ANY (v_behind) AND (v.reloptions::text ~ 'security_invoker=(t|on|y|1)') IS NOT TRUE
                JOIN pg_roles AS r ON r.oid = coalesce(v.relowner, quote_ident(current_user)::regrole) AND NOT r.rolsuper AND NOT r.rolbypassrls
                WHERE (c.oid = ANY (v_behind) OR c.oid = ANY ('{notification_cleanup_runs,notification_cleanup_cutoffs,notification_cleanup_batches,notification_cleanup_throttles,notification_cleanup_positions}'::regclass[]))
                    AND c.relrowsecurity AND NOT c.relispartition AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE'));
            WHEN 'triggers' THEN
                SELECT count(*) = 0, string_agg(format('%s of %s fires', t.tgname, t.tgrelid::regclass), '; '), 'Let it be cheap and wait for nobody, or limit it to UPDATE OF other columns.' INTO v_ok, v_found, v_advice
                FROM pg_trigger AS t WHERE t.tgrelid = ANY (v_behind) AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled IN ('O', 'A') AND t.tgtype & 16 > 0  -- UPDATE
                    AND (t.tgattr::text = '' OR EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr) AND a.attname = 'deleted_at'));
            WHEN 'replica identity' THEN
                SELECT count(*) = 0, string_agg(format('%s has none, for publication %s', c.oid::regclass, p.pubname), '; '),
                    string_agg(DISTINCT format('ALTER TABLE %s REPLICA IDENTITY FULL;', c.oid::regclass), ' ') INTO v_ok, v_found, v_advice
                FROM pg_class AS c JOIN pg_class AS w ON w.oid = c.oid OR w.oid IN (SELECT pg_partition_ancestors(c.oid)) JOIN pg_publication_tables AS t
                    ON t.tablename = w.relname AND quote_ident(t.schemaname) = w.relnamespace::regnamespace::text JOIN pg_publication AS p ON p.pubname = t.pubname AND p.pubupdate
                WHERE c.oid = ANY (v_behind) AND c.relkind = 'r' AND c.relreplident <> 'f' AND NOT EXISTS (SELECT FROM pg_index AS i
                    WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END);
            WHEN 'vacuum' THEN
                SELECT bool_and(c.relallvisible >= 0.9 * s.pages AND s.factor <= 0.05), string_agg(format('%s of %s pages of %s are all-visible, scale factor %s', c.relallvisible, s.pages, c.oid::regclass,
                    s.factor), '; '), string_agg(format('ALTER TABLE %s SET (autovacuum_enabled = on, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.01); '
                    'VACUUM %1$s;', c.oid::regclass), ' ') INTO v_ok, v_found, v_advice
                FROM pg_class AS c CROSS JOIN LATERAL (SELECT pg_relation_size(c.oid) / current_setting('block_size')::bigint, CASE WHEN c.reloptions::text ~ 'autovacuum_enabled=(f|off|n|0)'
                    THEN 'infinity' ELSE coalesce(substring(c.reloptions::text FROM 'vacuum_scale_factor=([^,}]+)'), current_setting('autovacuum_vacuum_scale_factor'))::float8 END) AS s (pages, factor)
                WHERE c.oid = ANY (v_behind) AND c.relkind = 'r' AND s.pages >= 1000;
            WHEN 'server' THEN
                SELECT NOT r, CASE WHEN r THEN 'a standby' ELSE 'a primary' END, 'This is only to look; clean up on the primary.' INTO v_ok, v_found, v_advice FROM pg_is_in_recovery() AS r;
            WHEN 'last run' THEN
                SELECT r.age < interval '26 hours', coalesce('ended ' || r.age || ' ago', 'none yet'), 'Is it still scheduled? See its log.' INTO v_ok, v_found, v_advice
                FROM (SELECT date_trunc('second', now() - max(r.finished_at)) AS age FROM notification_cleanup_runs AS r) AS r;
            WHEN 'unfinished runs' THEN  -- that nobody is at work on; who rests between two batches is
                SELECT count(*) = 0, string_agg(format('run %s, %s of %s deleted%s', r.id, r.notifications_deleted, r.notifications_planned,
                    (SELECT ', stopped' FROM notification_cleanup_throttles AS t WHERE t.run_id = r.id AND t.stopped_at IS NOT NULL)), '; '), string_agg(format('Whoever runs with '
                    'max_notifications => %s, min_keep => %s goes on with run %s.', r.max_notifications, r.min_keep, r.id), ' ') INTO v_ok, v_found, v_advice
                FROM notification_cleanup_runs AS r WHERE r.finished_at IS NULL AND EXISTS (SELECT FROM notification_cleanup_batches AS b WHERE b.run_id = r.id) AND NOT EXISTS (
                    SELECT FROM pg_stat_activity AS a WHERE a.datname = current_database() AND a.query ~ 'cleanup_next_batch|cleanup_notifications_in_batches');
            WHEN 'max_wal_size' THEN  -- against each page in full, once, and each new row
                SELECT w.bytes <= pg_size_bytes(current_setting(v_name)), format('%s; deleting %s writes about %s%s', current_setting(v_name), w.victims, pg_size_pretty(w.bytes),
                    CASE WHEN notification_shards('{}') IS NOT NULL THEN ' here, and the rest on the workers' END),
                    'Raise it for the first run, switch wal_compression on, or spread that over some nights with a time limit.' INTO v_ok, v_found, v_advice
                FROM (
                    SELECT p.victims, least(p.victims * current_setting('block_size')::numeric, sum(pg_relation_size(c.oid) + pg_indexes_size(c.oid)))
                        + p.victims * coalesce(sum(pg_relation_size(c.oid)) / nullif(sum(greatest(c.reltuples, 0)), 0)::numeric, 0) AS bytes
                    FROM (SELECT r.max_notifications, r.min_keep, r.id FROM notification_cleanup_runs AS r UNION ALL SELECT 1000, 100, 0 ORDER BY 3 DESC LIMIT 1) AS r
                    CROSS JOIN LATERAL (SELECT coalesce(sum(p.deletable_notifications), 0) FROM preview_notification_cleanup(r.max_notifications, r.min_keep) AS p) AS p (victims)
                    JOIN pg_class AS c ON c.oid = ANY (v_behind) AND c.relkind = 'r' GROUP BY p.victims
                ) AS w;
            WHEN 'idle in transaction' THEN
                SELECT count(*) = 0, string_agg(format('process %s of %s since %s', a.pid, a.usename, date_trunc('second', a.state_change)), '; '), 'What it holds is skipped. '
                    || string_agg(format('SELECT pg_terminate_backend(%s);', a.pid), ' ') || ' And set idle_in_transaction_session_timeout.' INTO v_ok, v_found, v_advice
                FROM pg_stat_activity AS a WHERE a.datname = current_database() AND a.state LIKE 'idle in transaction%' AND a.state_change < now() - interval '1 second'
                    AND EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND l.relation = ANY (v_behind) AND l.mode <> 'AccessShareLock');
            ELSE
                SELECT true, coalesce('it is in database ' || (SELECT s.setting FROM pg_settings AS s WHERE s.name = 'cron.database_name'), 'not used here') INTO v_ok, v_found;
                IF EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = v_name) THEN
                    PERFORM set_config('row_security', 'on', true);  -- by which it shows each role its own jobs. EXECUTE, as elsewhere there is no such table:
                    EXECUTE $jobs$ SELECT bool_and(j.active AND d.status IS DISTINCT FROM 'failed'), coalesce(string_agg(format('%s: %s', j.jobname, CASE WHEN j.active
                            THEN coalesce(d.status, 'never ran') ELSE 'not active' END), '; '), 'no job in this database'), 'It said: ' || string_agg(d.return_message, ' ') FILTER (WHERE d.status = 'failed')
                        FROM cron.job AS j LEFT JOIN LATERAL (SELECT * FROM cron.job_run_details AS d WHERE d.jobid = j.jobid ORDER BY d.runid DESC LIMIT 1) AS d ON true
                        WHERE j.database = current_database() AND j.command ~ '(cleanup|purge)_notifications' $jobs$ INTO v_ok, v_found, v_advice;
                END IF;
            END CASE;
        EXCEPTION WHEN OTHERS THEN  -- what this role may not see, or the table no longer has
            SELECT false, 'not known: ' || SQLERRM, 'Mend the other findings first.' INTO v_ok, v_found, v_advice;
        END;
        RETURN QUERY SELECT v_name, coalesce(v_ok, true), coalesce(v_found, 'nothing is wrong'), CASE WHEN v_name = 'rights' OR NOT v_ok THEN v_advice END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION notification_cleanup_doctor() IS
'Whether all is well for this role on this server: a row a check, with what was found and what to do. Reads only, but as much as a preview; works on a hot standby, and for a role with few rights.';
REVOKE ALL ON FUNCTION notification_cleanup_doctor() FROM PUBLIC;
