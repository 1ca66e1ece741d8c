package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pressly/goose/v3"
)

const ourObjects = `
	SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM (
		SELECT proname::text AS name FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
		UNION ALL
		SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'v', 'i', 'p') AND relname ~ 'cleanup|_idx' AND relname !~ 'schema_version'
		UNION ALL
		SELECT typname FROM pg_type WHERE typnamespace = current_schema()::regnamespace AND typtype = 'd'
	) AS object`

// checksum of an application's rows: without deleted_at, which adoption may add.
const checksum = `SELECT count(*) || ' ' || md5(string_agg((to_jsonb(n) - 'deleted_at')::text, ' ' ORDER BY id)) FROM notifications AS n`

// application is a table that somebody else made.
const application = `
	CREATE TABLE notifications (id bigint PRIMARY KEY, user_id integer, status varchar(10), body text, created_at timestamptz);
	INSERT INTO notifications
	SELECT i, i % 3, 'read', repeat('x', 50), timestamptz '2025-01-01 00:00:00Z' + i * interval '1 minute' FROM generate_series(1, 6000) AS i`

func migrateTo(t *testing.T, d *database, direction string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, status := command(t, d, nil, "migrate", direction)
	if status != 0 {
		t.Fatalf("migrate %s: exit status %d: %s", direction, status, stderr)
	}
	return stdout, stderr
}

func TestMigrateUpTwiceDownTwiceAndUp(t *testing.T) {
	t.Parallel()
	d := emptyDatabase(t)
	first, _ := migrateTo(t, d, "up")
	installed := one[string](d, ourObjects)
	second, _ := migrateTo(t, d, "up")
	if first != second || strings.Contains(second, "pending") {
		t.Errorf("up says %s, and again %s", first, second)
	}
	migrateTo(t, d, "down")
	stdout, _ := migrateTo(t, d, "down")
	if strings.Contains(stdout, "applied\"") || one[string](d, ourObjects) != "" {
		t.Errorf("after down there is %s; status %s", one[string](d, ourObjects), stdout)
	}
	migrateTo(t, d, "up")
	if got := one[string](d, ourObjects); got != installed {
		t.Errorf("after down and up there is %s, want %s", got, installed)
	}
}

func TestAdoptsATableWithItsRows(t *testing.T) {
	t.Parallel()
	d := emptyDatabase(t)
	d.exec(application)
	before := one[string](d, checksum)
	file := one[string](d, `SELECT pg_relation_filenode('notifications')::text`)
	migrateTo(t, d, "up")
	d.exec(`SELECT cleanup_notifications()`)
	deleted := one[string](d, `SELECT count(*) || ' ' || min(deleted_at) FROM notifications WHERE deleted_at IS NOT NULL`)
	if !strings.HasPrefix(deleted, "5700 ") {
		t.Errorf("deleted %s, want 5700", deleted)
	}
	_, stderr := migrateTo(t, d, "down")
	if !strings.Contains(stderr, "history") || one[string](d, ourObjects) != "notification_cleanup_runs notification_cleanup_runs_pkey notification_cleanup_runs_started_at_key" &&
		one[string](d, ourObjects) != "notification_cleanup_runs" {
		t.Errorf("after down there is %s, stderr %s, want the history and no more", one[string](d, ourObjects), stderr)
	}
	migrateTo(t, d, "up")
	if after := one[string](d, checksum); after != before {
		t.Errorf("rows were %s, are %s", before, after)
	}
	if now := one[string](d, `SELECT count(*) || ' ' || min(deleted_at) FROM notifications WHERE deleted_at IS NOT NULL`); now != deleted {
		t.Errorf("deleted_at was %s, is %s", deleted, now)
	}
	if now := one[string](d, `SELECT pg_relation_filenode('notifications')::text`); now != file {
		t.Error("the table was rewritten")
	}
	if n := one[int](d, `SELECT restore_notifications(id) FROM notification_cleanup_runs`); n != 5700 {
		t.Errorf("restored %d, want the 5700 of the run before down", n)
	}
}

func TestWhatDoesNotFitIsOneErrorAndNothingChanges(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		create string
		says   []string
	}{
		"columns": {`CREATE TABLE notifications (user_id integer, deleted_at timestamp)`,
			[]string{"column id is missing", "column status is missing", "column created_at is missing", "deleted_at must be"}},
		"types": {`CREATE TABLE notifications (id integer, user_id integer, status boolean, created_at date, deleted_at timestamptz NOT NULL)`,
			[]string{"id must be", "status must be", "created_at must be", "deleted_at must be"}},
		"precision": {`CREATE TABLE notifications (id integer PRIMARY KEY, user_id integer, status text, created_at timestamptz, deleted_at timestamptz(3))`,
			[]string{"deleted_at must be a nullable timestamp with time zone of full precision"}},
		"nullable id": {`CREATE TABLE notifications (id integer UNIQUE, user_id integer, status text, created_at timestamptz)`,
			[]string{"id must be NOT NULL"}},
		"citext": {`CREATE SCHEMA other; CREATE EXTENSION citext SCHEMA other; CREATE TABLE notifications (id integer PRIMARY KEY, user_id integer, status other.citext, created_at timestamptz)`,
			[]string{"status must be case-sensitive"}},
		"collation": {`CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
			CREATE TABLE notifications (id integer PRIMARY KEY, user_id integer, status text COLLATE any_case, created_at timestamptz)`,
			[]string{"status must be case-sensitive"}},
		"enum": {`CREATE TYPE state AS ENUM ('new', 'read'); CREATE TABLE notifications (id integer PRIMARY KEY, user_id integer, status state, created_at timestamptz)`,
			[]string{"status must be"}},
		"kind": {`CREATE MATERIALIZED VIEW notifications AS SELECT 1 AS id, 1 AS user_id, 'read'::text AS status, now() AS created_at, now() AS deleted_at`,
			[]string{"must be a table"}},
		"view": {`CREATE VIEW notifications AS SELECT 1 AS id, 1 AS user_id, 'read'::text AS status, now() AS created_at`,
			[]string{"deleted_at is missing", "ctid is missing from the view", "tableoid is missing from the view", "CREATE VIEW cleanup.notifications AS SELECT ctid, tableoid, id"}},
		"view of something else": {`CREATE VIEW notifications AS SELECT 1 AS ctid, 1 AS tableoid, 1 AS id, 1 AS user_id, 'read'::text AS status, now() AS created_at, now() AS deleted_at`,
			[]string{"ctid must be that of the table behind, not integer", "tableoid must be that of the table behind, not integer"}},
		"view of two tables": {`CREATE TABLE people (id integer PRIMARY KEY); CREATE TABLE inbox (id integer PRIMARY KEY, user_id integer, status text, created_at timestamptz, deleted_at timestamptz);
			CREATE VIEW notifications AS SELECT inbox.ctid, inbox.tableoid, inbox.*, people.id AS person FROM inbox JOIN people ON people.id = user_id`,
			[]string{"deleted_at of the view cannot be updated: it must be a column of a single table"}},
		"view that computes deleted_at": {`CREATE TABLE inbox (id integer PRIMARY KEY, user_id integer, status text, created_at timestamptz, removed_at timestamp);
			CREATE VIEW notifications AS SELECT ctid, tableoid, id, user_id, status, created_at, removed_at::timestamptz AS deleted_at FROM inbox`,
			[]string{"deleted_at of the view cannot be updated"}},
		"security barrier": {`CREATE TABLE inbox (id integer PRIMARY KEY, user_id integer, status text, created_at timestamptz, deleted_at timestamptz);
			CREATE VIEW notifications WITH (security_barrier) AS SELECT ctid, tableoid, * FROM inbox`,
			[]string{"the view must not be a security_barrier"}},
		"other schema": {`CREATE SCHEMA postgres; CREATE TABLE public.notifications (id integer)`,
			[]string{"not in schema postgres", "SCHEMA"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := emptyDatabase(t)
			d.exec(test.create)
			columns := `SELECT string_agg(attname || ' ' || atttypid::regtype, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'notifications'::regclass AND attnum > 0`
			before := one[string](d, columns)
			_, stderr, status := command(t, d, nil, "migrate", "up")
			for _, says := range test.says {
				if status != 1 || !strings.Contains(stderr, says) || strings.Contains(stderr, "\n") {
					t.Errorf("exit status %d, stderr %q, want 1 and %q on one line", status, stderr, says)
				}
			}
			if after := one[string](d, columns); after != before || one[string](d, ourObjects) != "" {
				t.Errorf("columns were %s, are %s; there is %s", before, after, one[string](d, ourObjects))
			}
		})
	}
}

func TestTenMigratorsAtOnce(t *testing.T) {
	t.Parallel()
	d := emptyDatabase(t)
	d.exec(application)
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if _, stderr, status := command(t, d, nil, "migrate", "up"); status != 0 {
				t.Errorf("exit status %d: %s", status, stderr)
			}
		})
	}
	group.Wait()
	if n := one[int](d, `SELECT count(*) - count(DISTINCT version_id) FROM notification_cleanup_schema_version`); n != 0 {
		t.Errorf("%d migrations were applied twice", n)
	}
}

func TestAnInvalidIndexIsBuiltAgain(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('notifications_live_idx'::regclass, 'notifications_deleted_idx'::regclass)`)
	d.exec(`DELETE FROM notification_cleanup_schema_version WHERE version_id = 2`)
	if err := migrateUp(t.Context(), d.name, goose.WithAllowOutofOrder(true)); err != nil {
		t.Fatal(err)
	}
	if n := one[int](d, `SELECT count(*) FROM pg_index WHERE indexrelid IN ('notifications_live_idx'::regclass, 'notifications_deleted_idx'::regclass) AND indisvalid`); n != 2 {
		t.Errorf("%d of 2 indexes are valid", n)
	}
}

func TestAMigrationGivesUpRatherThanQueueTheApplication(t *testing.T) {
	t.Parallel()
	d := emptyDatabase(t)
	d.exec(application)
	d.exec(`BEGIN`)
	d.exec(`SELECT FROM notifications LIMIT 1`) // a long report, say: it holds ACCESS SHARE
	_, stderr, status := command(t, d, nil, "migrate", "up")
	d.exec(`COMMIT`)
	if status != 1 || !strings.Contains(stderr, "55P03") {
		t.Errorf("exit status %d, stderr %s, want a lock time-out", status, stderr)
	}
	migrateTo(t, d, "up")
}

func TestAnApplicationsOwnGooseIsNotDisturbed(t *testing.T) {
	t.Parallel()
	d := emptyDatabase(t)
	d.exec(`CREATE TABLE goose_db_version (id integer, version_id bigint, is_applied boolean, tstamp timestamp)`)
	d.exec(`INSERT INTO goose_db_version VALUES (1, 42, true, '2025-01-01')`)
	migrateTo(t, d, "up")
	if got := one[string](d, `SELECT string_agg(version_id::text, ' ') FROM goose_db_version`); got != "42" {
		t.Errorf("goose_db_version has %s, want 42", got)
	}
}

// TestPlainGoose runs the goose command line on migrations/; make builds it.
func TestPlainGoose(t *testing.T) {
	t.Parallel()
	program, err := filepath.Abs("../../.build/goose")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatal("no goose command line: run make .build/goose")
	}
	for _, create := range []string{`SELECT`, application, `
		CREATE TABLE inbox (id bigint PRIMARY KEY, owner bigint, seen boolean, made timestamptz, gone timestamptz);
		CREATE VIEW notifications AS SELECT ctid, tableoid, id, owner AS user_id, CASE WHEN seen THEN 'read' ELSE 'unread' END AS status, made AS created_at, gone AS deleted_at FROM inbox`,
	} {
		d, ours := emptyDatabase(t), emptyDatabase(t)
		d.exec(create)
		ours.exec(create)
		for _, direction := range []string{"up", "down-to 0", "up"} {
			args := []string{"-dir", "../../migrations", "-table", versionTable, "postgres", d.url()}
			if out, err := exec.Command(program, append(args, strings.Fields(direction)...)...).CombinedOutput(); err != nil {
				t.Fatalf("goose %s: %v\n%s", direction, err, out)
			}
		}
		migrateTo(t, ours, "up")
		if got, want := one[string](d, ourObjects), one[string](ours, ourObjects); got != want {
			t.Errorf("goose installs %s, we install %s", got, want)
		}
	}
}

func TestSnapshotEqualsTheLivingSource(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command("../../.ci/snapshot", "--check").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	// And what the migrations install is what the living source installs.
	d := newDatabase(t)
	before := one[string](d, definitions)
	d.exec(`SET search_path = public, pg_temp`)
	files, _ := filepath.Glob("../../sql/*/*.sql")
	routines := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nCREATE OR REPLACE") {
			d.exec(string(text))
			routines++
		}
	}
	if after := one[string](d, definitions); after != before || routines < 12 {
		t.Errorf("%d files of sql/ install other routines than the migrations", routines)
	}
}

// partitioned are tables of an application that have three partitions each.
var partitioned = map[string]string{
	"hash": partitionedBy("user_id", "HASH (user_id)") + `
		CREATE TABLE p1 PARTITION OF notifications FOR VALUES WITH (MODULUS 3, REMAINDER 0);
		CREATE TABLE p2 PARTITION OF notifications FOR VALUES WITH (MODULUS 3, REMAINDER 1);
		CREATE TABLE "P 3" PARTITION OF notifications FOR VALUES WITH (MODULUS 3, REMAINDER 2)`,
	"range": partitionedBy("created_at", "RANGE (created_at)") + `
		CREATE TABLE p1 PARTITION OF notifications FOR VALUES FROM (MINVALUE) TO ('2025-01-01Z');
		CREATE TABLE p2 PARTITION OF notifications FOR VALUES FROM ('2025-01-01Z') TO ('2026-01-01Z');
		CREATE TABLE "P 3" PARTITION OF notifications FOR VALUES FROM ('2026-01-01Z') TO ('2027-01-01Z')`,
	"range of hash": partitionedBy("created_at", "RANGE (created_at)") + `
		CREATE TABLE p1 PARTITION OF notifications FOR VALUES FROM (MINVALUE) TO ('2025-01-01Z');
		CREATE SCHEMA other;
		CREATE TABLE other.sub PARTITION OF notifications FOR VALUES FROM ('2025-01-01Z') TO ('2027-01-01Z') PARTITION BY HASH (id);
		CREATE TABLE other.p2 PARTITION OF other.sub FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE other."P 3" PARTITION OF other.sub FOR VALUES WITH (MODULUS 2, REMAINDER 1)`,
}

func partitionedBy(column, by string) string {
	return `CREATE TABLE notifications (id bigint, user_id bigint, status text, created_at timestamptz, deleted_at timestamptz,
		PRIMARY KEY (id, ` + column + `)) PARTITION BY ` + by + ";"
}

// ofPartitions lists the indexes of partitions and of the table itself that are ours: on what, and whether they are valid.
const ofPartitions = `SELECT coalesce(string_agg(format('%s %s %s', i.indrelid::regclass, split_part(pg_get_indexdef(i.indexrelid), 'btree ', 2), i.indisvalid), ', '
		ORDER BY i.indrelid::regclass::text, pg_get_indexdef(i.indexrelid)), '')
	FROM pg_index AS i JOIN pg_partition_tree('notifications') AS t ON t.relid = i.indrelid WHERE i.indpred IS NOT NULL`

// wantIndexes compares the tables that have both indexes, valid ones, and nothing else of that kind.
func (d *database) wantIndexes(tables ...string) {
	d.t.Helper()
	var want []string
	for _, table := range tables {
		want = append(want, table+" (deleted_at) WHERE (deleted_at IS NOT NULL) t", table+" (user_id) WHERE (deleted_at IS NULL) t")
	}
	if got := one[string](d, ofPartitions); got != strings.Join(want, ", ") {
		d.t.Errorf("there are %s, want %s", got, strings.Join(want, ", "))
	}
	if got := all[string](d, "SELECT statement FROM notification_cleanup_indexes() WHERE statement IS NOT NULL"); len(got) > 0 {
		d.t.Errorf("to be built are %q", got)
	}
}

func TestEachPartitionGetsBothIndexes(t *testing.T) {
	t.Parallel()
	for kind, create := range partitioned {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := emptyDatabase(t)
			d.exec(create)
			_, stderr := migrateTo(t, d, "up")
			want := []string{`"P 3"`, "notifications", "p1", "p2"}
			if kind == "range of hash" {
				want = []string{"notifications", `other."P 3"`, "other.p2", "other.sub", "p1"}
			}
			d.wantIndexes(want...)
			if n := strings.Count(stderr, "CREATE INDEX CONCURRENTLY"); n != 6 {
				t.Errorf("%d are built CONCURRENTLY, want 6: %s", n, stderr)
			}
			if _, stderr = migrateTo(t, d, "up"); strings.Contains(stderr, "INDEX") {
				t.Errorf("again it says %s", stderr)
			}
			if n := one[int](d, `SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()`); n != 0 {
				t.Errorf("%d temporary objects left", n)
			}
			migrateTo(t, d, "down")
			if got := one[string](d, ofPartitions); got != "" {
				t.Errorf("after down there are %s", got)
			}
		})
	}
}

func TestAPartitionToComeGetsBothIndexes(t *testing.T) {
	t.Parallel()
	d := adopt(t, partitioned["range"])
	d.exec(`CREATE TABLE p4 (LIKE notifications); ALTER TABLE notifications ATTACH PARTITION p4 DEFAULT`)
	d.wantIndexes(`"P 3"`, "notifications", "p1", "p2", "p4")
}

func TestIndexesOfPartitionsAreBuiltAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	d := emptyDatabase(t)
	d.exec(partitioned["range"])
	d.exec(setForDatabase("lock_timeout = '100ms'"))
	d.exec("BEGIN; LOCK TABLE p2 IN ROW EXCLUSIVE MODE") // CONCURRENTLY waits for it in the middle
	_, stderr, status := command(t, d, nil, "migrate", "up")
	d.exec("COMMIT")
	const half = `p1 (user_id) WHERE (deleted_at IS NULL) t, p2 (user_id) WHERE (deleted_at IS NULL) f`
	if got := one[string](d, ofPartitions); status != 1 || !strings.Contains(stderr, "55P03") || got != half {
		t.Fatalf("exit status %d, stderr %s, and there are %s", status, stderr, got)
	}
	migrateTo(t, d, "up")
	d.wantIndexes(`"P 3"`, "notifications", "p1", "p2")
}

func TestAnIndexOfTheApplicationServesUnderAnyName(t *testing.T) {
	t.Parallel()
	d := emptyDatabase(t)
	d.exec(partitioned["hash"])
	d.exec(`CREATE INDEX mine ON p1 (user_id) WHERE deleted_at IS NULL;
		CREATE INDEX wider ON p2 (user_id, created_at) WHERE deleted_at IS NULL;
		CREATE INDEX bare ON notifications (deleted_at);
		CREATE INDEX no_key ON "P 3" (created_at, user_id) WHERE deleted_at IS NULL;
		CREATE INDEX no_condition ON "P 3" (user_id);
		CREATE INDEX other_condition ON "P 3" (user_id) WHERE deleted_at IS NULL AND status = 'read';
		CREATE INDEX no_order ON "P 3" USING hash (user_id) WHERE deleted_at IS NULL`)
	_, stderr := migrateTo(t, d, "up")
	if n := strings.Count(stderr, "CREATE INDEX"); n != 1 || !strings.Contains(stderr, `CREATE INDEX CONCURRENTLY ON public.\"P 3\" (user_id) WHERE (deleted_at IS NULL)`) {
		t.Errorf("built are %d, want that of P 3: %s", n, stderr)
	}
	const serving = `SELECT string_agg(index::text, ' ' ORDER BY index::text COLLATE "C") FROM notification_cleanup_indexes() WHERE purpose IS NOT NULL`
	if got := one[string](d, serving); got != `"P 3_deleted_at_idx" "P 3_user_id_idx" mine p1_deleted_at_idx p2_deleted_at_idx wider` {
		t.Errorf("%s serve", got)
	}
}

func TestARunNamesThePartitionsWithoutAnIndex(t *testing.T) {
	t.Parallel()
	d := adopt(t, partitioned["range"])
	d.insert(alice, "read", 1, 1001)
	d.exec("DROP INDEX notifications_live_idx; CREATE INDEX ON p1 (user_id) WHERE deleted_at IS NULL; CREATE INDEX ON p2 (user_id) WHERE deleted_at IS NULL")
	_, stderr, status := command(t, d, nil)
	if status != 0 || !strings.Contains(stderr, `level=WARN msg="no valid index serves the cleanup on \"P 3\"" hint="notification-cleanup migrate up`) {
		t.Errorf("exit status %d, stderr %s", status, stderr)
	}
	migrateTo(t, d, "up")
	d.exec("SELECT restore_notifications(1)")
	if _, stderr, status := command(t, d, nil); status != 0 || strings.Contains(stderr, "WARN") {
		t.Errorf("when it is built, exit status %d, stderr %s", status, stderr)
	}
}

func TestMigrateUpBuildsAnIndexThatIsGoneOrInvalid(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`DROP INDEX notifications_live_idx; UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'notifications_deleted_idx'::regclass`)
	migrateTo(t, d, "up")
	if n := one[int](d, `SELECT count(*) FROM pg_index WHERE indexrelid IN ('notifications_live_idx'::regclass, 'notifications_deleted_idx'::regclass) AND indisvalid`); n != 2 {
		t.Errorf("%d of 2 indexes are valid", n)
	}
}

func TestMigrateUpPrintsTheIndexesThatAViewLacks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		create []string
		prints []string
	}{
		"view": {inboxView, []string{
			"CREATE INDEX CONCURRENTLY ON public.messages (recipient) WHERE (removed_at IS NULL);",
			"CREATE INDEX CONCURRENTLY ON public.messages (removed_at) WHERE (removed_at IS NOT NULL);"}},
		"view of a view": {[]string{
			`CREATE TABLE "In Box" (id bigint PRIMARY KEY, kind varchar(10), number integer, "Read" boolean, made timestamp(0), gone timestamptz)`,
			`CREATE VIEW users_inbox AS SELECT *, ctid, tableoid FROM "In Box" AS n WHERE kind IN ('user', 'n.')`,
			`CREATE VIEW notifications AS SELECT ctid, tableoid, id, kind || number AS user_id, CASE WHEN "Read" THEN 'read' ELSE 'unread' END AS status, made AS created_at, gone AS deleted_at
				FROM users_inbox`}, []string{
			`CREATE INDEX CONCURRENTLY ON public."In Box" ((((kind)::text || (number)::text))) INCLUDE (kind, number) WHERE ((gone IS NULL) AND ((kind)::text = ANY ('{user,n.}'::text[])));`,
			`CREATE INDEX CONCURRENTLY ON public."In Box" (gone) WHERE ((gone IS NOT NULL) AND ((kind)::text = ANY ('{user,n.}'::text[])));`}},
		"view of a partitioned table": {[]string{
			partitioned["range"],
			`ALTER TABLE notifications RENAME TO inbox; ALTER TABLE inbox RENAME user_id TO owner`,
			`CREATE VIEW notifications AS SELECT ctid, tableoid, id, owner AS user_id, status, created_at, deleted_at FROM inbox`}, []string{
			"CREATE INDEX CONCURRENTLY ON public.p1 (owner) WHERE (deleted_at IS NULL);",
			"CREATE INDEX CONCURRENTLY ON public.p2 (owner) WHERE (deleted_at IS NULL);",
			`CREATE INDEX CONCURRENTLY ON public."P 3" (owner) WHERE (deleted_at IS NULL);`,
			"SET LOCAL statement_timeout = '2s'; CREATE INDEX ON public.inbox (owner) WHERE (deleted_at IS NULL);",
			"CREATE INDEX CONCURRENTLY ON public.p1 (deleted_at) WHERE (deleted_at IS NOT NULL);",
			"CREATE INDEX CONCURRENTLY ON public.p2 (deleted_at) WHERE (deleted_at IS NOT NULL);",
			`CREATE INDEX CONCURRENTLY ON public."P 3" (deleted_at) WHERE (deleted_at IS NOT NULL);`,
			"SET LOCAL statement_timeout = '2s'; CREATE INDEX ON public.inbox (deleted_at) WHERE (deleted_at IS NOT NULL);"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := emptyDatabase(t)
			for _, statement := range test.create {
				d.exec(statement)
			}
			d = d.openSession()
			printed := func() (lines []string) {
				_, stderr := migrateTo(t, d, "up")
				for line := range strings.Lines(stderr) {
					if line = strings.TrimSpace(line); strings.HasSuffix(line, ";") {
						lines = append(lines, line)
					}
				}
				return lines
			}
			for range 2 { // nothing is built
				if got := printed(); !slices.Equal(got, test.prints) {
					t.Errorf("prints\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.prints, "\n"))
				}
			}
			for _, statement := range test.prints {
				d.exec(statement)
			}
			if got := printed(); got != nil {
				t.Errorf("when all are built, prints %q", got)
			}
		})
	}
}

func TestMigrateStatusNamesEveryMigration(t *testing.T) {
	t.Parallel()
	d := emptyDatabase(t)
	stdout, _ := migrateTo(t, d, "status")
	files, _ := filepath.Glob("../../migrations/*.sql")
	if n := strings.Count(stdout, `"state":"pending","applied_at":null}`); n != len(files) {
		t.Errorf("%d of %d migrations are pending: %s", n, len(files), stdout)
	}
	for i, file := range files {
		if want := fmt.Sprintf(`{"version":%d,"name":%q,`, i+1, filepath.Base(file)); !strings.Contains(stdout, want) {
			t.Errorf("no %s in %s", want, stdout)
		}
	}
}

// mails is a table of an application, and a view of it that shows what its users get.
func mails(view string) string {
	return `CREATE TABLE mails (id bigint PRIMARY KEY, owner bigint, kind varchar(9), seen text, made timestamptz, gone timestamptz);
		CREATE TABLE people (id bigint PRIMARY KEY, name text);
		CREATE VIEW notifications AS SELECT ctid, tableoid, id, ` + view
}

func TestThePlannerSaysWhichIndexServes(t *testing.T) {
	t.Parallel()
	const (
		ours  = "DROP INDEX notifications_live_idx, notifications_deleted_idx; "
		build = "-> CREATE INDEX CONCURRENTLY "
		live  = "notifications live " + build + "notifications_live_idx ON public.notifications (user_id) WHERE (deleted_at IS NULL)"
		gone  = "notifications deleted " + build + "notifications_deleted_idx ON public.notifications (deleted_at) WHERE (deleted_at IS NOT NULL)"
		rest  = " AS user_id, seen AS status, made AS created_at, gone AS deleted_at FROM mails AS m"
	)
	for name, test := range map[string]struct {
		create, change string
		want           []string
	}{
		"wider ones": {"SELECT", ours + `CREATE INDEX wider ON notifications (user_id, created_at DESC) WHERE deleted_at IS NULL;
			CREATE INDEX timed ON notifications (deleted_at, id)`, []string{"notifications live wider", "notifications deleted timed"}},
		"of other rows": {"SELECT", ours + `CREATE INDEX ON notifications (user_id) WHERE deleted_at IS NULL AND status = 'read';
			CREATE INDEX ON notifications (deleted_at) WHERE deleted_at IS NOT NULL AND status = 'read'`, []string{live, gone}},
		"of all rows": {"SELECT", ours + `CREATE INDEX ON notifications (user_id); CREATE INDEX ON notifications (user_id) INCLUDE (deleted_at);
			CREATE INDEX ON notifications USING hash (deleted_at)`, []string{live, gone}},
		"by user and time": {"SELECT", ours + "CREATE INDEX pair ON notifications (user_id, deleted_at)", []string{"notifications live pair", gone}},
		"an invalid one": {"SELECT", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'notifications_live_idx'::regclass",
			[]string{"notifications live -> REINDEX INDEX CONCURRENTLY public.notifications_live_idx", "notifications deleted notifications_deleted_idx"}},
		"a name that is taken": {"SELECT", ours + "CREATE TABLE former (user_id uuid); CREATE INDEX notifications_live_idx ON former (user_id)",
			[]string{strings.Replace(live, "notifications_live_idx ", "", 1), gone}},
		"beside one that is as cheap": {"SELECT", "CREATE INDEX ON notifications (user_id) INCLUDE (deleted_at)",
			[]string{"notifications live notifications_live_idx", "notifications deleted notifications_deleted_idx"}},
		"a child by INHERITS": {"CREATE TABLE notifications (id bigint PRIMARY KEY, user_id bigint, status text, created_at timestamptz); CREATE TABLE child () INHERITS (notifications)",
			"DROP INDEX child_user_id_idx", []string{"notifications live notifications_live_idx",
				"child live " + build + "ON public.child (user_id) WHERE (deleted_at IS NULL)",
				"notifications deleted notifications_deleted_idx", "child deleted child_deleted_at_idx"}},
		"no partition yet": {partitionedBy("user_id", "HASH (user_id)"), "SELECT", []string{"notifications notifications_live_idx", "notifications notifications_deleted_idx"}},
		"a view": {mails("owner" + rest + " WHERE kind NOT IN ('bill', 'ad')"), "SELECT", []string{
			"mails live " + build + "ON public.mails (owner) WHERE ((gone IS NULL) AND ((kind)::text <> ALL ('{bill,ad}'::text[])))",
			"mails deleted " + build + "ON public.mails (gone) WHERE ((gone IS NOT NULL) AND ((kind)::text <> ALL ('{bill,ad}'::text[])))"}},
		"a view whose condition they have": {mails("owner" + rest + " WHERE kind NOT IN ('bill', 'ad')"),
			"CREATE INDEX l ON mails (owner) WHERE gone IS NULL AND kind NOT IN ('bill', 'ad'); CREATE INDEX d ON mails (gone)", []string{"mails live l", "mails deleted d"}},
		"a view whose condition reads a column": {mails("owner" + rest + " WHERE kind NOT IN ('bill', 'ad')"),
			"CREATE INDEX l ON mails (owner) INCLUDE (kind) WHERE gone IS NULL; CREATE INDEX d ON mails (gone)", []string{"mails live l", "mails deleted d"}},
		"a view with an expression": {mails("CASE WHEN owner > 0 THEN kind END" + rest), "CREATE INDEX no_columns ON mails ((CASE WHEN owner > 0 THEN kind END)) WHERE gone IS NULL", []string{
			"mails live " + build + "ON public.mails ((CASE WHEN (owner > 0) THEN kind ELSE NULL::character varying END)) INCLUDE (owner, kind) WHERE (gone IS NULL)",
			"mails deleted " + build + "ON public.mails (gone) WHERE (gone IS NOT NULL)"}},
		"a view, with strings that have escapes": {setForDatabase("standard_conforming_strings = off") + ";" + mails("owner"+rest), "SET standard_conforming_strings = off", []string{
			"mails live " + build + "ON public.mails (owner) WHERE (gone IS NULL)", "mails deleted " + build + "ON public.mails (gone) WHERE (gone IS NOT NULL)"}},
		"a view of several tables": {mails("owner" + rest + " WHERE NOT EXISTS (SELECT FROM people AS p WHERE p.id = m.owner AND p.name = 'ann')"),
			"CREATE INDEX l ON mails (owner) WHERE gone IS NULL", []string{"mails live l", "mails deleted"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := adopt(t, test.create)
			d.exec(test.change)
			got := all[string](d, "SELECT concat_ws(' ', relation, purpose, index, '-> ' || statement) FROM notification_cleanup_indexes()")
			if !slices.Equal(got, test.want) {
				t.Errorf("there are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			for _, line := range got { // what it says helps
				if _, statement, found := strings.Cut(line, "-> "); found {
					d.exec(statement)
				}
			}
			if n := one[int](d, "SELECT count(statement) FROM notification_cleanup_indexes()"); n > 0 {
				t.Errorf("when all that it says is done, %d are left", n)
			}
		})
	}
}

func TestEachTableBehindNotificationsIsFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ create, want string }{
		"a table":    {application, "notifications t"},
		"partitions": {partitioned["range of hash"], `notifications f, p1 t, other.sub f, other.p2 t, other."P 3" t`},
		"children": {application + `; CREATE TABLE child () INHERITS (notifications); CREATE TABLE "Grand child" () INHERITS (child); CREATE TABLE other (id bigint)`,
			`notifications t, child t, "Grand child" t`},
		"a view of a view": {`CREATE TABLE words (id bigint); CREATE TABLE inbox (id bigint PRIMARY KEY, user_id bigint, status text, created_at timestamptz, deleted_at timestamptz);
			CREATE VIEW inner_view AS SELECT ctid, tableoid, * FROM inbox WHERE id NOT IN (SELECT id FROM words WHERE ctid <> '(0,1)');
			CREATE VIEW notifications AS SELECT * FROM inner_view`, "inbox t, inner_view f, notifications f"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := adopt(t, test.create)
			if got := one[string](d, "SELECT string_agg(relation || ' ' || left(is_leaf::text, 1), ', ' ORDER BY relation::oid) FROM notification_tables()"); got != test.want {
				t.Errorf("found are %s, want %s", got, test.want)
			}
		})
	}
	d := newDatabase(t)
	d.rowsPerPage(1)
	d.insert(alice, "unread", 1, 10)
	const pages = "SELECT concat_ws(' ', pages, round(visible_share, 1)) FROM notification_tables()"
	if got := one[string](d, pages); got != "10 0.0" {
		t.Errorf("before VACUUM it has %s", got)
	}
	d.vacuum("notifications")
	if got := one[string](d, pages); got != "10 1.0" {
		t.Errorf("after VACUUM it has %s", got)
	}
}
