package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestMigrateUpTwiceDownTwiceAndUp(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	first, _ := migrateTo(t, d, "up")
	installed := pgtest.One[string](d, pgtest.OurObjects)
	second, _ := migrateTo(t, d, "up")
	if first != second || strings.Contains(second, "pending") {
		t.Errorf("up says %s, and again %s", first, second)
	}
	migrateTo(t, d, "down")
	stdout, _ := migrateTo(t, d, "down")
	if strings.Contains(stdout, "applied\"") || pgtest.One[string](d, pgtest.OurObjects) != "" {
		t.Errorf("after down there is %s; status %s", pgtest.One[string](d, pgtest.OurObjects), stdout)
	}
	migrateTo(t, d, "up")
	if got := pgtest.One[string](d, pgtest.OurObjects); got != installed {
		t.Errorf("after down and up there is %s, want %s", got, installed)
	}
}

func TestMigrateUpRehearsesARun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ also, says string }{
		"what works": {
			"SELECT",
			`"msg":"rehearsed","step":"soft-delete","outcome":"works"`,
		},
		"what will fail": {
			"ALTER TABLE notifications ADD deleted_at timestamptz CHECK (deleted_at IS NULL)",
			`"level":"WARN","msg":"rehearsed","step":"soft-delete","outcome":"fails"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Empty(t)
			d.Exec(pgtest.ApplicationTable)
			d.Exec(test.also)
			env := map[string]string{"LOG_FORMAT": "json"}
			_, stderr, status := command(t, d, env, "migrate", "up")
			if status != 0 || !strings.Contains(stderr, test.says) {
				t.Errorf("exit status %d, stderr %s, want %s", status, stderr, test.says)
			}
		})
	}
}

func TestWhatDoesNotFitIsOneErrorAndNothingChanges(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		create string
		says   []string
	}{
		"columns": {`CREATE TABLE notifications (user_id integer, deleted_at timestamp)`,
			[]string{
				"column id is missing",
				"column status is missing",
				"column created_at is missing",
				"deleted_at must be",
			}},
		"types": {`
			CREATE TABLE notifications (id integer, user_id integer, status boolean, created_at date,
				deleted_at timestamptz NOT NULL)`,
			[]string{"id must be", "status must be", "created_at must be", "deleted_at must be"}},
		"precision": {`
			CREATE TABLE notifications (id integer PRIMARY KEY, user_id integer, status text,
				created_at timestamptz, deleted_at timestamptz(3))`,
			[]string{"deleted_at must be a nullable timestamp with time zone of full precision"}},
		"precision of a domain": {`
			CREATE SCHEMA app;
			CREATE DOMAIN app.moment AS timestamptz(3) NOT NULL;
			CREATE DOMAIN app.removal AS app.moment;
			CREATE TABLE notifications (id integer PRIMARY KEY, user_id integer, status text,
				created_at timestamptz, deleted_at app.removal)`,
			[]string{"deleted_at must be a nullable timestamp with time zone of full precision"}},
		"default": {`
			CREATE TABLE notifications (id integer PRIMARY KEY, user_id integer, status text,
				created_at timestamptz, deleted_at timestamptz DEFAULT 'infinity')`,
			[]string{"deleted_at must be NULL until it is set", "infinity"}},
		"default of a domain": {`
			CREATE SCHEMA app;
			CREATE DOMAIN app.removal AS timestamptz DEFAULT '-infinity';
			CREATE TABLE notifications (id integer PRIMARY KEY, user_id integer, status text,
				created_at timestamptz, deleted_at app.removal)`,
			[]string{"deleted_at must be NULL until it is set", "infinity"}},
		"generated": {`
			CREATE TABLE notifications (id integer PRIMARY KEY, user_id integer, status text,
				created_at timestamptz, removed_at timestamptz,
				deleted_at timestamptz GENERATED ALWAYS AS (removed_at) STORED)`,
			[]string{"deleted_at must be NULL until it is set", "removed_at"}},
		"json": {`
			CREATE TABLE notifications (id integer PRIMARY KEY, user_id json, status text,
				created_at timestamptz)`,
			[]string{"user_id must be of a base type that an index can sort, not json"}},
		"point": {`
			CREATE SCHEMA app;
			CREATE DOMAIN app.place AS point;
			CREATE TABLE notifications (id integer PRIMARY KEY, user_id app.place, status text,
				created_at timestamptz)`,
			[]string{"user_id must be of a base type that an index can sort, not app.place"}},
		"array": {`
			CREATE TABLE notifications (id text[] PRIMARY KEY, user_id integer[], status text,
				created_at timestamptz)`,
			[]string{
				"id must be of a base type that an index can sort, not text[]",
				"user_id must be of a base type that an index can sort, not integer[]",
			}},
		"enum of users": {`
			CREATE TYPE team AS ENUM ('red', 'blue');
			CREATE TABLE notifications (id integer PRIMARY KEY, user_id team, status text,
				created_at timestamptz)`,
			[]string{"user_id must be of a base type that an index can sort, not team"}},
		"row": {`
			CREATE TYPE person AS (first text, last text);
			CREATE TABLE notifications (id integer PRIMARY KEY, user_id person, status text,
				created_at timestamptz)`,
			[]string{"user_id must be of a base type that an index can sort, not person"}},
		"nullable id": {`
			CREATE TABLE notifications (id integer UNIQUE, user_id integer, status text,
				created_at timestamptz)`,
			[]string{"id must be NOT NULL"}},
		"citext": {`
			CREATE SCHEMA other;
			CREATE EXTENSION citext SCHEMA other;
			CREATE TABLE notifications (id integer PRIMARY KEY, user_id integer, status other.citext,
				created_at timestamptz)`,
			[]string{"status must be case-sensitive"}},
		"collation": {`
			CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
			CREATE TABLE notifications (id integer PRIMARY KEY, user_id integer,
				status text COLLATE any_case, created_at timestamptz)`,
			[]string{"status must be case-sensitive"}},
		"enum": {`
			CREATE TYPE state AS ENUM ('new', 'read');
			CREATE TABLE notifications (id integer PRIMARY KEY, user_id integer, status state,
				created_at timestamptz)`,
			[]string{"status must be"}},
		"kind": {`
			CREATE MATERIALIZED VIEW notifications AS SELECT 1 AS id, 1 AS user_id, 'read'::text AS status,
				now() AS created_at, now() AS deleted_at`,
			[]string{"must be a table"}},
		"view": {`
			CREATE VIEW notifications AS SELECT 1 AS id, 1 AS user_id, 'read'::text AS status,
				now() AS created_at`,
			[]string{
				"the view does not show ctid, tableoid, deleted_at of the table behind it",
				"CREATE OR REPLACE VIEW public.notifications AS SELECT ..., ctid, tableoid FROM",
				"now it is SELECT 1 AS id",
			}},
		"view that lacks one": {`
			CREATE TABLE inbox (id integer, user_id integer, status text, created_at timestamptz,
				deleted_at timestamptz);
			CREATE VIEW notifications AS SELECT *, ctid FROM inbox`,
			[]string{"the view does not show tableoid of the table behind it"}},
		"view of what is live": {`
			CREATE TABLE inbox (id integer PRIMARY KEY, user_id integer, status text,
				created_at timestamptz, removed_at timestamptz);
			CREATE VIEW notifications AS SELECT ctid, tableoid, id, user_id, status, created_at,
				removed_at AS deleted_at
			FROM inbox
			WHERE user_id > 0 AND removed_at IS NULL`,
			[]string{
				"the view hides what is soft-deleted, so that nothing could be restored or purged",
				"Leave out the condition on deleted_at",
				"removed_at IS NULL",
			}},
		"view of what is live in partitions": {`
			CREATE TABLE inbox (id integer, user_id integer, status text,
				created_at timestamptz, deleted_at timestamptz) PARTITION BY HASH (id);
			CREATE TABLE inbox_0 PARTITION OF inbox FOR VALUES WITH (MODULUS 1, REMAINDER 0);
			CREATE VIEW live AS SELECT ctid, tableoid, * FROM inbox WHERE deleted_at IS NULL;
			CREATE VIEW notifications AS SELECT * FROM live`,
			[]string{"the view hides what is soft-deleted"}},
		"view of something else": {`
			CREATE VIEW notifications AS SELECT 1 AS ctid, 1 AS tableoid, 1 AS id, 1 AS user_id,
				'read'::text AS status, now() AS created_at, now() AS deleted_at`,
			[]string{
				"ctid must be that of the table behind, not integer",
				"tableoid must be that of the table behind, not integer",
			}},
		"view of two tables": {`
			CREATE TABLE people (id integer PRIMARY KEY);
			CREATE TABLE inbox (id integer PRIMARY KEY, user_id integer, status text,
				created_at timestamptz, deleted_at timestamptz);
			CREATE VIEW notifications AS SELECT inbox.ctid, inbox.tableoid, inbox.*,
				people.id AS person
			FROM inbox
			JOIN people ON people.id = user_id`,
			[]string{"deleted_at of the view cannot be updated: it must be a column of a single table"}},
		"view that computes deleted_at": {`
			CREATE TABLE inbox (id integer PRIMARY KEY, user_id integer, status text,
				created_at timestamptz, removed_at timestamp);
			CREATE VIEW notifications AS SELECT ctid, tableoid, id, user_id, status, created_at,
				removed_at::timestamptz AS deleted_at
			FROM inbox`,
			[]string{"deleted_at of the view cannot be updated"}},
		"security barrier": {`
			CREATE TABLE inbox (id integer PRIMARY KEY, user_id integer, status text,
				created_at timestamptz, deleted_at timestamptz);
			CREATE VIEW notifications WITH (security_barrier) AS SELECT ctid, tableoid, * FROM inbox`,
			[]string{"the view must not be a security_barrier"}},
		"other schema": {`CREATE SCHEMA postgres; CREATE TABLE public.notifications (id integer)`,
			[]string{"not in schema postgres", "SCHEMA"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Empty(t)
			d.Exec(test.create)
			columns := `
				SELECT string_agg(attname || ' ' || atttypid::regtype, ', ' ORDER BY attnum)
				FROM pg_attribute
				WHERE attrelid = 'notifications'::regclass AND attnum > 0`
			before := pgtest.One[string](d, columns)
			_, stderr, status := command(t, d, nil, "migrate", "up")
			_, refusal, _ := strings.Cut(stderr, "\n") // behind the step that begins
			for _, says := range test.says {
				if status != 1 || !strings.Contains(refusal, says) || strings.Contains(refusal, "\n") {
					t.Errorf("exit status %d, stderr %q, want 1 and %q on one line", status, stderr, says)
				}
			}
			left := pgtest.One[string](d, pgtest.OurObjects) + pgtest.One[string](d, `
				SELECT coalesce(string_agg(oid::regclass::text, ' '), '')
				FROM pg_class
				WHERE relname ~ 'notification_cleanup'`)
			if after := pgtest.One[string](d, columns); after != before || left != "" {
				t.Errorf(
					"columns were %s, are %s; there is %s",
					before,
					after,
					left,
				)
			}
		})
	}
}

func TestTenMigratorsAtOnce(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	d.Exec(pgtest.ApplicationTable)
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if _, stderr, status := command(t, d, nil, "migrate", "up"); status != 0 {
				t.Errorf("exit status %d: %s", status, stderr)
			}
		})
	}
	group.Wait()
	if n := pgtest.One[int](d, `
		SELECT count(*) - count(DISTINCT version_id) FROM notification_cleanup_schema_version`); n != 0 {
		t.Errorf("%d migrations were applied twice", n)
	}
}

func TestAMigrationGivesUpRatherThanQueueTheApplicationAndNamesWhoIsInTheWay(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	d.Exec(pgtest.ApplicationTable)
	d.Exec(`BEGIN`)
	d.Exec(`SELECT FROM notifications LIMIT 1`) // a long report, say: it holds ACCESS SHARE
	_, stderr, status := command(t, d, nil, "migrate", "up")
	pid := pgtest.One[int](d, `SELECT pg_backend_pid()`)
	d.Exec(`COMMIT`)
	if status != 1 || !strings.Contains(stderr, "55P03") ||
		!strings.Contains(stderr, fmt.Sprintf("in the way: process %d (", pid)) ||
		strings.Count(stderr, "tries again") != 4 {
		t.Errorf("exit status %d, stderr %s, want a lock time-out", status, stderr)
	}
	migrateTo(t, d, "up")
}

func TestWhoeverWaitsSaysForWhom(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ before, hold, says string }{
		"another migration": {"SELECT", fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", lockID),
			"waiting for another migration"},
		"an old snapshot": {
			pgtest.ApplicationTable + "; ALTER TABLE notifications ADD deleted_at timestamptz",
			"LOCK TABLE notifications IN ROW EXCLUSIVE MODE", "msg=waiting"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Empty(t)
			d.Exec(test.before)
			d.Exec("BEGIN")
			d.Exec(test.hold)
			cmd, _, stderr := process(t, d.URL(), "migrate", "up")
			says := fmt.Sprintf("for_process=%d ", pgtest.One[int](d, "SELECT pg_backend_pid()"))
			for start := time.Now(); !strings.Contains(stderr.String(), says); {
				if time.Since(start) > 30*time.Second {
					t.Fatalf("it says %s", stderr)
				}
				time.Sleep(time.Millisecond)
			}
			if !strings.Contains(stderr.String(), test.says) {
				t.Errorf("it says %s", stderr)
			}
			d.Exec("COMMIT")
			if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 0 {
				t.Errorf("then it says %s", stderr)
			}
		})
	}
}

func TestAMigrationThroughPgBouncerLeavesNoLock(t *testing.T) {
	t.Parallel()
	pgtest.Slow(t)
	d := pgtest.Empty(t)
	env := map[string]string{"DATABASE_URL": pgbouncer(t, d, "transaction")}
	if _, stderr, status := command(t, d, env, "migrate", "up"); status != 0 {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	const locks = `
		SELECT count(*)
		FROM pg_locks AS l
		JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
		WHERE l.locktype = 'advisory'`
	if n := pgtest.One[int](d, locks); n != 0 {
		t.Errorf("%d advisory locks are left", n)
	}
	migrateTo(t, d, "down")
}

func TestDownRefusesWhileSomebodyWorksOnARun(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	cmd, _, _, release := blockedProgram(t, d)
	_, stderr, status := command(t, d, nil, "migrate", "down")
	if status != 1 || !strings.Contains(stderr, "is at work on a run: stop it first") {
		t.Errorf("exit status %d, stderr %s", status, stderr)
	}
	release()
	_ = cmd.Wait()
	if _, stderr := migrateTo(t, d, "down"); !strings.Contains(
		stderr, "soft_deleted_notifications=1950",
	) {
		t.Errorf("it does not say what it leaves: %s", stderr)
	}
}

func TestUpRefusesATableThatLooksLikeNotificationsUnderAnotherName(t *testing.T) {
	t.Parallel()
	const fits = `(id bigint PRIMARY KEY, user_id bigint, status text, created_at timestamptz)`
	for name, test := range map[string]struct {
		create string
		says   string // nothing: ours is created
	}{
		"nothing": {"SELECT", ""},
		"another name": {`
			CREATE TABLE user_notifications (uid uuid PRIMARY KEY, recipient_id bigint,
				recipient_type text, read_at timestamp, updated_at timestamp, sent_at timestamp)`,
			"ALTER TABLE public.user_notifications ADD COLUMN deleted_at timestamptz; " +
				"CREATE VIEW cleanup.notifications AS SELECT ctid, tableoid, uid AS id, " +
				"recipient_id AS user_id, CASE WHEN read_at IS NULL THEN 'unread' ELSE 'read' END " +
				"AS status, sent_at AS created_at, deleted_at FROM public.user_notifications;"},
		"a boolean": {`
			CREATE TABLE "Notification" (id bigint PRIMARY KEY, account bigint, "isRead" boolean,
				"createdAt" timestamptz, deleted_at timestamptz)`,
			`SELECT ctid, tableoid, id AS id, account AS user_id, CASE WHEN "isRead" THEN 'read' ` +
				`ELSE 'unread' END AS status, "createdAt" AS created_at, deleted_at ` +
				`FROM public."Notification";`},
		"no mark": {`
			CREATE TABLE notification (id bigint PRIMARY KEY, user_id bigint, at timestamptz)`,
			"CASE WHEN ... THEN 'read' ELSE 'unread' END AS status"},
		"another schema": {`CREATE SCHEMA app; CREATE TABLE app.notifications ` + fits,
			"what looks like one is app.notifications"},
		"two": {`CREATE TABLE notifications_old ` + fits + `; CREATE TABLE push_notifications ` + fits,
			"public.notifications_old, public.push_notifications"},
		"no user": {`CREATE TABLE notification_texts (id bigint, created_at timestamptz)`, ""},
		"no time": {`CREATE TABLE notification_settings (user_id bigint, wants text)`, ""},
		"a view":  {`CREATE VIEW notification_list AS SELECT 1 AS user_id, now() AS at`, ""},
		"adopted": {
			`CREATE TABLE old_notifications ` + fits + `; CREATE TABLE notifications ` + fits, ""},
		"temporary": {`CREATE TEMPORARY TABLE old_notifications ` + fits, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Empty(t)
			d.Exec(test.create)
			_, stderr, status := command(t, d, nil, "migrate", "up")
			if test.says == "" {
				created := strings.Contains(stderr, "created an empty table public.notifications")
				if status != 0 || created == (name == "adopted") {
					t.Errorf("exit status %d, stderr %s", status, stderr)
				}
				return
			}
			if status != 1 || !strings.Contains(stderr, test.says) ||
				!strings.Contains(stderr, "--create-table") ||
				pgtest.One[string](d, pgtest.OurObjects) != "" {
				t.Errorf("exit status %d, stderr %s, want %s", status, stderr, test.says)
			}
			if _, stderr, status := command(t, d, nil, "migrate", "up", "--create-table"); status != 0 {
				t.Errorf("--create-table: exit status %d, stderr %s", status, stderr)
			}
		})
	}
}

func TestAnApplicationsOwnGooseIsNotDisturbed(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	d.Exec(`
		CREATE TABLE goose_db_version (id integer, version_id bigint, is_applied boolean,
			tstamp timestamp)`)
	d.Exec(`INSERT INTO goose_db_version VALUES (1, 42, true, '2025-01-01')`)
	migrateTo(t, d, "up")
	if got := pgtest.One[string](d, `
		SELECT string_agg(version_id::text, ' ') FROM goose_db_version`); got != "42" {
		t.Errorf("goose_db_version has %s, want 42", got)
	}
}

func TestMigrateStatusNamesEveryMigration(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	stdout, _ := migrateTo(t, d, "status")
	files, _ := filepath.Glob("../../migrations/*.sql")
	if n := strings.Count(stdout, `"state":"pending","applied_at":null}`); n != len(files) {
		t.Errorf("%d of %d migrations are pending: %s", n, len(files), stdout)
	}
	for i, file := range files {
		if want := fmt.Sprintf(`{"version":%d,"name":%q,`, i+1, filepath.Base(file)); !strings.Contains(
			stdout,
			want,
		) {
			t.Errorf("no %s in %s", want, stdout)
		}
	}
}
