package doctor

import (
	"fmt"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// grant executes the statements that the doctor's advice lists.
func grant(d *pgtest.Database, advice string) {
	d.T.Helper()
	_, call, found := strings.Cut(advice, ": ")
	call, ends := strings.CutSuffix(call, ` \gexec`)
	if !found || !ends {
		d.T.Fatalf("the advice is %s", advice)
	}
	for _, statement := range pgtest.All[string](d, call) {
		d.Exec(statement)
	}
}

func TestTheGrantsThatTheDoctorNamesSuffice(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	session := d.OpenSession()
	session.Exec("SET ROLE " + d.Role(
		"USAGE ON SCHEMA public",
		"EXECUTE ON FUNCTION notification_cleanup_doctor, notification_cleanup_privileges,"+
			" notification_tables",
	))
	checks := examine(session)
	if checks[0].Severity != "failure" || checks[2].ok() ||
		!strings.Contains(checks[2].Found, "permission denied") {
		t.Errorf("with few rights it says %+v", checks)
	}
	grant(d, checks[0].Advice)
	if checks = examine(session); checks[0].Severity != "note" ||
		!strings.Contains(checks[0].Found, "lacks grants for: purge, replicas, schedule, undo, watch") {
		t.Errorf("with what it said it says %+v", checks[0])
	}
	grant(d, checks[0].Advice)
	if checks = examine(session); checks[0].Severity != "ok" ||
		checks[0].Found != "nothing is wrong" || checks[0].Advice != "" {
		t.Errorf("with all it says %+v", checks[0])
	}
	for _, call := range append(
		pgtest.EveryRoutine, "SELECT * FROM notification_cleanup_health",
		"SELECT * FROM preview_notification_limits()",
	) {
		session.Exec(call)
	}
	wantWrong(session, "")
}

func TestTheDoctorMissesEachGrantOfARun(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	role := d.RoleTo("clean up", "watch")
	session := d.OpenSession()
	session.Exec("SET ROLE " + role)
	// What the doctor itself cannot do without is not missed but noticed.
	for _, privilege := range pgtest.All[string](d, `
		SELECT format(
			'%s%s ON %s %s',
			p.privilege,
			' (' || array_to_string(p.column_names, ', ') || ')',
			p.kind,
			p.object
		)
		FROM notification_cleanup_privileges() AS p
		WHERE p.purpose = 'clean up'
			AND NOT EXISTS (
				SELECT
				FROM notification_cleanup_privileges() AS w
				WHERE w.purpose = 'watch'
					AND (w.object_id, w.privilege) = (p.object_id, p.privilege)
			)`) {
		d.Exec("REVOKE " + privilege + " FROM " + role)
		rights := examine(session)[0]
		object := privilege[strings.LastIndex(privilege, "public."):]
		if rights.Severity != "failure" || !strings.Contains(rights.Found, object) {
			t.Errorf("without %s it says %+v", privilege, rights)
		}
		grant(d, rights.Advice)
		if rights = examine(session)[0]; rights.Severity != "note" {
			t.Errorf("with what it said instead of %s it says %+v", privilege, rights)
		}
	}
}

func TestTheDoctorExpectsNoRunOfWhoeverIsThereForAnotherUse(t *testing.T) {
	t.Parallel()
	for uses, severity := range map[string]string{
		"watch":            "note",
		"watch,undo":       "note",
		"watch,purge":      "note",
		"watch,clean up":   "note",
		"watch,schedule":   "note",
		"watch,half a run": "failure",
	} {
		t.Run(uses, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			uses, isHalf := strings.CutSuffix(uses, ",half a run")
			role := d.RoleTo(strings.Split(uses, ",")...)
			if isHalf {
				d.Exec("GRANT EXECUTE ON FUNCTION plan_notification_cleanup TO " + role)
			}
			session := d.OpenSession()
			session.Exec("SET ROLE " + role)
			if rights := examine(session)[0]; rights.Severity != severity {
				t.Errorf("it says %+v, want %s", rights, severity)
			}
		})
	}
}

func TestTheDoctorFindsRowLevelSecurityThatFilters(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	role := d.Role(
		"USAGE ON SCHEMA public",
		"EXECUTE ON ALL ROUTINES IN SCHEMA public",
		"ALL ON ALL TABLES IN SCHEMA public",
	)
	session := d.OpenSession()
	session.Exec("SET ROLE " + role)
	hidden := func() (found string) {
		for _, c := range examine(session) {
			if c.Name == "row-level security" && c.Severity == "failure" {
				found += c.Found + " " + c.Advice
			}
		}
		return found
	}
	for _, table := range []string{
		"notifications",
		"notification_cleanup_runs",
		"notification_cleanup_batches",
		"notification_cleanup_open_runs",
	} {
		d.Exec("ALTER TABLE " + table + " ENABLE ROW LEVEL SECURITY")
		if got, want := hidden(), fmt.Sprintf(
			"hides rows of %s from %s ALTER ROLE %[2]s BYPASSRLS;", table, role,
		); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
		d.Exec("ALTER TABLE " + table + " DISABLE ROW LEVEL SECURITY")
	}
	d.Exec(
		"ALTER TABLE notifications ENABLE ROW LEVEL SECURITY; ALTER TABLE notifications OWNER TO " + role,
	)
	if got := hidden(); got != "" {
		t.Errorf("of the owner it says %q", got)
	}
	d.Exec("ALTER TABLE notifications FORCE ROW LEVEL SECURITY")
	if got := hidden(); got == "" {
		t.Error("of the owner by force it says nothing")
	}
	for _, may := range []string{"SUPERUSER", "NOSUPERUSER BYPASSRLS"} {
		d.Exec("ALTER ROLE " + role + " " + may)
		if got := hidden(); got != "" {
			t.Errorf("of a role with %s it says %q", may, got)
		}
	}
}
