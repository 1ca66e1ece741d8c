package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// sources is a copy of what program and migrations are made of.
type sources struct {
	t      *testing.T
	folder string
}

func copySources(t *testing.T) sources {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s := sources{t, t.TempDir()}
	for _, name := range []string{"go.mod", "go.sum", "cmd", "migrations", "sql"} {
		s.do("cp", "-r", filepath.Join(root, name), ".")
	}
	return s
}

func (s sources) try(command ...string) (output string, err error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = s.folder
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s sources) do(command ...string) {
	s.t.Helper()
	if out, err := s.try(command...); err != nil {
		s.t.Fatalf("%v: %s %v", command, out, err)
	}
}

func (s sources) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.folder, name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s sources) edit(name, old, new string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.folder, name))
	if err != nil || !bytes.Contains(text, []byte(old)) {
		s.t.Fatalf("%s has no %q: %v", name, old, err)
	}
	s.write(name, strings.ReplaceAll(string(text), old, new))
}

// nextVersion is the program of a version in which, after a release, one routine calls a new one,
// another one has an argument more, a third one a default less, and the view a column less.
func nextVersion(t *testing.T) (program, migrations string) {
	t.Helper()
	s := copySources(t)
	s.do("go", "run", "./sql/snapshot", "--release")
	s.edit("sql/run/check_run_id.sql", "'no cleanup run %s'", "new_words()")
	s.write("sql/run/new_words.sql", `
CREATE OR REPLACE FUNCTION new_words()
RETURNS text
LANGUAGE sql
IMMUTABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT text 'no run of the cleanup %s'
$$;
COMMENT ON FUNCTION new_words() IS
    'Words of a later version.';
`)
	s.edit("sql/pace/stop_notification_cleanup.sql",
		"    run_id bigint\n", "    run_id bigint,\n    reason text DEFAULT NULL\n")
	s.edit("sql/pace/stop_notification_cleanup.sql",
		"FUNCTION stop_notification_cleanup(bigint)", "FUNCTION stop_notification_cleanup(bigint, text)")
	s.edit("sql/rule/notification_stats.sql", "integer DEFAULT 1000", "integer")
	s.edit("sql/doctor/notification_cleanup_health.sql", "last_outcome", "outcome")
	s.do("go", "run", "./sql/snapshot")
	s.do("go", "run", "./sql/snapshot", "--check")
	program = filepath.Join(s.folder, "next")
	s.do("go", "build", "-o", program, "./cmd/notification-cleanup")
	return program, filepath.Join(s.folder, "migrations")
}

func TestAReleasedMigrationMayNotChange(t *testing.T) {
	t.Parallel()
	pgtest.Slow(t)
	s := copySources(t)
	s.edit("migrations/00003_indexes.sql", "-- +goose Down", "-- And down:\n-- +goose Down")
	s.do("go", "run", "./sql/snapshot", "--check")
	s.do("go", "run", "./sql/snapshot", "--release")
	s.do("go", "run", "./sql/snapshot", "--check")
	s.edit("migrations/00003_indexes.sql", "-- And down:\n", "")
	if out, err := s.try("go", "run", "./sql/snapshot", "--check"); err == nil ||
		!strings.Contains(out, "00003_indexes.sql has changed since it was released") {
		t.Errorf("a migration that was released may be changed: %s", out)
	}
}

func runProgram(d *pgtest.Database, path string, args ...string) (output string, status int) {
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+d.URL(), "FORMAT=json")
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// From the version before, while a run is under way, by the program and by plain goose.
func TestUpFromTheVersionBefore(t *testing.T) {
	t.Parallel()
	next, migrations := nextVersion(t)
	for name, up := range map[string]func(*pgtest.Database) (string, int){
		"program": func(d *pgtest.Database) (string, int) { return runProgram(d, next, "migrate", "up") },
		"plain goose": func(d *pgtest.Database) (string, int) {
			cmd := exec.Command("goose", "-dir", migrations, "-table", versionTable,
				"postgres", d.URL(), "up")
			out, _ := cmd.CombinedOutput()
			return string(out), cmd.ProcessState.ExitCode()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Insert(pgtest.Alice, "read", 1, 1001)
			role := d.RoleTo("clean up")
			run := d.Plan("100, 100, batch_size => 300")
			d.Batch(run)
			worker := d.OpenSession()
			worker.Exec("BEGIN")
			worker.Exec("SELECT cleanup_next_batch(1)")
			before := fmt.Sprintf("the database has version %d, and this program brings %d",
				programVersion, programVersion+1)
			if out, status := runProgram(d, next, "migrate", "status"); status != 0 ||
				!strings.Contains(out, before) {
				t.Errorf("before, the status says %s", out)
			}
			if out, status := up(d); status != 0 {
				t.Fatalf("exit status %d: %s", status, out)
			}
			worker.Exec("COMMIT")

			wantNextVersion(d, role)
			if out, status := runProgram(d, next, "run", "--max-notifications", "100"); status != 0 ||
				strings.Contains(out, "WARN") {
				t.Errorf("the run is not continued: %s", out)
			}
			d.WantDeletedBy(
				d.Record(run), "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
			wantThisProgramToBeOlder(d)
			if out, status := runProgram(d, next, "migrate", "down"); status != 0 ||
				strings.Contains(pgtest.One[string](d, pgtest.OurObjects), "cleanup_next_batch") {
				t.Errorf("down: exit status %d, %s", status, out)
			}
		})
	}
}

// wantNextVersion wants the routines of the next version, also for a role that had its grants
// before.
func wantNextVersion(d *pgtest.Database, role string) {
	d.T.Helper()
	cleaner := d.OpenSession()
	cleaner.Exec("SET ROLE " + role)
	if says := cleaner.Refused("SELECT cleanup_next_batch(99)", "22023"); !strings.HasPrefix(
		says.Message, "no run of the cleanup",
	) {
		d.T.Errorf("the routine is not the new one, and says %s", says.Message)
	}
	cleaner.Exec("SELECT cleanup_next_batch(1)")
	cleaner.Refused("SELECT purge_notifications()", "42501")
	if n := pgtest.One[int](d, `
		SELECT count(*) FROM pg_proc WHERE proname = 'stop_notification_cleanup'`); n != 1 {
		d.T.Errorf("there are %d routines of the name whose arguments have changed", n)
	}
	d.Exec("SELECT outcome FROM notification_cleanup_health")
}

// wantThisProgramToBeOlder wants it to say so, and not to migrate.
func wantThisProgramToBeOlder(d *pgtest.Database) {
	d.T.Helper()
	older := fmt.Sprintf("the database has version %d, and this program is older: %d",
		programVersion+1, programVersion)
	for _, args := range []string{"run", "doctor", "migrate status"} {
		stdout, stderr, status := command(d.T, d, nil, strings.Fields(args)...)
		if status != 0 || !strings.Contains(stdout+stderr, older) {
			d.T.Errorf("%s: exit status %d, %s %s", args, status, stdout, stderr)
		}
	}
	for _, args := range []string{"up", "down", "adopt"} {
		_, stderr, status := command(d.T, d, nil, "migrate", args)
		if status != 1 || !strings.Contains(stderr, older) {
			d.T.Errorf("%s: exit status %d, %s", args, status, stderr)
		}
	}
}

// A routine that somebody has changed by hand, or an installation by another commit.
func TestARoutineThatIsNotWhatTheProgramBringsIsTold(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(`CREATE OR REPLACE FUNCTION cleanup_run_lifetime() RETURNS interval
		LANGUAGE sql IMMUTABLE AS $$SELECT interval '1 year'$$`)
	const says = "routines are not those of this program: cleanup_run_lifetime"
	for _, args := range []string{"run", "doctor", "migrate status", "migrate up"} {
		stdout, stderr, status := command(t, d, nil, strings.Fields(args)...)
		if status != 0 || !strings.Contains(stdout+stderr, says) {
			t.Errorf("%s: exit status %d, %s %s", args, status, stdout, stderr)
		}
	}
	if _, stderr, status := command(t, d, nil, "migrate", "adopt"); status != 0 ||
		strings.Contains(stderr, says) {
		t.Errorf("adopt: exit status %d, %s", status, stderr)
	}
}

// pg_dump --schema-only brings everything but what goose knows.
func TestACopyOfTheSchemaIsRecognised(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]string{
		"the table is empty":    "TRUNCATE " + versionTable,
		"there is no table":     "DROP TABLE " + versionTable,
		"the table has its row": "DELETE FROM " + versionTable + " WHERE version_id > 0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Empty(t)
			migrateTo(t, d, "up")
			d.Exec(forget)
			if _, stderr := migrateTo(t, d, "status"); name != "there is no table" &&
				!strings.Contains(stderr, "goose knows nothing of what is installed here") {
				t.Errorf("the status says %s", stderr)
			}
			d.Exec(forget)
			stdout, stderr := migrateTo(t, d, "up")
			if strings.Contains(stdout, "pending") || strings.Contains(stderr, "applying") {
				t.Errorf("up says %s %s", stdout, stderr)
			}
			d.Exec(forget)
			migrateTo(t, d, "down")
			if left := pgtest.One[string](d, pgtest.OurObjects); left != "" {
				t.Errorf("down leaves %s", left)
			}
			migrateTo(t, d, "up")
		})
	}
}

func TestACommandInARenamedSchemaSaysWhatToDo(t *testing.T) {
	t.Parallel()
	const create = `CREATE SCHEMA app;
		CREATE TABLE app.notifications (id bigint PRIMARY KEY, user_id bigint, status text,
			created_at timestamptz)`
	for _, nameIsTaken := range []bool{false, true} {
		t.Run(fmt.Sprint("the name is taken ", nameIsTaken), func(t *testing.T) {
			t.Parallel()
			d := pgtest.Empty(t)
			in := func(schema string, wantStatus int, args string) (stderr string) {
				t.Helper()
				env := map[string]string{"SCHEMA": schema}
				_, stderr, status := command(t, d, env, strings.Fields(args)...)
				if status != wantStatus {
					t.Errorf("%s: exit status %d, want %d: %s", args, status, wantStatus, stderr)
				}
				return stderr
			}
			d.Exec(create)
			in("app", 0, "migrate up")
			d.Exec("ALTER SCHEMA app RENAME TO app_old")
			if nameIsTaken {
				d.Exec(create)
				in("app", 0, "migrate up")
			}
			for _, args := range []string{
				"run", "preview", "stats", "history", "doctor", "restore 1", "purge", "stop 1",
				"suspend no", "resume", "migrate up",
			} {
				if says := in("app_old", 1, args); !strings.Contains(says, "the schema was renamed") {
					t.Errorf("%s says %s", args, says)
				}
			}
			in("app_old", 0, "migrate adopt")
			in("app_old", 0, "run")
			if nameIsTaken {
				in("app", 0, "doctor")
				in("app", 0, "run")
			}
			in("app_old", 0, "migrate down")
			d.Exec("DROP SCHEMA app_old CASCADE")
			if nameIsTaken {
				in("app", 0, "run")
			}
		})
	}
}

// An installation in a schema that comes later in the path is another one.
func TestAnInstallationLaterInThePathIsNotTakenForACopy(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec("CREATE SCHEMA tenant;" +
		" CREATE TABLE tenant.notifications (LIKE public.notifications INCLUDING ALL)")
	d.Exec("ALTER DATABASE " + d.Name + " SET search_path = tenant, public")
	d = d.OpenSession()
	if out, status := psqlScript(t, d); status != 0 {
		t.Fatal(out)
	}
	if pgtest.One[*string](d, "SELECT to_regproc('tenant.cleanup_notifications')::text") == nil {
		t.Error("the script has installed nothing")
	}
	migrateTo(t, d, "down")
	migrateTo(t, d, "up")
	if pgtest.One[*string](d, "SELECT to_regproc('tenant.cleanup_notifications')::text") == nil {
		t.Error("up has installed nothing")
	}
}
