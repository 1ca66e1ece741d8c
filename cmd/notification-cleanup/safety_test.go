package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var routines = []string{
	cleanupCall(""),
	"SELECT * FROM preview_notification_cleanup()",
	"SELECT * FROM notification_stats()",
}

func TestPublicMayDoNothing(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	granted := all[string](d, `
		SELECT oid::regprocedure::text FROM pg_proc
		WHERE pronamespace = 'public'::regnamespace AND has_function_privilege('public', oid, 'EXECUTE')
		UNION ALL
		SELECT oid::regclass::text FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'p')
			AND (has_table_privilege('public', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
				OR has_any_column_privilege('public', oid, 'SELECT, INSERT, UPDATE, REFERENCES'))
		UNION ALL
		SELECT oid::regtype::text FROM pg_type
		WHERE typnamespace = 'public'::regnamespace AND typtype = 'd' AND has_type_privilege('public', oid, 'USAGE')`)
	if len(granted) != 0 {
		t.Errorf("PUBLIC has privileges on %v", granted)
	}
}

// leastPrivileges is what the README tells to grant.
var leastPrivileges = []string{
	"USAGE ON SCHEMA public",
	"EXECUTE ON FUNCTION cleanup_notifications, preview_notification_cleanup, notification_stats, plan_notification_cleanup, cleanup_next_batch," +
		" notification_excess, notification_inboxes, notification_shards, throttle_notification_cleanup, open_notification_cleanup, end_notification_cleanup, notification_cleanup_indexes, notification_index_scans, notification_index_templates, notification_tables",
	"SELECT (ctid, tableoid, id, user_id, status, created_at, deleted_at), UPDATE (deleted_at) ON notifications",
	"SELECT, INSERT (max_notifications, min_keep), UPDATE (finished_at, users_over_limit, users_cleaned, users_still_over_limit," +
		" notifications_planned, notifications_deleted, notifications_skipped) ON notification_cleanup_runs",
	"SELECT, INSERT, UPDATE, DELETE ON notification_cleanup_cutoffs, notification_cleanup_batches, notification_cleanup_throttles",
	"SELECT, INSERT, DELETE ON notification_cleanup_positions",
}

// role makes a role that has these privileges only. It is dropped with the database.
func (d *database) role(privileges ...string) string {
	d.t.Helper()
	d.exec("CREATE ROLE " + d.roleName() + "; REVOKE ALL ON SCHEMA public FROM PUBLIC")
	for _, privilege := range privileges {
		d.exec("GRANT " + privilege + " TO " + d.roleName())
	}
	return d.roleName()
}

func TestLeastPrivilegesSuffice(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insertInboxes()
	d.exec("SET ROLE " + d.role(leastPrivileges...))
	d.wantPreview("", previewRow{bob, 1001, 0, 901}, previewRow{alice, 1090, 50, 830}, previewRow{carol, 1001, 1001, 0})
	d.wantStats("", "4092 4 3")
	d.wantCleanup(usersArgument(alice, carol), "171-1000", counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 830})
	run := d.plan("")
	d.drain(run)
	d.wantDeletedBy(d.record(run), "2001-2901", counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 901})
}

// everything is a call of every routine, in an order in which each has something to do.
var everything = []string{
	"SELECT * FROM preview_notification_cleanup()",
	"SELECT * FROM notification_stats()",
	"SELECT * FROM cleanup_notifications()",
	"SELECT restore_next_batch(1, 900)",
	"SELECT restore_notifications(1)",
	"SELECT * FROM plan_notification_cleanup()",
	"SELECT cleanup_next_batch(2)",
	"CALL cleanup_notifications_in_batches()",
	"SELECT purge_notifications('1 microsecond')",
}

func TestTheGrantsOfTheReadmeSuffice(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	role := d.role()
	grants := regexp.MustCompile(`(?m)^GRANT .*;$`).FindAllString(string(readme), -1)
	for _, grant := range grants {
		d.exec(strings.Replace(grant, "TO cleaner", "TO "+role, 1))
	}
	d.exec("SET ROLE " + role)
	for _, call := range append(everything, "SELECT * FROM notification_cleanup_health") {
		d.exec(call)
	}
	d.exec("RESET ROLE")
	if left := one[int](d, "SELECT count(*) FROM notifications"); left != 100 {
		t.Errorf("%d are left, want 100 of 1001", left)
	}
}

func TestNoRoutineWorksOnPartOfTheRows(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.plan("999")
	d.plan("998")
	role := d.role("USAGE ON SCHEMA public", "ALL ON ALL TABLES IN SCHEMA public", "EXECUTE ON ALL ROUTINES IN SCHEMA public")
	d.exec("ALTER TABLE notifications ENABLE ROW LEVEL SECURITY; CREATE POLICY half ON notifications USING (" + notificationNumber + " % 2 = 0); SET ROLE " + role)
	for _, call := range everything {
		d.refused(call, "42501")
	}
}

func TestNobodyIsLetInWithoutPrivileges(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	// Whoever may execute the routines can do with them what they could do without, and no more.
	role := d.role(leastPrivileges[:2]...)
	d.exec("SET ROLE " + role)
	for _, call := range routines {
		d.refused(call, "42501")
	}
	d.exec("RESET ROLE; REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM " + role + "; GRANT ALL ON ALL TABLES IN SCHEMA public TO " + role +
		"; SET ROLE " + role)
	for _, call := range routines {
		d.refused(call, "42501")
	}
}

func TestRowLevelSecurityIsAnErrorNotAnEmptyResult(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"notifications", "notification_cleanup_runs"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.insert(alice, "read", 1, 1001)
			role := d.role(leastPrivileges...)
			d.exec("ALTER TABLE " + table + " ENABLE ROW LEVEL SECURITY; CREATE POLICY nobody ON " + table + " USING (false); SET ROLE " + role)
			for _, call := range routines {
				if table == "notifications" || strings.Contains(call, "FROM cleanup") {
					d.refused(call, "42501")
				}
			}
			d.exec("RESET ROLE")
			if got := d.numbers("deleted_at IS NOT NULL"); got != "" || one[int](d, "SELECT count(*) FROM notification_cleanup_runs") != 0 {
				t.Errorf("deleted %q, or recorded a run", got)
			}
			// Row-level security does not filter the table's owner.
			d.wantCleanup("", "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
		})
	}
}

func TestReadOnlyTransactionMayLook(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	run := d.plan("")
	d.exec("SET default_transaction_read_only = on")
	d.wantPreview("", previewRow{alice, 1001, 0, 901})
	d.wantStats("", "1001 1 1")
	d.refused(cleanupCall(""), "25006")
	d.refused(fmt.Sprintf("SELECT cleanup_next_batch(%d)", run.ID), "25006")
	d.refused("SELECT plan_notification_cleanup(999)", "25006")
	d.refused("SELECT plan_notification_cleanup()", "25006") // the run is not through
	d.refused(cleanupCall("min_keep => -1"), "22023")
}

// hostile is a schema whose names and operators would win over the built-in ones, and over ours.
const hostile = `
	CREATE SCHEMA evil;
	CREATE TABLE evil.notifications (LIKE public.notifications INCLUDING ALL);
	CREATE TABLE evil.notification_cleanup_runs (LIKE public.notification_cleanup_runs INCLUDING ALL);
	CREATE DOMAIN evil.notification_user_id AS text;
	CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT timestamptz '1999-01-01Z'$$;
	CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS $$SELECT timestamptz '1999-01-01Z'$$;
	CREATE FUNCTION evil.statement_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT timestamptz '1999-01-01Z'$$;
	CREATE AGGREGATE evil.count(*) (SFUNC = int8inc, STYPE = bigint, INITCOND = '-1000000');
	CREATE FUNCTION evil.row_number() RETURNS bigint LANGUAGE internal WINDOW AS 'window_rank';
	CREATE FUNCTION evil.never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
	CREATE FUNCTION evil.never(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS 'SELECT false';
	CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.never);
	CREATE OPERATOR evil.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.never);
	CREATE OPERATOR evil.= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.never);
	CREATE OPERATOR evil.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.never)`

func TestHostileSearchPathChangesNothing(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.exec(hostile)
	d.exec("SET search_path = evil, pg_catalog")
	if one[bool](d, "SELECT 'read'::text = 'read'::text OR count(*) > 0") {
		t.Fatal("the search path is not hostile")
	}
	for call, want := range map[string]int64{
		"SELECT deletable_notifications FROM public.preview_notification_cleanup()": 901,
		"SELECT users_over_limit FROM public.notification_stats()":                  1,
	} {
		if got := one[int64](d, call); got != want {
			t.Errorf("%d, want %d from\n%s", got, want, call)
		}
	}
	if err := d.refused("BEGIN; CALL public.cleanup_notifications_in_batches()", "2D000"); err.Hint == "" {
		t.Error("no hint how to call the procedure")
	}
	d.exec("ROLLBACK")
	for _, call := range everything {
		d.exec(regexp.MustCompile(`\w*(notification|cleanup|batch)\w*\(`).ReplaceAllString(call, "public.$0"))
	}
	d.exec("RESET search_path")
	d.wantEverythingDone("902-1001")
}

// wantEverythingDone compares what is left of 1001 notifications, and the records.
func (d *database) wantEverythingDone(left string) {
	d.t.Helper()
	if got := d.numbers("true"); got != left {
		d.t.Errorf("left are %q, want %q", got, left)
	}
	runs := all[string](d, "SELECT format('%s deleted, %s restored', notifications_deleted, notifications_restored) FROM notification_cleanup_runs ORDER BY id")
	if !slices.Equal(runs, []string{"901 deleted, 901 restored", "901 deleted, 0 restored", "0 deleted, 0 restored"}) {
		d.t.Errorf("the runs are %q", runs)
	}
}

// wantOneRunOf is for a cleanup that had to be called in an unusual way.
func (d *database) wantOneRunOf(deleted string) {
	d.t.Helper()
	if got := d.numbers("deleted_at = (SELECT started_at FROM notification_cleanup_runs)"); got != deleted {
		d.t.Errorf("deleted %q, want %q", got, deleted)
	}
}

func TestTemporaryTablesAreNotMistakenForTheRealOnes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.exec("CREATE TEMPORARY TABLE notifications (LIKE public.notifications INCLUDING ALL)")
	d.exec("CREATE TEMPORARY TABLE notification_cleanup_runs (LIKE public.notification_cleanup_runs INCLUDING ALL)")
	d.wantPreview("", previewRow{alice, 1001, 0, 901})
	d.wantStats("", "1001 1 1")
	for _, call := range everything {
		d.exec(call)
	}
	d.exec("DROP TABLE pg_temp.notifications, pg_temp.notification_cleanup_runs")
	d.wantEverythingDone("902-1001")
}

func TestAnySchema(t *testing.T) {
	t.Parallel()
	const schema = `"In ""Box"", it's"`
	d := adopt(t, "CREATE SCHEMA "+schema, "CREATE TABLE public.notifications (mine boolean)", setSearchPath(schema))
	d.insert(alice, "read", 1, 1001)
	d.exec("SET search_path = pg_catalog")
	for _, call := range routines {
		d.exec(strings.Replace(call, "FROM ", "FROM "+schema+".", 1))
	}
	d.exec("RESET search_path")
	d.wantOneRunOf("1-901")
	if got := all[string](d, "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"); len(got) != 1 {
		t.Errorf("in another schema are %v", got)
	}
}

func TestEverythingHasAComment(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	silent := all[string](d, `
		SELECT oid::regprocedure::text FROM pg_proc
		WHERE pronamespace = 'public'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL
		UNION ALL
		SELECT oid::regclass::text FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') AND relname !~ 'schema_version' AND obj_description(oid, 'pg_class') IS NULL
		UNION ALL
		SELECT attrelid::regclass || '.' || attname FROM pg_attribute
		WHERE attrelid::regclass::text LIKE 'notification_cleanup%' AND attrelid IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'v') AND relname !~ 'schema_version') AND attnum > 0
			AND col_description(attrelid, attnum) IS NULL
		UNION ALL
		SELECT oid::regtype::text FROM pg_type
		WHERE typnamespace = 'public'::regnamespace AND typtype = 'd' AND obj_description(oid, 'pg_type') IS NULL`)
	if len(silent) != 0 {
		t.Errorf("no COMMENT on %v", silent)
	}
}

func TestFunctionsRunAsTheirCallerWithAPinnedSearchPath(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	functions := all[string](d, `
		SELECT concat_ws(' ', proname, CASE WHEN prosecdef THEN 'definer' ELSE 'invoker' END, array_to_string(proconfig, ' '))
		FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'`)
	for _, function := range functions {
		if !strings.Contains(function, " invoker search_path=public, pg_temp row_security=off") {
			t.Errorf("it should be invoker, with a search_path and row_security = off: %s", function)
		}
	}
	if len(functions) < len(routines) {
		t.Errorf("only %d functions: %v", len(functions), functions)
	}
}

func TestPreviewAndStatsAreStable(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for _, function := range []string{"preview_notification_cleanup", "notification_stats"} {
		if got := one[string](d, "SELECT provolatile::text FROM pg_proc WHERE proname = $1", function); got != "s" {
			t.Errorf("%s has volatility %s", function, got)
		}
	}
}
