package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// nextVersion is a tree of sources in which everything was released, and then one routine was
// changed and another one got an argument more. It returns its program and its migrations.
func nextVersion(t *testing.T) (program, migrations string) {
	t.Helper()
	tree := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum", "cmd", "migrations", "sql"} {
		if out, err := exec.Command("cp", "-r", filepath.Join(root, name), tree).
			CombinedOutput(); err != nil {
			t.Fatalf("%s %v", out, err)
		}
	}
	do := func(command ...string) {
		t.Helper()
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = tree
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s %v", command, out, err)
		}
	}
	edit := func(name, old, new string) {
		t.Helper()
		path := filepath.Join(tree, name)
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte(old)) {
			t.Fatalf("%s has no %q: %v", name, old, err)
		}
		text = bytes.ReplaceAll(text, []byte(old), []byte(new))
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	do("go", "run", "./sql/snapshot", "--release")
	do("go", "run", "./sql/snapshot", "--check")
	edit("sql/run/check_run_id.sql", "no cleanup run %s", "no run of the cleanup %s")
	edit("sql/pace/stop_notification_cleanup.sql",
		"    run_id bigint\n", "    run_id bigint,\n    reason text DEFAULT NULL\n")
	edit("sql/pace/stop_notification_cleanup.sql",
		"FUNCTION stop_notification_cleanup(bigint)", "FUNCTION stop_notification_cleanup(bigint, text)")
	do("go", "run", "./sql/snapshot")
	do("go", "run", "./sql/snapshot", "--check")
	edit("migrations/00003_indexes.sql", "-- +goose Down", "-- And down:\n-- +goose Down")
	changed := exec.Command("go", "run", "./sql/snapshot", "--check")
	changed.Dir = tree
	if out, err := changed.CombinedOutput(); err == nil ||
		!strings.Contains(string(out), "00003_indexes.sql has changed since it was released") {
		t.Errorf("a migration that was released may be changed: %s", out)
	}
	edit("migrations/00003_indexes.sql", "-- And down:\n", "")
	program = filepath.Join(tree, "next")
	do("go", "build", "-o", program, "./cmd/notification-cleanup")
	return program, filepath.Join(tree, "migrations")
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
			role := d.Role()
			d.Exec("GRANT EXECUTE ON FUNCTION preview_notification_cleanup(integer, integer) TO " + role)
			granted := pgtest.All[string](d, grantsQuery+" ORDER BY 1")
			run := d.Plan("100, 100, batch_size => 300")
			d.Batch(run)
			worker := d.OpenSession()
			worker.Exec("BEGIN")
			worker.Exec("SELECT cleanup_next_batch(1)")
			if out, status := runProgram(d, next, "migrate", "status"); status != 0 ||
				!strings.Contains(out, "the database has version 4, and this program brings 5") {
				t.Errorf("before, the status says %s", out)
			}
			if out, status := up(d); status != 0 {
				t.Fatalf("exit status %d: %s", status, out)
			}
			worker.Exec("COMMIT")

			if says := d.Refused("SELECT cleanup_next_batch(99)", "22023"); !strings.HasPrefix(
				says.Message, "no run of the cleanup",
			) {
				t.Errorf("the routine is not the new one, and says %s", says.Message)
			}
			if got := pgtest.All[string](d, grantsQuery+" ORDER BY 1"); strings.Join(got, "\n") !=
				strings.Join(granted, "\n") || len(got) == 0 {
				t.Errorf("granted is %q, want %q", got, granted)
			}
			if n := pgtest.One[int](d, `
				SELECT count(*) FROM pg_proc WHERE proname = 'stop_notification_cleanup'`); n != 1 {
				t.Errorf("there are %d routines of the name whose arguments have changed", n)
			}
			if out, status := runProgram(d, next, "run", "--max-notifications", "100"); status != 0 ||
				strings.Contains(out, "WARN") {
				t.Errorf("the run is not continued: %s", out)
			}
			d.WantDeletedBy(d.Record(run), "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})

			const older = "the database has version 5, and this program is older: 4"
			for _, args := range []string{"run", "doctor", "migrate status"} {
				stdout, stderr, status := command(t, d, nil, strings.Fields(args)...)
				if status != 0 || !strings.Contains(stdout+stderr, older) {
					t.Errorf("%s: exit status %d, %s %s", args, status, stdout, stderr)
				}
			}
			for _, args := range []string{"up", "down", "adopt"} {
				_, stderr, status := command(t, d, nil, "migrate", args)
				if status != 1 || !strings.Contains(stderr, older) {
					t.Errorf("%s: exit status %d, %s", args, status, stderr)
				}
			}
			if out, status := runProgram(d, next, "migrate", "down"); status != 0 ||
				strings.Contains(pgtest.One[string](d, pgtest.OurObjects), "cleanup_next_batch") {
				t.Errorf("down: exit status %d, %s", status, out)
			}
		})
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
	d := pgtest.Empty(t)
	d.Exec("CREATE SCHEMA app; CREATE TABLE app.notifications (id bigint PRIMARY KEY, user_id bigint," +
		" status text, created_at timestamptz)")
	env := map[string]string{"SCHEMA": "app"}
	if _, stderr, status := command(t, d, env, "migrate", "up"); status != 0 {
		t.Fatal(stderr)
	}
	d.Exec("ALTER SCHEMA app RENAME TO app_old")
	env["SCHEMA"] = "app_old"
	for _, args := range []string{
		"run", "preview", "stats", "history", "doctor", "restore 1", "purge", "stop 1",
	} {
		_, stderr, status := command(t, d, env, strings.Fields(args)...)
		if status != 1 || !strings.Contains(stderr, "the schema was renamed") {
			t.Errorf("%s: exit status %d, %s", args, status, stderr)
		}
	}
	if _, stderr, status := command(t, d, env, "migrate", "adopt"); status != 0 {
		t.Errorf("adopt: exit status %d, %s", status, stderr)
	}
	if _, stderr, status := command(t, d, env, "run"); status != 0 {
		t.Errorf("run: exit status %d, %s", status, stderr)
	}
}
