package adoption

import (
	"fmt"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// What an application may have under a name of ours. Of the names of tables and types there can be
// any, of those of routines only routines are in the way.
var (
	routineKinds = map[string]string{
		"function": "CREATE FUNCTION %s(days integer DEFAULT 30) RETURNS integer" +
			" LANGUAGE sql AS 'SELECT 1'",
		"procedure": "CREATE PROCEDURE %s(days integer) LANGUAGE sql AS 'SELECT 1'",
		"aggregate": "CREATE AGGREGATE %s(integer) (SFUNC = int4pl, STYPE = integer)",
	}
	relationKinds = map[string]string{
		"table":             "CREATE TABLE %s (days integer)",
		"view":              "CREATE VIEW %s AS SELECT 1 AS days",
		"materialized view": "CREATE MATERIALIZED VIEW %s AS SELECT 1 AS days",
		"sequence":          "CREATE SEQUENCE %s",
		"index":             "CREATE INDEX %s ON theirs (days)",
		"type":              "CREATE TYPE %s AS (days integer)",
	}
	typeKinds = map[string]string{
		"table":  "CREATE TABLE %s (days integer)",
		"view":   "CREATE VIEW %s AS SELECT 1 AS days",
		"type":   "CREATE TYPE %s AS ENUM ('day')",
		"domain": "CREATE DOMAIN %s AS text",
	}
)

// Names that are in the catalog after an installation.
const (
	ourRoutines = `
		SELECT DISTINCT proname::text FROM pg_proc
		WHERE pronamespace = 'public'::regnamespace`
	ourRelations = `
		SELECT relname::text FROM pg_class
		WHERE relnamespace = 'public'::regnamespace
			AND relname ~ '^notification_cleanup_'
			AND relname !~ '(pkey|key|seq)$|schema_version'`
	ourDomains = `
		SELECT typname::text FROM pg_type
		WHERE typnamespace = 'public'::regnamespace AND typtype = 'd'`
	// everythingInSchema is a query for what the application has.
	everythingInSchema = `
		SELECT string_agg(object, ' ' ORDER BY object)
		FROM (
			SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
			UNION ALL
			SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
			UNION ALL
			SELECT oid::regtype::text FROM pg_type WHERE typnamespace = 'public'::regnamespace
		) AS o (object)`
)

func TestEveryNameThatIsTakenIsNamedAndNothingIsCreated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		names string
		kinds map[string]string
	}{
		{ourRoutines, routineKinds},
		{ourRelations, relationKinds},
		{ourDomains, typeKinds},
	} {
		names := pgtest.All[string](pgtest.New(t), test.names)
		if len(names) < 3 {
			t.Fatalf("there are only %q", names)
		}
		for kind, create := range test.kinds {
			t.Run(kind+" "+names[0], func(t *testing.T) {
				t.Parallel()
				d := pgtest.Empty(t)
				d.Exec("CREATE TABLE theirs (days integer)")
				for _, name := range names {
					d.Exec(fmt.Sprintf(create, name))
				}
				before := pgtest.One[string](d, everythingInSchema)
				_, stderr, status := d.Program(nil, "migrate", "up")
				for _, name := range names {
					if says := kind + " " + name; !strings.Contains(stderr, says) {
						t.Errorf("%s is not named: exit status %d, stderr %s", says, status, stderr)
					}
				}
				after := pgtest.One[string](d, everythingInSchema)
				if status != 1 || !strings.Contains(stderr, "Nothing was changed.") || after != before {
					t.Errorf("exit status %d, stderr %s, there was %s, is %s", status, stderr, before, after)
				}
			})
		}
	}
}

func TestWhatAnApplicationCallsBySuchANameGoesOnBeingCalled(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	d.Exec(pgtest.ApplicationTable)
	d.Exec(fmt.Sprintf(routineKinds["function"], "cleanup_notifications"))
	out, err := plainGoose(d, "up")
	const says = "names of ours are taken in schema public: function cleanup_notifications(integer)"
	if err == nil || !strings.Contains(out, says) {
		t.Errorf("%v: %s", err, out)
	}
	d.Exec("SELECT cleanup_notifications()")
	stdout, _, status := d.Program(nil, "doctor")
	if status != 1 || !strings.Contains(stdout, says) {
		t.Errorf("of the doctor exit status %d, %s", status, stdout)
	}
	d.Exec("ALTER FUNCTION cleanup_notifications(integer) RENAME TO forget_old_ones")
	if out, err := plainGoose(d, "up"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// One that came later is no obstacle to go.
	d.Exec(fmt.Sprintf(routineKinds["function"], "purge_notifications"))
	if out, err := plainGoose(d, "down-to 0"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d.Exec("SELECT purge_notifications()")
}

func TestHistoryOfSomebodyElseIsNotTakenOver(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	d.Exec("CREATE TABLE notification_cleanup_runs (id bigint, started_at timestamptz)")
	_, stderr, status := d.Program(nil, "migrate", "up")
	if status != 1 || !strings.Contains(stderr, "table notification_cleanup_runs") {
		t.Errorf("exit status %d, stderr %s", status, stderr)
	}
}

func TestTheSameNamesInOtherSchemasAreInNobodysWay(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	d.Exec("CREATE SCHEMA app")
	d.Exec("CREATE TABLE app.notification_cleanup_runs (id bigint)")
	d.Exec(fmt.Sprintf(routineKinds["function"], "app.cleanup_notifications"))
	d.Migrate()
	d.MigrateDown()
	d.Exec("SELECT app.cleanup_notifications()")
}

func TestAnUpgradeThatFindsANameTakenChangesNothing(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]struct{ create, drop string }{
		"other arguments": {
			fmt.Sprintf(routineKinds["function"], "purge_notifications"),
			"purge_notifications(integer)",
		},
		"the same arguments": {
			"DROP FUNCTION warn_without_index();" +
				" CREATE FUNCTION warn_without_index() RETURNS void LANGUAGE sql AS 'SELECT'",
			"warn_without_index()",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec("DELETE FROM notification_cleanup_schema_version WHERE version_id = 4")
			d.Exec(taken.create)
			before := pgtest.One[string](d, pgtest.Definitions)
			_, stderr, status := d.Program(nil, "migrate", "up")
			if status != 1 || !strings.Contains(stderr, taken.drop) {
				t.Errorf("exit status %d, stderr %s", status, stderr)
			}
			if pgtest.One[string](d, pgtest.Definitions) != before {
				t.Error("routines have changed")
			}
			d.Exec("DROP FUNCTION " + taken.drop)
			d.Migrate()
		})
	}
}
