package doctor

import (
	"fmt"
	"os"
	"path/filepath"
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

// examine asks the doctor.
func examine(d *pgtest.Database) []diagnosis {
	d.T.Helper()
	return pgtest.Collect(d, pgx.RowToStructByPos[diagnosis], `
		SELECT name, severity, found, coalesce(advice, '') FROM notification_cleanup_doctor()`)
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

func TestTheDoctorFindsNothingWrongAfterInstallation(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	wantWrong(d, "")
	d.InsertMixed()
	d.Cleanup("")
	wantWrong(d, "")
	const names = "[rights table indexes row-level security triggers replica identity vacuum server" +
		" suspension last run unfinished runs max_wal_size idle in transaction pg_cron rehearsal]"
	got := fmt.Sprint(pgtest.All[string](d, "SELECT name FROM notification_cleanup_doctor()"))
	if got != names {
		t.Errorf("the checks are %s, want %s", got, names)
	}
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
	files, _ := filepath.Glob(pgtest.Path("sql/doctor/check_*.sql"))
	if len(files) != len(checks) {
		t.Errorf("%d files, %d checks", len(files), len(checks))
	}
}

func TestTheDoctorIsAtHomeInAnySchema(t *testing.T) {
	t.Parallel()
	const schema = `"In ""Box"", it's"`
	d := pgtest.Adopt(t, "CREATE SCHEMA "+schema, pgtest.SetSearchPath(schema))
	wantWrong(d, "")
}

// leaveOpen plans a run and does no batch of it.
const leaveOpen = `
	INSERT INTO notifications (user_id, status, created_at)
	SELECT md5('1')::uuid, 'read', '2025-01-01' FROM generate_series(1, 5);
	SELECT plan_notification_cleanup(3, 1)`

// noop is followed by when the trigger fires.
const noop = `
	CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TRIGGER noop `

func TestTheDoctorFindsEachFault(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault, check string
		says         []string
	}{
		"id is not unique": {
			"ALTER TABLE notifications DROP CONSTRAINT notifications_pkey",
			"table",
			[]string{"failure", "id has no unique index"},
		},
		"another type": {
			`DROP VIEW notification_cleanup_health;
			ALTER TABLE notifications ALTER created_at TYPE timestamp`,
			"table, rehearsal",
			[]string{"failure", "created_at is timestamp without time zone, and was timestamp with time zone"},
		},
		"no live index": {
			"DROP INDEX notifications_live_idx",
			"indexes",
			[]string{
				"warning",
				"notifications has no valid one for live",
				"CREATE INDEX CONCURRENTLY notifications_live_idx ON",
			},
		},
		"no index for purge": {
			"DROP INDEX notifications_deleted_idx",
			"indexes",
			[]string{
				"no valid one for deleted",
				"CREATE INDEX CONCURRENTLY notifications_deleted_idx ON",
			},
		},
		"an invalid index": {
			`UPDATE pg_index SET indisvalid = false
			WHERE indexrelid = 'notifications_live_idx'::regclass`,
			"indexes",
			[]string{"REINDEX INDEX CONCURRENTLY"},
		},
		"another index serves": {
			`CREATE INDEX mine ON notifications (user_id) WHERE deleted_at IS NULL;
			DROP INDEX notifications_live_idx`,
			"",
			nil,
		},
		"a trigger": {
			noop + "BEFORE UPDATE ON notifications FOR EACH ROW EXECUTE FUNCTION noop()",
			"triggers",
			[]string{"warning", "noop of notifications fires"},
		},
		"a trigger on deleted_at": {
			noop + `AFTER INSERT OR UPDATE OF status, deleted_at ON notifications
			EXECUTE FUNCTION noop()`,
			"triggers",
			[]string{"noop"},
		},
		"a trigger on others": {
			noop + "BEFORE UPDATE OF status ON notifications FOR EACH ROW EXECUTE FUNCTION noop()",
			"",
			nil,
		},
		"a trigger on INSERT": {
			noop + "BEFORE INSERT OR DELETE ON notifications FOR EACH ROW EXECUTE FUNCTION noop()",
			"",
			nil,
		},
		"a disabled trigger": {
			noop + `BEFORE UPDATE ON notifications FOR EACH ROW EXECUTE FUNCTION noop();
			ALTER TABLE notifications DISABLE TRIGGER noop`,
			"",
			nil,
		},
		"a foreign key": {
			"CREATE TABLE t (id uuid REFERENCES notifications)",
			"",
			nil,
		},
		"no replica identity": {
			`ALTER TABLE notifications REPLICA IDENTITY NOTHING;
			CREATE PUBLICATION p FOR TABLE notifications`,
			"replica identity, rehearsal",
			[]string{"failure", "publication p", "ALTER TABLE notifications REPLICA IDENTITY FULL"},
		},
		"the identity is gone": {
			`CREATE UNIQUE INDEX i ON notifications (id);
			ALTER TABLE notifications REPLICA IDENTITY USING INDEX i;
			CREATE PUBLICATION p FOR ALL TABLES;
			CREATE UNIQUE INDEX j ON notifications (id);
			DROP INDEX i`,
			"replica identity, rehearsal",
			[]string{"publication p"},
		},
		"a replica identity": {
			`CREATE PUBLICATION p FOR TABLE notifications;
			CREATE PUBLICATION q FOR ALL TABLES`,
			"",
			nil,
		},
		"a full replica identity": {
			`ALTER TABLE notifications
				DROP CONSTRAINT notifications_pkey,
				ADD UNIQUE (id),
				REPLICA IDENTITY FULL;
			CREATE PUBLICATION p FOR TABLE notifications`,
			"",
			nil,
		},
		"no updates are published": {
			`ALTER TABLE notifications REPLICA IDENTITY NOTHING;
			CREATE PUBLICATION p FOR TABLE notifications WITH (publish = 'insert')`,
			"",
			nil,
		},
		"a suspension": {
			"SELECT suspend_notification_cleanup('the disk is full')",
			"suspension",
			[]string{
				"warning",
				"the job is suspended since",
				"by postgres: the disk is full",
				"SELECT resume_notification_cleanup();",
			},
		},
		"an old run": {
			`INSERT INTO notification_cleanup_runs
				(max_notifications, min_keep, started_at, finished_at)
			VALUES (9, 1, now() - interval '2 days', now() - interval '27 hours')`,
			"last run",
			[]string{"warning", "ended 1 day 03:00:00 ago"},
		},
		"a run left": {
			leaveOpen,
			"unfinished runs",
			[]string{"warning", "run 1, 0 of 4 deleted", "max_notifications => 3, min_keep => 1"},
		},
		"a run given up": {
			leaveOpen + "; SELECT restore_notifications(1)",
			"",
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(test.fault)
			wantWrong(d, test.check, test.says...)
		})
	}
}

func TestTheDoctorNamesEachMissingColumnAndGoesOn(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(`
		DROP VIEW notification_cleanup_health;
		ALTER TABLE notifications DROP status, DROP deleted_at CASCADE`)
	checks := examine(d)
	if found := checks[1].Found; len(checks) != 15 || checks[1].ok() ||
		found != "column deleted_at is missing; column status is missing" {
		t.Errorf("%d checks, of the table it says %s", len(checks), found)
	}
	d.Exec("ALTER TABLE notifications RENAME TO gone")
	if checks := examine(d); len(checks) != 15 || checks[1].ok() {
		t.Errorf("without the table it says %+v", checks)
	}
}
