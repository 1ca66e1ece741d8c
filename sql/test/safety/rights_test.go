package safety

import (
	"fmt"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

var routines = []string{
	pgtest.CleanupCall(""),
	"SELECT * FROM preview_notification_cleanup()",
	"SELECT * FROM notification_stats()",
}

func TestPublicMayDoNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	granted := pgtest.All[string](d, `
		SELECT oid::regprocedure::text FROM pg_proc
		WHERE pronamespace = 'public'::regnamespace AND has_function_privilege('public', oid, 'EXECUTE')
		UNION ALL
		SELECT oid::regclass::text FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'p')
			AND (has_table_privilege('public', oid,
				'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
				OR has_any_column_privilege('public', oid, 'SELECT, INSERT, UPDATE, REFERENCES'))
		UNION ALL
		SELECT oid::regtype::text FROM pg_type
		WHERE typnamespace = 'public'::regnamespace
			AND typtype = 'd'
			AND has_type_privilege('public', oid, 'USAGE')`)
	if len(granted) != 0 {
		t.Errorf("PUBLIC has privileges on %v", granted)
	}
}

func TestLeastPrivilegesSuffice(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertMixed()
	d.Exec("SET ROLE " + d.RoleTo("clean up"))
	d.WantPreview(
		"",
		pgtest.PreviewOf(pgtest.Bob, 1001, 0, 901),
		pgtest.PreviewOf(pgtest.Alice, 1090, 50, 830),
		pgtest.PreviewOf(pgtest.Carol, 1001, 1001, 0),
	)
	d.WantStats("", "4092 4 3")
	d.WantCleanup(
		pgtest.UserIDs(pgtest.Alice, pgtest.Carol),
		"171-1000",
		pgtest.Counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 830},
	)
	run := d.Plan("")
	d.Drain(run)
	d.WantDeletedBy(
		d.Record(run),
		"2001-2901",
		pgtest.Counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 901},
	)
}

func TestNoRoutineWorksOnPartOfTheRows(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Plan("999")
	d.Plan("998")
	role := d.Role(
		"USAGE ON SCHEMA public",
		"ALL ON ALL TABLES IN SCHEMA public",
		"EXECUTE ON ALL ROUTINES IN SCHEMA public",
	)
	d.Exec(
		"ALTER TABLE notifications ENABLE ROW LEVEL SECURITY; CREATE POLICY half ON notifications" +
			" USING (" + pgtest.NotificationNumber + " % 2 = 0); SET ROLE " + role,
	)
	for _, call := range pgtest.EveryRoutine {
		d.Refused(call, "42501")
	}
}

func TestNobodyIsLetInWithoutPrivileges(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	// Whoever may execute the routines can do with them what they could do without, and no more.
	role := d.RoleTo("clean up")
	d.Exec("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM " + role)
	d.Exec("SET ROLE " + role)
	for _, call := range routines {
		d.Refused(call, "42501")
	}
	d.Exec(
		"RESET ROLE; REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM " + role +
			"; GRANT ALL ON ALL TABLES IN SCHEMA public TO " + role +
			"; SET ROLE " + role,
	)
	for _, call := range routines {
		d.Refused(call, "42501")
	}
}

func TestRowLevelSecurityIsAnErrorNotAnEmptyResult(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"notifications", "notification_cleanup_runs"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Insert(pgtest.Alice, "read", 1, 1001)
			role := d.RoleTo("clean up")
			d.Exec(
				"ALTER TABLE " + table + " ENABLE ROW LEVEL SECURITY; CREATE POLICY nobody ON " + table +
					" USING (false); SET ROLE " + role,
			)
			for _, call := range routines {
				if table == "notifications" || strings.Contains(call, "FROM cleanup") {
					d.Refused(call, "42501")
				}
			}
			d.Exec("RESET ROLE")
			if got := d.Numbers("deleted_at IS NOT NULL"); got != "" ||
				pgtest.One[int](d, "SELECT count(*) FROM notification_cleanup_runs") != 0 {
				t.Errorf("deleted %q, or recorded a run", got)
			}
			// Row-level security does not filter the table's owner.
			d.WantCleanup("", "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
		})
	}
}

func TestReadOnlyTransactionMayLook(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	run := d.Plan("")
	d.Exec("SET default_transaction_read_only = on")
	d.WantPreview("", pgtest.PreviewOf(pgtest.Alice, 1001, 0, 901))
	d.WantStats("", "1001 1 1")
	d.Refused(pgtest.CleanupCall(""), "25006")
	d.Refused(fmt.Sprintf("SELECT cleanup_next_batch(%d)", run.ID), "25006")
	d.Refused("SELECT plan_notification_cleanup(999)", "25006")
	d.Refused("SELECT plan_notification_cleanup()", "25006") // the run is not through
	d.Refused(pgtest.CleanupCall("min_keep => -1"), "22023")
}
