package adoption

import (
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// inApp is a table of an application in a schema of its own, with 1001 of Alice in it.
const inApp = `
	CREATE SCHEMA app;
	CREATE TABLE app.notifications (LIKE public.sample INCLUDING ALL);
	INSERT INTO app.notifications SELECT * FROM public.sample`

// renamed is a database in which a schema with an installation was renamed, and another one has
// taken its name if it is said so.
func renamed(t *testing.T, replaced bool) *pgtest.Database {
	t.Helper()
	d := pgtest.Empty(t)
	d.Exec(`
		CREATE TABLE public.sample (id bigint PRIMARY KEY, user_id bigint, status text,
			created_at timestamptz, deleted_at timestamptz);
		INSERT INTO public.sample
		SELECT i, 1, 'read', timestamptz '2025-01-01Z' + i * interval '1 minute'
		FROM generate_series(1, 1001) AS i`)
	d.Exec(inApp)
	d.MigrateInto("app")
	d.Exec("ALTER SCHEMA app RENAME TO app_old")
	if replaced {
		d.Exec(inApp)
		d.MigrateInto("app")
	}
	return d
}

func deletedIn(d *pgtest.Database, schema string) int {
	return pgtest.One[int](d, "SELECT count(deleted_at) FROM "+schema+".notifications")
}

// Whatever of the renamed schema is called, in the new one nothing changes.
func TestRoutinesOfARenamedSchemaDoNotWorkInTheOneThatTookItsName(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"C", "de_DE.UTF-8"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			d := renamed(t, true)
			d.Exec("SET lc_messages = '" + language + "'")
			d.Exec("SELECT id FROM app.plan_notification_cleanup(100, 100)")
			for _, call := range []string{
				"SELECT app_old.cleanup_notifications()",
				"SELECT app_old.cleanup_notifications(user_ids => ARRAY[1])",
				"CALL app_old.cleanup_notifications_in_batches()",
				"SELECT app_old.plan_notification_cleanup(50, 50)",
				"SELECT app_old.cleanup_next_batch(1)",
				"SELECT app_old.preview_notification_cleanup()",
				"SELECT app_old.explain_notification_cleanup(1)",
				"SELECT app_old.notification_stats()",
				"SELECT app_old.restore_notifications(1)",
				"SELECT app_old.restore_next_batch(1)",
				"SELECT app_old.purge_notifications()",
				"SELECT app_old.purge_next_batch()",
				"SELECT app_old.stop_notification_cleanup(1)",
				"SELECT app_old.pace_notification_cleanup(1, 1)",
				"SELECT app_old.suspend_notification_cleanup('no')",
				"SELECT app_old.resume_notification_cleanup()",
			} {
				wantStray(d, call)
				// As a session does that has the schema in its path, and has called nothing yet.
				session := d.OpenSession()
				session.Exec("SET search_path = app_old")
				wantStray(session, strings.Replace(call, "app_old.", "", 1))
			}
			if n := deletedIn(d, "app"); n != 0 {
				t.Errorf("%d were deleted in the new schema", n)
			}
			found := pgtest.One[string](d, `
				SELECT string_agg(found, '') FROM app.notification_cleanup_doctor()
				WHERE name = 'renamed schemas' AND severity = 'failure'`)
			if !strings.Contains(found, "in schema app_old, which was renamed") {
				t.Errorf("the doctor says %q", found)
			}
			d.Exec("SET search_path = app_old")
			d.Exec("CALL app.cleanup_notifications_in_batches()")
			if n := deletedIn(d, "app"); n != 901 {
				t.Errorf("the new schema's own routine deleted %d", n)
			}
		})
	}
}

func wantStray(d *pgtest.Database, call string) {
	d.T.Helper()
	says := d.Refused(call, "55000")
	if !strings.Contains(says.Message, "stands in schema app_old") ||
		!strings.Contains(says.Hint, "SCHEMA='app_old'") {
		d.T.Errorf("%s says %s, hint %s", call, says.Message, says.Hint)
	}
}

// Two installations stand side by side, and the path of one leads to the other, because there is
// the type of its column: until it is renamed, each works on its own.
func TestARenamedSchemaDoesNotFallThroughToAnotherInstallation(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	d.Exec("CREATE EXTENSION citext SCHEMA public; CREATE SCHEMA app")
	for _, schema := range []string{"public", "app"} {
		d.Exec(`CREATE TABLE ` + schema + `.notifications (
			id bigint PRIMARY KEY, user_id public.citext, status text, created_at timestamptz)`)
		d.MigrateInto(schema)
		d.Exec(`INSERT INTO ` + schema + `.notifications
			SELECT i, 'alice', 'read', timestamptz '2025-01-01Z' + i * interval '1 minute'
			FROM generate_series(1, 1001) AS i`)
	}
	d.Exec("SELECT app.cleanup_notifications()")
	if n, others := deletedIn(d, "app"), deletedIn(d, "public"); n != 901 || others != 0 {
		t.Errorf("side by side, %d were deleted, and %d in the other schema", n, others)
	}
	const strays = "SELECT array_agg(schema_name::text) FROM public.notification_stray_schemas()"
	if found := pgtest.One[[]string](d, strays); found != nil {
		t.Errorf("side by side, %s are said to be renamed", found)
	}
	d.Exec("ALTER SCHEMA app RENAME TO app_old")
	d = d.OpenSession()
	if found := pgtest.One[[]string](d, strays); !slices.Equal(found, []string{"app_old"}) {
		t.Errorf("%s are said to be renamed, want app_old", found)
	}
	wantStray(d, "SELECT app_old.cleanup_notifications()")
	wantStray(d, "CALL app_old.cleanup_notifications_in_batches()")
	if n := deletedIn(d, "public"); n != 0 {
		t.Errorf("%d were deleted in the other schema", n)
	}
	d.Exec("SELECT public.cleanup_notifications()")
	if n := deletedIn(d, "public"); n != 901 {
		t.Errorf("the other schema's own routine deleted %d", n)
	}
}

// Nobody has taken the name: what was installed fails, and says what to do.
func TestARenamedSchemaSaysWhatToDo(t *testing.T) {
	t.Parallel()
	d := renamed(t, false)
	for _, call := range []string{
		"SELECT app_old.cleanup_notifications()",
		"CALL app_old.cleanup_notifications_in_batches()",
	} {
		says := d.Refused(call, "3F000")
		if !strings.Contains(says.Message, "which were in schema app") ||
			!strings.Contains(says.Hint, "migrate adopt") {
			t.Errorf("%s says %s, hint %s", call, says.Message, says.Hint)
		}
	}
}
