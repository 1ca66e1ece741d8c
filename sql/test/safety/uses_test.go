package safety

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// uses is, for each use, what its role calls in a transaction where run 1 is done, and run 2 has a
// batch left.
var uses = map[string][]string{
	"clean up": {
		"SELECT * FROM preview_notification_cleanup()",
		"SELECT * FROM preview_notification_limits()",
		"SELECT * FROM notification_stats()",
		"SELECT * FROM explain_notification_cleanup('00000000-0000-0000-0000-000000000001')",
		"SELECT * FROM plan_notification_cleanup(900)",
		"SELECT pace_notification_cleanup(2, 0, NULL)",
		"SELECT stop_notification_cleanup(2)",
		"SELECT * FROM plan_notification_cleanup(900)",
		"SELECT cleanup_next_batch(2)",
		"SELECT cleanup_next_batch(2)",
		"SELECT * FROM cleanup_notifications(99, 50)",
		"SELECT * FROM plan_notification_cleanup(49, 10)",
		"SELECT * FROM notification_cleanup_runs",
	},
	"undo": {
		"SELECT suspend_notification_cleanup('undo')",
		"SELECT suspend_notification_cleanup('undo run 1')",
		"SELECT restore_next_batch(1, 10)",
		"SELECT restore_notifications(1)",
		"SELECT restore_notifications(2)",
		"SELECT resume_notification_cleanup()",
		"SELECT * FROM notification_cleanup_runs",
	},
	"purge": {
		"SELECT purge_notifications('1 microsecond', 2000)",
	},
	"watch": {
		"SELECT * FROM preview_notification_cleanup()",
		"SELECT * FROM preview_notification_limits()",
		"SELECT * FROM notification_stats()",
		"SELECT * FROM explain_notification_cleanup('00000000-0000-0000-0000-000000000001')",
		"SELECT * FROM notification_cleanup_runs",
		"SELECT * FROM notification_cleanup_health",
		// A check that may not look says so, in a row.
		"SELECT found::integer FROM notification_cleanup_doctor() WHERE found LIKE '%permission denied%'",
	},
	"schedule": {
		trimRuns,
	},
}

// trimRuns is what the job of sql/pg_cron/schedule.sql executes.
const trimRuns = `
	DELETE FROM notification_cleanup_runs AS r
	WHERE r.started_at < now() - interval '400 days'
		AND NOT EXISTS (SELECT FROM notification_cleanup_batches AS b WHERE b.run_id = r.id)`

// withRuns makes the database in which the uses are tried, and its role.
func withRuns(t *testing.T) (d *pgtest.Database, role string) {
	t.Helper()
	d = pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Insert(pgtest.Bob, "read", 2001, 2901)
	d.Cleanup("")
	d.Plan("900")
	// One refuses to be restored, and to be purged.
	d.Exec(`
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER refuse_update BEFORE UPDATE ON notifications
		FOR EACH ROW WHEN (NEW.deleted_at IS NULL AND OLD.` + pgtest.FirstNotification + `)
		EXECUTE FUNCTION refuse();
		CREATE TRIGGER refuse_delete BEFORE DELETE ON notifications
		FOR EACH ROW WHEN (OLD.` + pgtest.FirstNotification + `)
		EXECUTE FUNCTION refuse()`)
	return d, d.Role()
}

// stopsAt does what the role does for the use, and returns the call that it may not make.
func stopsAt(d *pgtest.Database, role, use string) string {
	d.T.Helper()
	d.Exec("BEGIN; SET LOCAL ROLE " + role)
	defer d.Exec("ROLLBACK")
	for _, call := range uses[use] {
		_, err := d.Conn.Exec(context.Background(), call)
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && slices.Contains([]string{"42501", "22P02"}, pgErr.Code) {
			return call + ": " + pgErr.Message
		}
		if err != nil {
			d.T.Fatalf("%v in\n%s", err, call)
		}
	}
	return ""
}

func TestTheGrantsForAUseSufficeForThatUseAlone(t *testing.T) {
	t.Parallel()
	for use := range uses {
		t.Run(use, func(t *testing.T) {
			t.Parallel()
			d, role := withRuns(t)
			d.GrantUses(role, use)
			for other := range uses {
				if stop := stopsAt(d, role, other); (stop == "") != (other == use) {
					t.Errorf("with the grants for %q, to %s stops at %q", use, other, stop)
				}
			}
		})
	}
}

func TestWhoeverCleansUpMayCallTheProcedure(t *testing.T) {
	t.Parallel()
	d, role := withRuns(t)
	d.GrantUses(role, "clean up")
	session := d.OpenSession()
	session.Exec("SET ROLE " + role)
	session.Exec("CALL cleanup_notifications_in_batches(900)")
	d.WantEnded("the run")
}

// onTables is what a use is granted on tables, each column of notifications for itself.
const onTables = `
	SELECT
		format('%s%s ON %s', p.privilege, ' (' || c.name || ')', p.object)
	FROM notification_cleanup_privileges() AS p
	LEFT JOIN unnest(p.column_names) AS c (name) ON p.object = 'public.notifications'
	WHERE p.purpose = $1
		AND p.kind = 'TABLE'`

func TestNoGrantForAUseIsSuperfluous(t *testing.T) {
	t.Parallel()
	for use := range uses {
		t.Run(use, func(t *testing.T) {
			t.Parallel()
			d, role := withRuns(t)
			d.GrantUses(role, use)
			for _, privilege := range pgtest.All[string](d, onTables, use) {
				if strings.HasPrefix(privilege, "UPDATE ON public.notification_cleanup_runs") {
					privilege = strings.Replace(privilege, "UPDATE", "UPDATE ("+recordColumns+")", 1)
				}
				if strings.HasPrefix(privilege, "INSERT ON public.notification_cleanup_runs") {
					privilege = strings.Replace(privilege, "INSERT", "INSERT (min_keep)", 1)
				}
				d.Exec("REVOKE " + privilege + " FROM " + role)
				if stopsAt(d, role, use) == "" {
					t.Errorf("to %s goes without %s", use, privilege)
				}
				d.GrantUses(role, use)
			}
		})
	}
}

const recordColumns = "users_cleaned, users_still_over_limit"

// The search for what a routine calls finds the advice of the doctor, too.
func TestWhatTheDoctorRecommendsItMayNotDo(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.WantNone("the use watch", "it may change something", `
		SELECT DISTINCT object
		FROM notification_cleanup_privileges()
		WHERE purpose = 'watch'
			AND object ~ '(stop|suspend|resume|restore|purge|plan)_(notification|next_batch)'
			AND privilege = 'EXECUTE'`)
}

func TestEverythingBelongsToAUse(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	nobodys := pgtest.All[string](d, `
		SELECT oid::regprocedure::text
		FROM pg_proc
		WHERE pronamespace = 'public'::regnamespace
			AND oid NOT IN (SELECT object_id FROM notification_cleanup_privileges())
		UNION ALL
		SELECT oid::regclass::text
		FROM pg_class
		WHERE relnamespace = 'public'::regnamespace
			AND relkind IN ('r', 'v')
			AND relname !~ 'schema_version'
			AND oid NOT IN (SELECT object_id FROM notification_cleanup_privileges())`)
	if len(nobodys) != 0 {
		t.Errorf(
			"name them in sql/rights/notification_cleanup_privileges.sql, as no use may have %q",
			nobodys,
		)
	}
}

func TestGrantsAreForARoleAndForUsesThatThereAre(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	role := d.Role()
	for _, arguments := range []string{
		"NULL", "'" + role + "', NULL", "'" + role + "', '{}'", "'" + role + "', '{clean}'",
		"'" + role + "', '{undo, NULL}'",
	} {
		call := "SELECT notification_cleanup_grants(" + arguments + ")"
		if err := d.Refused(call, "22023"); !strings.Contains(err.Hint, "clean up, undo, purge") {
			t.Errorf("HINT %s from %s", err.Hint, call)
		}
	}
}

func TestGrantsAreForAnySchemaRoleAndSearchPath(t *testing.T) {
	t.Parallel()
	const schema = `"In ""Box"", it's"`
	d := pgtest.Adopt(t, "CREATE SCHEMA "+schema, pgtest.SetSearchPath(schema))
	d.Insert(pgtest.Alice, "read", 1, 1001)
	role := pgx.Identifier{`it's "me" ` + d.RoleName()}.Sanitize()
	d.Exec("CREATE ROLE " + role)
	t.Cleanup(func() { d.Exec("RESET ROLE; DROP OWNED BY " + role + "; DROP ROLE " + role) })
	grants := d.GrantsFor(role, "clean up", "undo", "purge", "watch", "schedule", "replicas")
	d.Exec("SET search_path = pg_catalog")
	for _, grant := range grants {
		d.Exec(grant)
	}
	d.Exec("RESET search_path; SET ROLE " + role)
	for _, call := range pgtest.EveryRoutine {
		d.Exec(call)
	}
}
