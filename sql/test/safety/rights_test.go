package safety

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

var routines = []string{
	pgtest.CleanupCall(""),
	"SELECT * FROM preview_notification_cleanup()",
	"SELECT * FROM notification_stats()",
}

// granted is a query for what others than the owner may do with anything in the schema.
const granted = `
	SELECT DISTINCT object.name || ' to ' || CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE 'role' END
	FROM (
		SELECT oid::regclass::text, relowner, relacl
		FROM pg_class
		WHERE relnamespace = 'public'::regnamespace
		UNION ALL
		SELECT attrelid::regclass || '.' || attname, c.relowner, attacl
		FROM pg_attribute AS a
		JOIN pg_class AS c ON c.oid = a.attrelid AND relnamespace = 'public'::regnamespace
		UNION ALL
		SELECT oid::regprocedure::text, proowner, coalesce(proacl, acldefault('f', proowner))
		FROM pg_proc
		WHERE pronamespace = 'public'::regnamespace
		UNION ALL
		SELECT oid::regtype::text, typowner, coalesce(typacl, acldefault('T', typowner))
		FROM pg_type
		WHERE typnamespace = 'public'::regnamespace AND typtype = 'd'
	) AS object (name, owner, privileges)
	CROSS JOIN aclexplode(object.privileges) AS g
	WHERE g.grantee <> object.owner
	ORDER BY 1`

func TestNothingIsGrantedWhateverTheDefaultPrivilegesAre(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"", "IN SCHEMA public"} {
		for _, toRole := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s to a role %t", where, toRole), func(t *testing.T) {
				t.Parallel()
				d := pgtest.Empty(t)
				grantee := "PUBLIC"
				if toRole {
					grantee = d.Role()
				}
				for _, kind := range []string{"TABLES", "SEQUENCES", "FUNCTIONS", "TYPES"} {
					d.Exec("ALTER DEFAULT PRIVILEGES " + where + " GRANT ALL ON " + kind + " TO " + grantee)
				}
				d.Exec("CREATE TABLE made_by_the_application (id bigint)")
				const want = "[made_by_the_application to "
				if got := fmt.Sprint(pgtest.All[string](d, granted)); !strings.HasPrefix(got, want) {
					t.Fatalf("the default privileges grant %s", got)
				}
				d.Migrate()
				if got := pgtest.All[string](d, granted); len(got) != 1 {
					t.Errorf("granted is %q, want only what the application has", got)
				}
			})
		}
	}
}

func TestAnUpgradeKeepsWhatWasGrantedAndGrantsNothingNew(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	role := d.Role()
	d.Exec("ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO " + role)
	d.Exec("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO " + role)
	d.Exec("GRANT EXECUTE ON FUNCTION notification_stats, purge_notifications TO PUBLIC, " + role)
	d.Exec("GRANT SELECT ON notification_cleanup_health, notification_cleanup_runs TO " + role)
	before := pgtest.All[string](d, granted)
	d.Exec(`
		DROP FUNCTION restore_notifications(bigint);
		DELETE FROM notification_cleanup_schema_version WHERE version_id = 4`)
	d.Migrate()
	if after := pgtest.All[string](d, granted); !slices.Equal(after, before) || len(after) != 6 {
		t.Errorf("granted was %q, is %q", before, after)
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
	d.Exec("SELECT * FROM explain_notification_cleanup(" + pgtest.Key(pgtest.Alice) + ")")
	d.Refused(pgtest.CleanupCall(""), "25006")
	d.Refused(fmt.Sprintf("SELECT cleanup_next_batch(%d)", run.ID), "25006")
	d.Refused("SELECT plan_notification_cleanup(999)", "25006")
	d.Refused("SELECT plan_notification_cleanup()", "25006") // the run is not through
	d.Refused(pgtest.CleanupCall("min_keep => -1"), "22023")
}
