package main

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestTheDoctorOfTheProgramFailsWhereSomethingIsWrong(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	rows := func() string {
		return strings.Join(pgtest.All[string](d, `
			SELECT row_to_json(f)::text FROM notification_cleanup_doctor() AS f`), "\n") + "\n" +
			`{"name":"version","severity":"ok","found":"that of this program","advice":null}` + "\n"
	}
	stdout, stderr, status := command(t, d, nil, "doctor")
	if status != 0 || stdout != rows() || stderr != "" {
		t.Errorf("exit status %d, stdout %s, stderr %s, want %s", status, stdout, stderr, rows())
	}
	checks := strings.Count(rows(), "\n")
	if text := asText(t, d, "doctor"); strings.Count(text, "\n") != checks+1 ||
		!strings.Contains(text, "\nok    server                 a primary\n") {
		t.Errorf("text is\n%s", text)
	}
	d.Exec("DROP INDEX notifications_live_idx")
	stdout, stderr, status = command(t, d, nil, "doctor")
	if status != 0 || stdout != rows() || stderr != "" {
		t.Errorf("with a warning exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	d.Exec("ALTER TABLE notifications DROP CONSTRAINT notifications_pkey")
	stdout, stderr, status = command(t, d, nil, "doctor")
	if status != 1 || stdout != rows() ||
		stderr != "notification-cleanup: something is wrong, in 1 of the checks" {
		t.Errorf("exit status %d, stdout %s, stderr %s, want %s", status, stdout, stderr, rows())
	}
	stdout, _, status = command(t, d, map[string]string{"FORMAT": "text"}, "doctor")
	const says = "\nfailure  table                  id has no unique index\n" +
		"                                -> Undo that, or adopt it"
	const warns = "\nwarning  indexes                notifications has no valid one for live" +
		" notifications\n                                -> CREATE INDEX CONCURRENTLY" +
		" notifications_live_idx "
	if status != 1 || strings.Count(stdout, "\n") != checks+3 || !strings.Contains(stdout, says) ||
		!strings.Contains(stdout, warns) {
		t.Errorf("exit status %d, text is\n%s", status, stdout)
	}
}

func TestBeforeAnInstallationTheDoctorSaysWhatItWouldDo(t *testing.T) {
	t.Parallel()
	const table = `
		CREATE TABLE notifications (id bigint PRIMARY KEY, user_id bigint, status text,
			created_at timestamptz`
	for name, test := range map[string]struct {
		before string
		status int
		says   []string
	}{
		"nothing": {"SELECT", 0, []string{"migrate up creates notifications"}},
		"a table": {
			table + ")",
			0,
			[]string{"migrate up adopts notifications, and adds deleted_at"},
		},
		"one that fits": {
			table + ", deleted_at timestamptz)",
			0,
			[]string{"migrate up adopts notifications as it is"},
		},
		"one that doesn't": {
			table + ", deleted_at date)",
			1,
			[]string{
				"migrate up refuses",
				"deleted_at must be a nullable timestamp",
				"Nothing was changed.",
				"CREATE VIEW",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Empty(t)
			d.Exec(test.before)
			const state = `
				SELECT coalesce(string_agg(c.oid || ' ' || c.relname || ' ' || c.relnatts, ' ' ORDER BY c.oid),
					'')
				FROM pg_class AS c
				WHERE c.relnamespace = 'public'::regnamespace`
			before := pgtest.One[string](d, state)
			stdout, stderr, status := command(t, d, nil, "doctor")
			for _, says := range test.says {
				if !strings.Contains(stdout, says) {
					t.Errorf("stdout does not say %q: %s", says, stdout)
				}
			}
			if status != test.status || !strings.Contains(stdout, `{"name":"rights","severity":"ok",`) ||
				pgtest.One[string](d, state) != before ||
				pgtest.One[string](d, pgtest.OurObjects) != "" {
				t.Errorf(
					"exit status %d, stdout %s, stderr %s, and %s became %s",
					status,
					stdout,
					stderr,
					before,
					pgtest.One[string](d, state),
				)
			}
			if _, _, migrated := command(t, d, nil, "migrate", "up"); migrated != test.status {
				t.Errorf("migrate up has exit status %d", migrated)
			}
		})
	}
}

func TestBeforeAnInstallationTheDoctorNamesTheMissingRights(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	d.Exec(`
		CREATE TABLE notifications (id bigint PRIMARY KEY, user_id bigint, status text,
			created_at timestamptz)`)
	role := d.Role("USAGE ON SCHEMA public")
	d.Exec(
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET role = " + role +
			"', current_database()); END $$",
	)
	for grant, want := range map[string]bool{
		"": false, "GRANT CREATE ON SCHEMA public TO " +
			role: false, "ALTER TABLE notifications OWNER TO " + role: false,
		"GRANT CREATE ON SCHEMA public TO " + role + "; ALTER TABLE notifications OWNER TO " + role: true,
	} {
		d.Exec(grant)
		stdout, stderr, status := command(t, d, nil, "doctor")
		if strings.Contains(stdout, `{"name":"rights","severity":"ok"`) != want || (status == 0) != want {
			t.Errorf("after %q exit status %d, stdout %s, stderr %s", grant, status, stdout, stderr)
		}
		d.Exec(
			"ALTER TABLE notifications OWNER TO CURRENT_USER; REVOKE CREATE ON SCHEMA public FROM " + role,
		)
	}
	d.Exec("DROP OWNED BY " + role)
}
