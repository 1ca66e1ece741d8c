package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

type diagnosis struct {
	Name     string
	Severity string
	Found    string
	Advice   string
}

// ok is for what nobody has to do anything about.
func (c diagnosis) ok() bool { return c.Severity == "ok" || c.Severity == "note" }

// examine asks the doctor. Whatever it says is written for people.
func examine(d *pgtest.Database) []diagnosis {
	d.T.Helper()
	checks := pgtest.Collect(d, pgx.RowToStructByPos[diagnosis], `
		SELECT name, severity, found, coalesce(advice, '') FROM notification_cleanup_doctor()`)
	for _, c := range checks {
		if odd := unreadable.FindString(c.Found + " " + c.Advice); odd != "" {
			d.T.Errorf("%s says %q: %+v", c.Name, odd, c)
		}
	}
	return checks
}

// unreadable is what comes of a number or a list that was not formatted, or of one that is one.
var unreadable = regexp.MustCompile(`[.]\d{7,}|\b1 (pages|grants|runs|rows)\b|[{}]{2}|  `)

// find returns what one check says.
func find(d *pgtest.Database, check string) diagnosis {
	d.T.Helper()
	for _, c := range examine(d) {
		if c.Name == check {
			return c
		}
	}
	d.T.Fatalf("there is no check %s", check)
	return diagnosis{}
}

// wantWrong compares what the doctor finds wrong: nothing, or these checks, separated by commas,
// which say this between them, their severities first.
func wantWrong(d *pgtest.Database, checks string, says ...string) {
	d.T.Helper()
	var wrong []string
	var all strings.Builder
	for _, c := range examine(d) {
		if c.Severity == "ok" && c.Advice != "" || !c.ok() && c.Advice == "" {
			d.T.Errorf("it is %+v", c)
		}
		if !c.ok() {
			wrong = append(wrong, c.Name)
			fmt.Fprintf(&all, "%s: %s %s %s\n", c.Name, c.Severity, c.Found, c.Advice)
		}
	}
	if strings.Join(wrong, ", ") != checks {
		d.T.Errorf("wrong is %q, want %q:\n%s", wrong, checks, &all)
	}
	for _, words := range says {
		if !strings.Contains(all.String(), words) {
			d.T.Errorf("nothing is said of %q:\n%s", words, &all)
		}
	}
}

// wantNote is for what a check says without calling it wrong.
func wantNote(d *pgtest.Database, check, says string) {
	d.T.Helper()
	if c := find(d, check); c.Severity != "note" || !strings.Contains(c.Found+" "+c.Advice, says) {
		d.T.Errorf("it should be a note of %q: %+v", says, c)
	}
}

func TestTheDoctorFindsNothingWrongAfterInstallation(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	wantWrong(d, "")
	d.InsertMixed()
	d.Cleanup("")
	wantWrong(d, "")
}

// files returns the path of each check.
func files(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(pgtest.Path("sql/doctor/check_*.sql"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// Each file can be looked at in psql by itself.
func TestEachCheckOfTheDoctorIsAStatementOfOneRow(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	checks := examine(d)
	for _, check := range checks {
		name := strings.NewReplacer(" ", "_", "-", "_").Replace(check.Name)
		path := pgtest.Path("sql/doctor/check_" + name + ".sql")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		type finding struct{ Severity, Found, Advice *string }
		rows := pgtest.Collect(d, pgx.RowToStructByName[finding], string(text))
		if len(rows) != 1 || rows[0].Severity == nil || *rows[0].Severity != check.Severity {
			t.Errorf("%s returns %+v, the doctor %+v", path, rows, check)
		}
	}
	if files := files(t); len(files) != len(checks) {
		t.Errorf("there are the files %v, and %d checks", files, len(checks))
	}
}

func TestTheDoctorIsAtHomeInAnySchema(t *testing.T) {
	t.Parallel()
	const schema = `"In ""Box"", it's"`
	d := pgtest.Adopt(t, "CREATE SCHEMA "+schema, pgtest.SetSearchPath(schema))
	wantWrong(d, "")
}

func TestTheDoctorNamesEachMissingColumnAndGoesOn(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(`
		DROP VIEW notification_cleanup_health;
		ALTER TABLE notifications DROP status, DROP deleted_at CASCADE`)
	checks := examine(d)
	if found := checks[1].Found; len(checks) != len(files(t)) || checks[1].ok() ||
		found != "column deleted_at is missing; column status is missing" {
		t.Errorf("%d checks, of the table it says %s", len(checks), found)
	}
	d.Exec("ALTER TABLE notifications RENAME TO gone")
	if checks := examine(d); len(checks) != len(files(t)) || checks[1].ok() {
		t.Errorf("without the table it says %+v", checks)
	}
}
