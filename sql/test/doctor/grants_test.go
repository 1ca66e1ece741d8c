package doctor

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestTheDoctorNamesEverybodyElseWhoMayUseWhatIsOurs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		grant, severity string
		says            []string
	}{
		"nobody": {
			"SELECT",
			"ok",
			[]string{"nothing is wrong"},
		},
		"a reader": {
			"GRANT SELECT ON notification_cleanup_runs TO $1",
			"note",
			[]string{"$1 may read public.notification_cleanup_runs"},
		},
		"a reader of a column": {
			"GRANT SELECT (id) ON notification_cleanup_runs TO $1",
			"note",
			[]string{"$1 may read public.notification_cleanup_runs"},
		},
		"a writer of the queue": {
			"GRANT INSERT ON notification_cleanup_batches TO $1",
			"note",
			[]string{"$1 may write public.notification_cleanup_batches"},
		},
		"who calls a routine": {
			"GRANT EXECUTE ON FUNCTION notification_stats TO $1",
			"note",
			[]string{"$1 may execute public.notification_stats(integer)"},
		},
		"everybody": {
			"GRANT EXECUTE ON FUNCTION notification_stats TO PUBLIC",
			"warning",
			[]string{
				"PUBLIC may execute public.notification_stats(integer)",
				"REVOKE ALL ON ROUTINE public.notification_stats(integer) FROM PUBLIC;",
			},
		},
		"who was granted all": {
			"GRANT ALL ON notification_cleanup_runs TO $1",
			"warning",
			[]string{
				"$1 may read public.notification_cleanup_runs, write public.notification_cleanup_runs",
				"REVOKE ALL ON TABLE public.notification_cleanup_runs FROM $1;",
			},
		},
		"who may set numbers of runs": {
			"GRANT USAGE ON SEQUENCE notification_cleanup_runs_id_seq TO $1",
			"warning",
			[]string{"$1 may write public.notification_cleanup_runs_id_seq"},
		},
		"who may write down versions": {
			"GRANT INSERT ON notification_cleanup_schema_version TO $1",
			"warning",
			[]string{"REVOKE ALL ON TABLE public.notification_cleanup_schema_version FROM $1;"},
		},
		"a table of the application": {
			"GRANT ALL ON notifications TO PUBLIC; CREATE TABLE theirs (); GRANT ALL ON theirs TO PUBLIC",
			"ok",
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			role := d.Role()
			d.Exec(strings.ReplaceAll(test.grant, "$1", role))
			c := find(d, "grants")
			for _, says := range test.says {
				says = strings.ReplaceAll(says, "$1", role)
				if !strings.Contains(c.Found+" "+c.Advice, says) {
					t.Errorf("nothing is said of %q: %+v", says, c)
				}
			}
			if c.Severity != test.severity {
				t.Errorf("want severity %s: %+v", test.severity, c)
			}
			if test.severity == "warning" {
				d.Exec(c.Advice)
				if c := find(d, "grants"); c.Severity != "ok" {
					t.Errorf("with what it said it says %+v", c)
				}
			}
		})
	}
}

func TestTheDoctorFindsWhoMayCreateInAPinnedSchema(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		grant string
		names string // who is named; empty: nobody
	}{
		"everybody":        {"GRANT CREATE ON SCHEMA public TO PUBLIC", "PUBLIC"},
		"a role":           {"GRANT CREATE ON SCHEMA public TO $1", "$1"},
		"who may look":     {"GRANT USAGE ON SCHEMA public TO PUBLIC", ""},
		"a superuser":      {"ALTER ROLE $1 SUPERUSER; GRANT CREATE ON SCHEMA public TO $1", ""},
		"the schema's own": {"ALTER SCHEMA public OWNER TO $1", ""},
		"who has installed": {
			"ALTER TABLE notification_cleanup_runs OWNER TO $1; GRANT CREATE ON SCHEMA public TO $1",
			"",
		},
		"another schema": {"CREATE SCHEMA elsewhere; GRANT CREATE ON SCHEMA elsewhere TO $1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			role := d.Role()
			d.Exec(strings.ReplaceAll(test.grant, "$1", role))
			c := find(d, "schemas")
			if test.names == "" {
				if c.Severity != "ok" {
					t.Errorf("it says %+v", c)
				}
				return
			}
			creator := strings.ReplaceAll(test.names, "$1", role)
			revoke, _, _ := strings.Cut(c.Advice, " Or ")
			if c.Severity != "failure" || !strings.Contains(c.Found, creator+" may create") {
				t.Errorf("it says %+v", c)
			}
			d.Exec(revoke)
			if c := find(d, "schemas"); c.Severity != "ok" {
				t.Errorf("with what it said it says %+v", c)
			}
		})
	}
}

// The path of the routines contains the schemas of the columns' types.
func TestTheDoctorFindsWhoMayCreateInTheSchemaOfATypeAndSoDoesTheMigration(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	d.Exec(`
		CREATE SCHEMA types;
		GRANT CREATE ON SCHEMA types TO PUBLIC;
		CREATE EXTENSION citext SCHEMA types;
		CREATE TABLE notifications (id bigint PRIMARY KEY, user_id types.citext, status text,
			created_at timestamptz)`)
	_, stderr, status := d.Program(nil, "migrate", "up")
	const warns = "PUBLIC may create functions and operators in schema types"
	const hints = "REVOKE CREATE ON SCHEMA types FROM PUBLIC"
	if status != 0 || !strings.Contains(stderr, warns) || !strings.Contains(stderr, hints) {
		t.Errorf("exit status %d, stderr %s", status, stderr)
	}
	if c := find(d, "schemas"); c.Severity != "failure" || !strings.Contains(c.Found, warns) {
		t.Errorf("it says %+v", c)
	}
}
