package doctor

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestTheGrantsThatTheDoctorNamesSuffice(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	session := d.OpenSession()
	session.Exec(
		"SET ROLE " + d.Role("USAGE ON SCHEMA public", "EXECUTE ON FUNCTION notification_cleanup_doctor, notification_tables"),
	)
	checks := examine(session)
	if checks[0].ok() || checks[2].ok() || !strings.Contains(checks[2].Found, "permission denied") ||
		!checks[4].ok() {
		t.Errorf("with few rights it says %+v", checks)
	}
	d.Exec(checks[0].Advice)
	if checks := examine(session); checks[0].Severity != "ok" || checks[0].Found != "nothing is wrong" ||
		checks[0].Advice != "" {
		t.Errorf("with what it said it says %+v", checks[0])
	}
	for _, call := range append(
		pgtest.EveryRoutine, "SELECT * FROM notification_cleanup_health",
		"SELECT * FROM preview_notification_limits()",
	) {
		session.Exec(call)
	}
	wantWrong(session, "")
}

func TestTheDoctorMissesEachGrantOfTheReadme(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	readme, err := os.ReadFile(pgtest.Path("README.md"))
	if err != nil {
		t.Fatal(err)
	}
	role := d.Role()
	grant := regexp.MustCompile(`(?m)^GRANT (.*) TO cleaner;$`)
	grants := grant.FindAllStringSubmatch(string(readme), -1)
	for _, grant := range grants {
		d.Exec("GRANT " + grant[1] + " TO " + role)
	}
	session := d.OpenSession()
	session.Exec("SET ROLE " + role)
	wantWrong(session, "")
	optional := regexp.MustCompile(
		`DELETE ON notification(s|_cleanup_suspension)$|suspend_|restore|health|preview_notification_limits|read_all_stats|replicas`)
	for _, grant := range grants[1:] { // the first one is of the schema
		if strings.Contains(grant[1], "notification_cleanup_doctor") {
			continue
		}
		d.Exec("REVOKE " + grant[1] + " FROM " + role)
		rights := examine(session)[0]
		if rights.Advice == "" || rights.ok() != optional.MatchString(grant[1]) {
			t.Errorf("without %s it says %+v", grant[1], rights)
		}
		d.Exec(rights.Advice)
		if rights = examine(session)[0]; rights.Advice != "" {
			t.Errorf("with what it said instead of %s it says %+v", grant[1], rights)
		}
		d.Exec("GRANT " + grant[1] + " TO " + role)
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
		"notification_cleanup_suspension",
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
