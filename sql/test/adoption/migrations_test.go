package adoption

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
	"github.com/pressly/goose/v3"
)

// checksum of an application's rows: without deleted_at, which adoption may add.
const checksum = `
	SELECT count(*) || ' ' || md5(string_agg((to_jsonb(n) - 'deleted_at')::text, ' ' ORDER BY id))
	FROM notifications AS n`

func TestAdoptsATableWithItsRows(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	d.Exec(pgtest.ApplicationTable)
	before := pgtest.One[string](d, checksum)
	file := pgtest.One[string](d, `SELECT pg_relation_filenode('notifications')::text`)
	d.Migrate()
	d.Exec(`SELECT cleanup_notifications()`)
	deleted := pgtest.One[string](d, `
		SELECT count(*) || ' ' || min(deleted_at) FROM notifications WHERE deleted_at IS NOT NULL`)
	if !strings.HasPrefix(deleted, "5700 ") {
		t.Errorf("deleted %s, want 5700", deleted)
	}
	const history = "notification_cleanup_runs"
	const withIndexes = "notification_cleanup_runs notification_cleanup_runs_pkey" +
		" notification_cleanup_runs_started_at_key"
	warnings, left := d.MigrateDown(), pgtest.One[string](d, pgtest.OurObjects)
	if !strings.Contains(warnings, "history") || left != withIndexes && left != history {
		t.Errorf(
			"after down there is %s, warnings %s, want the history and no more",
			left,
			warnings,
		)
	}
	d.Migrate()
	if after := pgtest.One[string](d, checksum); after != before {
		t.Errorf("rows were %s, are %s", before, after)
	}
	if now := pgtest.One[string](d, `
		SELECT count(*) || ' ' || min(deleted_at)
		FROM notifications
		WHERE deleted_at IS NOT NULL`); now != deleted {
		t.Errorf("deleted_at was %s, is %s", deleted, now)
	}
	if now := pgtest.One[string](d, `
		SELECT pg_relation_filenode('notifications')::text`); now != file {
		t.Error("the table was rewritten")
	}
	if n := pgtest.One[int](d, `
		SELECT restore_notifications(id) FROM notification_cleanup_runs`); n != 5700 {
		t.Errorf("restored %d, want the 5700 of the run before down", n)
	}
}

func TestAnInvalidIndexIsBuiltAgain(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, plain)
	d.Exec(`
		UPDATE pg_index
		SET indisvalid = false
		WHERE indexrelid IN ('notifications_live_idx'::regclass, 'notifications_deleted_idx'::regclass)`)
	d.Exec(`DELETE FROM notification_cleanup_schema_version WHERE version_id = 3`)
	d.ApplyMigrations(goose.WithAllowOutofOrder(true))
	if n := pgtest.One[int](d, `
		SELECT count(*)
		FROM pg_index
		WHERE indexrelid IN ('notifications_live_idx'::regclass, 'notifications_deleted_idx'::regclass)
			AND indisvalid`); n != 2 {
		t.Errorf("%d of 2 indexes are valid", n)
	}
}

func TestAPartitionToComeGetsBothIndexes(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, pgtest.Partitioned["range"])
	d.Exec(`
		CREATE TABLE p4 (LIKE notifications); ALTER TABLE notifications ATTACH PARTITION p4 DEFAULT`)
	d.WantIndexes(`"P 3"`, "notifications", "p1", "p2", "p4")
}

// plainGoose runs the goose command line on migrations/; make builds it.
func plainGoose(d *pgtest.Database, direction string) (output string, err error) {
	d.T.Helper()
	program, err := exec.LookPath("goose")
	if err != nil {
		d.T.Fatalf("no goose command line (%v): run make .build/goose, and the tests by make", err)
	}
	args := []string{
		"-dir", pgtest.Path("migrations"), "-table", pgtest.VersionTable, "postgres", d.URL(),
	}
	out, err := exec.Command(program, append(args, strings.Fields(direction)...)...).CombinedOutput()
	return string(out), err
}

func TestPlainGooseLeavesNothingBehindWhereItIsRefused(t *testing.T) {
	t.Parallel()
	pgtest.Slow(t)
	d := pgtest.Empty(t)
	d.Exec("CREATE TABLE notifications (user_id integer)")
	for range 2 {
		out, err := plainGoose(d, "up")
		if err == nil || !strings.Contains(out, "column id is missing") {
			t.Errorf("%v: %s", err, out)
		}
		if tables := pgtest.All[string](d, `
			SELECT relname::text
			FROM pg_class
			WHERE relnamespace = 'public'::regnamespace`); len(tables) != 1 {
			t.Errorf("there are %q", tables)
		}
	}
	d.Exec(`DROP TABLE notifications`)
	if out, err := plainGoose(d, "up"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestPlainGoose(t *testing.T) {
	t.Parallel()
	pgtest.Slow(t)
	for _, create := range []string{`SELECT`, pgtest.ApplicationTable, `
		CREATE TABLE inbox (id bigint PRIMARY KEY, owner bigint, seen boolean, made timestamptz,
			gone timestamptz);
		CREATE VIEW notifications AS SELECT ctid, tableoid, id, owner AS user_id,
			CASE WHEN seen THEN 'read' ELSE 'unread' END AS status, made AS created_at, gone AS deleted_at
		FROM inbox`,
	} {
		d, ours := pgtest.Empty(t), pgtest.Empty(t)
		d.Exec(create)
		ours.Exec(create)
		for _, direction := range []string{"up", "down-to 0", "up"} {
			if out, err := plainGoose(d, direction); err != nil {
				t.Fatalf("goose %s: %v\n%s", direction, err, out)
			}
		}
		if _, stderr, status := ours.Program(nil, "migrate", "up"); status != 0 {
			t.Fatal(stderr)
		}
		got, want := pgtest.One[string](d, pgtest.OurObjects), pgtest.One[string](ours, pgtest.OurObjects)
		if got != want {
			t.Errorf("goose installs %s, we install %s", got, want)
		}
	}
}

func TestSnapshotEqualsTheLivingSource(t *testing.T) {
	t.Parallel()
	pgtest.Slow(t)
	if out, err := exec.Command(pgtest.Path(".ci/snapshot"), "--check").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	// And what the migrations install is what the living source installs.
	d := pgtest.New(t)
	before := pgtest.One[string](d, pgtest.Definitions)
	d.Exec(`SET search_path = public, pg_temp`)
	files, _ := filepath.Glob(pgtest.Path("sql/*/*.sql"))
	routines := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nCREATE OR REPLACE") {
			d.Exec(string(text))
			routines++
		}
	}
	if after := pgtest.One[string](d, pgtest.Definitions); after != before || routines < 12 {
		t.Errorf("%d files of sql/ install other routines than the migrations", routines)
	}
}
