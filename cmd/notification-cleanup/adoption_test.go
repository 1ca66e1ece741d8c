package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shape is a table that some application has, and how the README's chapter on installing it is followed there.
type shape struct {
	readme    string // first words of the README's view of it; none: the table is adopted directly
	create    string // the application's table, ...
	table     string
	insert    string // ... and how one notification of made gets into it; none of another owner_type where it knows only users
	went      string // numbers of the notifications that go
	schema    string
	createdAt string // the type that created_at has for the cleanup
}

var shapes = map[string]shape{
	"the table this was made for": {
		create: `CREATE TABLE users (id uuid PRIMARY KEY);
			CREATE TABLE notifications (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
				type varchar(50) NOT NULL, title text NOT NULL, message text, data jsonb DEFAULT '{}', status varchar(20) DEFAULT 'unread', read_at timestamptz,
				delivered_via_ws boolean DEFAULT false, delivered_via_email boolean DEFAULT false, aggregation_id uuid,
				created_at timestamptz DEFAULT now(), deleted_at timestamptz);
			CREATE INDEX ON notifications (user_id);
			CREATE INDEX ON notifications (user_id, status, created_at DESC);
			CREATE INDEX ON notifications (type);
			CREATE INDEX ON notifications (created_at DESC);
			CREATE INDEX ON notifications (aggregation_id) WHERE aggregation_id IS NOT NULL;
			INSERT INTO users SELECT lpad(i::text, 32, '0')::uuid FROM generate_series(1, 3000) AS i`,
		table: "public.notifications",
		insert: `(id, user_id, type, title, message, status, read_at, created_at)
			SELECT lpad(i::text, 32, '0')::uuid, lpad(owner::text, 32, '0')::uuid, kind, 'Title', text, CASE WHEN read THEN 'read' ELSE 'unread' END,
				CASE WHEN read THEN at + interval '1 day' END, at FROM made WHERE owner_type = 'User'`,
		went:      "51-1000",
		schema:    "public",
		createdAt: "timestamp with time zone",
	},
	"Laravel": {
		readme: "Laravel",
		create: `CREATE TABLE notifications (id uuid PRIMARY KEY, type varchar(255) NOT NULL, notifiable_type varchar(255) NOT NULL, notifiable_id bigint NOT NULL,
				data text NOT NULL, read_at timestamp(0), created_at timestamp(0), updated_at timestamp(0));
			CREATE INDEX ON notifications (notifiable_type, notifiable_id)`,
		table: "public.notifications",
		insert: `SELECT lpad(i::text, 32, '0')::uuid, 'App\Notifications\' || kind, 'App\Models\' || owner_type, owner, to_json(text),
				CASE WHEN read THEN at + interval '1 day' END, at, at FROM made WHERE true`,
		went:      "51-1000",
		schema:    "cleanup",
		createdAt: "timestamp(0) without time zone",
	},
	"Rails": {
		readme: "Rails",
		create: `CREATE TABLE noticed_notifications (id bigserial PRIMARY KEY, type varchar, event_id bigint NOT NULL, recipient_type varchar NOT NULL, recipient_id bigint NOT NULL,
				read_at timestamp(6), seen_at timestamp(6), created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL);
			CREATE INDEX ON noticed_notifications (event_id);
			CREATE INDEX ON noticed_notifications (recipient_type, recipient_id)`,
		table: "public.noticed_notifications",
		insert: `(id, type, event_id, recipient_type, recipient_id, read_at, created_at, updated_at)
			SELECT i, kind || repeat('Notification', 20), i, owner_type, owner, CASE WHEN read THEN at + interval '1 day' END, at, at FROM made WHERE true`,
		went:      "51-1000",
		schema:    "cleanup",
		createdAt: "timestamp with time zone",
	},
	"a boolean": {
		readme: "A boolean",
		create: `CREATE TABLE alerts (id serial PRIMARY KEY, account_id integer NOT NULL, kind text NOT NULL, body text, read boolean, created_at timestamptz NOT NULL DEFAULT now());
			CREATE INDEX ON alerts (account_id, created_at)`,
		table: "public.alerts",
		insert: `(id, account_id, kind, body, read, created_at)
			SELECT i, owner, kind, text, CASE WHEN read THEN true WHEN i % 2 = 0 THEN false END, at FROM made WHERE owner_type = 'User'`,
		went:      "51-100 161-1000",
		schema:    "cleanup",
		createdAt: "timestamp with time zone",
	},
}

// made are notifications of three users: one is over the limit with his oldest ones unread and some invoices among the old ones, one is at
// the limit, and one is over it with nothing but unread ones. There are teams with the numbers of two of them, and eight share a created_at.
const made = `CREATE TABLE made AS
	SELECT i, owner, owner_type, kind, read, timestamptz '2025-01-01 00:00Z' + i / 8 * interval '1 minute' AS at, repeat('x', 200) AS text
	FROM (VALUES (1, 'User', 1, 50, 'comment', false), (1, 'User', 51, 100, 'comment', true), (1, 'User', 101, 150, 'invoice', true),
		(1, 'User', 151, 160, 'security', true), (1, 'User', 161, 1100, 'comment', true), (2, 'User', 2001, 3000, 'comment', true),
		(3, 'User', 3001, 4001, 'comment', false), (1, 'Team', 5001, 6500, 'comment', true), (2, 'Team', 6501, 6700, 'comment', true)
	) AS inbox (owner, owner_type, first, last, kind, read), generate_series(first, last) AS i`

// blocks returns the code blocks of the README's chapter on adoption in this language.
func blocks(t *testing.T, language string) (blocks []string) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(string(readme), "\n## Install on an existing database\n")
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	for _, block := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(chapter, -1) {
		blocks = append(blocks, block[1])
	}
	return blocks
}

// script is what a reader of the README does with this shape, in a shell. It has an sh block for all, of which the first lines tell where
// program and database are, an sql block of views that begins with what they have in common, and an sh block for whoever has made one.
func (s shape) script(t *testing.T, d *database) string {
	t.Helper()
	sh, sql := blocks(t, "sh"), blocks(t, "sql")
	if len(sh) != 2 || len(sql) != 3 || !strings.Contains(sh[0], "postgres://owner@db.example/app") {
		t.Fatalf("the chapter has %d blocks of sh and %d of sql, and no %s", len(sh), len(sql), "postgres://owner@db.example/app")
	}
	for i, block := range sh {
		sh[i] = strings.ReplaceAll(block, "postgres://owner@db.example/app", "'"+d.url()+"'")
	}
	psql := func(statements string) string {
		return "psql -X -v ON_ERROR_STOP=1 \"$DATABASE_URL\" <<'SQL'\n" + statements + "\nSQL\n"
	}
	if s.readme == "" {
		return sh[0] + psql(sql[1])
	}
	prepare, _, _ := strings.Cut(sh[0], "notification-cleanup migrate up")
	views := strings.Split(sql[0], "\n-- ")
	view := slices.IndexFunc(views, func(view string) bool { return strings.HasPrefix(view, s.readme) })
	if view < 1 {
		t.Fatalf("no view for %q in\n%s", s.readme, sql[0])
	}
	return prepare + psql(views[0]+"\n-- "+views[view]) + sh[1]
}

// adopted makes a database with the shape's table, runs a statement there, and follows the README. What it returns has the search_path.
func (s shape) adopted(t *testing.T, statement string) *database {
	t.Helper()
	d := emptyDatabase(t)
	d.exec(s.create + ";" + made + "; INSERT INTO " + s.table + " " + s.insert)
	d.exec(statement)
	shell := exec.Command("sh", "-ec", s.script(t, d))
	shell.Dir = "../.."
	d.note("/* in a shell:\n" + shell.Args[2] + "*/")
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d.exec(setSearchPath(s.schema + ", public"))
	return d.openSession()
}

func eachShape(t *testing.T, test func(t *testing.T, s shape)) {
	t.Parallel()
	for name, s := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

func TestTheReadmeInstallsOnAnApplicationsTable(t *testing.T) {
	eachShape(t, func(t *testing.T, s shape) {
		d := s.adopted(t, "SELECT")
		// The application's columns, and which of its rows have gone, asked of its own table.
		columns := "SELECT count(*) || ' ' || md5(string_agg((to_jsonb(n) - 'deleted_at')::text, ' ' ORDER BY id)) FROM " + s.table + " AS n"
		gone := func() string {
			return ranges(all[int](d, "SELECT "+notificationNumber+" FROM "+s.table+" WHERE deleted_at IS NOT NULL ORDER BY 1"))
		}
		before := one[string](d, columns)
		deletable := len(all[int](d, "SELECT i FROM made WHERE owner = 1 AND owner_type = 'User' AND read AND i <= 1000"))
		if s.went != "51-1000" {
			deletable -= 60
		}
		want := counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: int64(deletable)}

		role := d.role()
		for _, grant := range regexp.MustCompile(`(?m)^GRANT .*;$`).FindAllString(blocks(t, "sql")[2], -1) {
			d.exec(strings.NewReplacer("TO cleaner", "TO "+role, "SCHEMA public", "SCHEMA "+s.schema).Replace(grant))
		}
		d.exec("SET ROLE " + role)
		d.wantPreview("", previewRow{alice, 1100, 50, int64(deletable)}, previewRow{carol, 1001, 1001, 0})
		d.wantStats("", "3101 3 2")
		d.wantCleanup("", s.went, want)
		d.exec("RESET ROLE")
		if gone() != s.went {
			t.Errorf("the function deleted %s, want %s", gone(), s.went)
		}
		d.exec("SELECT restore_notifications(1)")
		run, err := d.openSession().startCalls("CALL cleanup_notifications_in_batches(batch_size => 1)", "SELECT * FROM notification_cleanup_runs WHERE id = 2").wait()
		if err != nil {
			t.Fatal(err)
		}
		d.wantDeletedBy(run, s.went, want)
		program := func(arguments ...string) {
			if _, stderr, status := command(t, d, map[string]string{"SCHEMA": s.schema}, arguments...); status != 0 {
				t.Fatalf("%v: exit status %d: %s", arguments, status, stderr)
			}
		}
		program("restore", "2")
		if gone() != "" {
			t.Errorf("after undo %s are deleted", gone())
		}
		program("run", "-workers", "2", "-batch-size", "100")
		d.wantDeletedBy(d.record(runRecord{ID: 3}), s.went, want)
		if after := one[string](d, columns); after != before || gone() != s.went {
			t.Errorf("the application's columns were %s, are %s; %s are deleted, want %s", before, after, gone(), s.went)
		}

		if n := one[int](d, "SELECT purge_notifications('1 microsecond', 100)"); n != 100 {
			t.Errorf("purged %d, want 100", n)
		}
		program("purge", "-retention", "1us")
		const purged = "SELECT m.i FROM made AS m WHERE (owner_type = 'User' OR %t) AND NOT EXISTS (SELECT FROM %s WHERE " + notificationNumber + " = m.i) ORDER BY 1"
		if got := ranges(all[int](d, fmt.Sprintf(purged, strings.Contains(s.create, "_type "), s.table))); got != s.went {
			t.Errorf("purged are %s, want %s", got, s.went)
		}
	})
}

func TestTheIndexesOfTheReadmeServe(t *testing.T) {
	eachShape(t, func(t *testing.T, s shape) {
		d := s.adopted(t, `ALTER TABLE `+s.table+` SET (autovacuum_enabled = off);
			INSERT INTO made SELECT 10000 + i, 4 + i % 2000, 'User', 'comment', true, '2025-01-01 00:00Z', repeat('x', 200) FROM generate_series(1, 20000) AS i;
			INSERT INTO `+s.table+` `+s.insert+` AND i > 10000`)
		d.vacuum(s.table)
		for _, step := range []struct {
			before, call string
			atMost       int
		}{
			// Finding and counting read the index alone, ranking reads the inboxes over the limit, a batch its pages, the others what they change.
			{"", "SELECT count(*) FROM preview_notification_cleanup(100000)", 0},
			{"", "SELECT * FROM notification_stats()", 0},
			{"", "SELECT * FROM plan_notification_cleanup(batch_size => 100)", 2101},
			{"", "SELECT cleanup_next_batch(1)", 500},
			{"", "SELECT restore_notifications(1)", 500},
			{"SELECT cleanup_notifications()", "SELECT purge_notifications('1 microsecond', 10)", 50},
		} {
			session := d.openSession()
			d.exec(step.before)
			session.exec("BEGIN; " + step.call)
			read := fmt.Sprintf("SELECT coalesce(idx_tup_fetch, 0) + seq_tup_read FROM pg_stat_xact_user_tables WHERE relid = '%s'::regclass", s.table)
			if n := one[int](session, read); n > step.atMost {
				t.Errorf("%s reads %d rows, want %d at most", step.call, n, step.atMost)
			}
			session.exec("COMMIT")
		}
	})
}

func TestCreatedAtWithoutTimeZoneIsReadInTheZoneOfTheSession(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ shape, zone, went string }{
		{"Laravel", "UTC", "51-87"},
		{"Laravel", "Asia/Kolkata", "51-1100"},
		{"Laravel", "America/New_York", ""},
		{"Rails", "UTC", "51-87"},
		{"Rails", "America/New_York", "51-87"},
	} {
		t.Run(test.shape+" "+test.zone, func(t *testing.T) {
			t.Parallel()
			s := shapes[test.shape]
			d := s.adopted(t, "SELECT")
			const createdAt = "SELECT format_type(typbasetype, typtypmod) FROM pg_type WHERE oid = 'notification_created_at'::regtype"
			if got := one[string](d, createdAt); got != s.createdAt {
				t.Errorf("notification_created_at is %s, want %s", got, s.createdAt)
			}
			d.exec("ALTER TABLE notification_cleanup_runs ALTER started_at SET DEFAULT '2025-01-01 00:10Z'; SET timezone = '" + test.zone + "'")
			d.cleanup("min_keep => 0, user_ids => '{1}'")
			if got := d.numbers("deleted_at IS NOT NULL"); got != test.went {
				t.Errorf("deleted are %s, want %s", got, test.went)
			}
		})
	}
}

func TestAUserMayGoInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	const goes = "DELETE FROM users WHERE id = '00000000000000000000000000000001'"
	for name, meanwhile := range map[string]func(d, application *database) (skipped int){
		"between two batches": func(d, application *database) int {
			application.exec(goes)
			d.drain(runRecord{ID: 1})
			return 0
		},
		"and be on his way": func(d, application *database) int {
			application.exec("BEGIN; " + goes)
			d.drain(runRecord{ID: 1}) // waits for nobody
			application.exec("COMMIT")
			return 850
		},
		"and wait for a batch": func(d, application *database) int {
			d.exec("BEGIN")
			if n := d.nextBatch(); n < 1 {
				d.t.Errorf("the batch deleted %d", n)
			}
			gone := application.startCalls(goes, "SELECT * FROM notification_cleanup_runs WHERE id = 1")
			eventually(d.t.(*testing.T), d, blocked)
			d.exec("COMMIT")
			if _, err := gone.wait(); err != nil {
				d.t.Error(err)
			}
			d.drain(runRecord{ID: 1})
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shapes["the table this was made for"]
			d := s.adopted(t, "SELECT")
			d.plan("batch_size => 100")
			first := d.nextBatch()
			skipped := meanwhile(d, d.openSession())
			d.wantEnded("the run")
			if run := d.record(runRecord{ID: 1}); first < 1 || run.Skipped != int64(skipped) || run.Deleted < int64(first) || run.Cleaned != 1 {
				t.Errorf("after a first batch of %d the record is %+v, want %d skipped", first, run, skipped)
			}
			if got := d.numbers("true"); got != "2001-4001" {
				t.Errorf("%s are left, want those of the others", got)
			}
		})
	}
}
