package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestEachPartitionGetsBothIndexes(t *testing.T) {
	t.Parallel()
	for kind, create := range pgtest.Partitioned {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Empty(t)
			d.Exec(create)
			_, stderr := migrateTo(t, d, "up")
			want := []string{`"P 3"`, "notifications", "p1", "p2"}
			if kind == "range of hash" {
				want = []string{"notifications", `other."P 3"`, "other.p2", "other.sub", "p1"}
			}
			d.WantIndexes(want...)
			if n := strings.Count(stderr, "CREATE INDEX CONCURRENTLY"); n != 6 {
				t.Errorf("%d are built CONCURRENTLY, want 6: %s", n, stderr)
			}
			if _, stderr = migrateTo(t, d, "up"); strings.Contains(stderr, "INDEX") {
				t.Errorf("again it says %s", stderr)
			}
			if n := pgtest.One[int](d, `
				SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()`); n != 0 {
				t.Errorf("%d temporary objects left", n)
			}
			migrateTo(t, d, "down")
			if got := pgtest.One[string](d, pgtest.IndexesOfPartitions); got != "" {
				t.Errorf("after down there are %s", got)
			}
		})
	}
}

func TestIndexesOfPartitionsAreBuiltAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	d.Exec(pgtest.Partitioned["range"])
	d.Exec(pgtest.SetForDatabase("lock_timeout = '100ms'"))
	d.Exec("BEGIN; LOCK TABLE p2 IN ROW EXCLUSIVE MODE") // CONCURRENTLY waits for it in the middle
	_, stderr, status := command(t, d, nil, "migrate", "up")
	d.Exec("COMMIT")
	const half = "p1 (user_id) WHERE (deleted_at IS NULL) t, " +
		"p2 (user_id) WHERE (deleted_at IS NULL) f"
	if got := pgtest.One[string](d, pgtest.IndexesOfPartitions); status != 1 ||
		!strings.Contains(stderr, "55P03") ||
		got != half {
		t.Fatalf("exit status %d, stderr %s, and there are %s", status, stderr, got)
	}
	migrateTo(t, d, "up")
	d.WantIndexes(`"P 3"`, "notifications", "p1", "p2")
}

func TestAnIndexOfTheApplicationServesUnderAnyName(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	d.Exec(pgtest.Partitioned["hash"])
	d.Exec(`CREATE INDEX mine ON p1 (user_id) WHERE deleted_at IS NULL;
		CREATE INDEX wider ON p2 (user_id, created_at) WHERE deleted_at IS NULL;
		CREATE INDEX bare ON notifications (deleted_at);
		CREATE INDEX no_key ON "P 3" (created_at, user_id) WHERE deleted_at IS NULL;
		CREATE INDEX no_condition ON "P 3" (user_id);
		CREATE INDEX other_condition ON "P 3" (user_id)
		WHERE deleted_at IS NULL AND status = 'read';
		CREATE INDEX no_order ON "P 3" USING hash (user_id) WHERE deleted_at IS NULL`)
	_, stderr := migrateTo(t, d, "up")
	if n := strings.Count(stderr, "CREATE INDEX"); n != 1 ||
		!strings.Contains(
			stderr,
			`CREATE INDEX CONCURRENTLY ON public.\"P 3\" (user_id) WHERE (deleted_at IS NULL)`,
		) {
		t.Errorf("built are %d, want that of P 3: %s", n, stderr)
	}
	const serving = `
		SELECT string_agg(index::text, ' ' ORDER BY index::text COLLATE "C")
		FROM notification_cleanup_indexes()
		WHERE purpose IS NOT NULL`
	const want = `"P 3_deleted_at_idx" "P 3_user_id_idx" mine p1_deleted_at_idx` +
		` p2_deleted_at_idx wider`
	if got := pgtest.One[string](d, serving); got != want {
		t.Errorf("%s serve", got)
	}
}

func TestARunNamesThePartitionsWithoutAnIndex(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, pgtest.Partitioned["range"])
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Exec(`
		DROP INDEX notifications_live_idx;
		CREATE INDEX ON p1 (user_id) WHERE deleted_at IS NULL;
		CREATE INDEX ON p2 (user_id) WHERE deleted_at IS NULL`)
	_, stderr, status := command(t, d, nil)
	const says = `level=WARN msg="no valid index serves the cleanup on \"P 3\""` +
		` hint="notification-cleanup migrate up`
	if status != 0 || !strings.Contains(stderr, says) {
		t.Errorf("exit status %d, stderr %s", status, stderr)
	}
	migrateTo(t, d, "up")
	d.Exec("SELECT restore_notifications(1)")
	if _, stderr, status := command(t, d, nil); status != 0 || strings.Contains(stderr, "WARN") {
		t.Errorf("when it is built, exit status %d, stderr %s", status, stderr)
	}
}

func TestMigrateUpBuildsAnIndexThatIsGoneOrInvalid(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(`
		DROP INDEX notifications_live_idx;
		UPDATE pg_index SET indisvalid = false
		WHERE indexrelid = 'notifications_deleted_idx'::regclass`)
	migrateTo(t, d, "up")
	if n := pgtest.One[int](d, `
		SELECT count(*)
		FROM pg_index
		WHERE indexrelid IN (
				'notifications_live_idx'::regclass,
				'notifications_deleted_idx'::regclass
			)
			AND indisvalid`); n != 2 {
		t.Errorf("%d of 2 indexes are valid", n)
	}
}

func TestMigrateUpPrintsTheIndexesThatAViewLacks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		create []string
		prints []string
	}{
		"view": {pgtest.InboxView, []string{
			"CREATE INDEX CONCURRENTLY ON public.messages (recipient) WHERE (removed_at IS NULL);",
			"CREATE INDEX CONCURRENTLY ON public.messages (removed_at)" +
				" WHERE (removed_at IS NOT NULL);"}},
		"view of a view": {[]string{
			`
				CREATE TABLE "In Box" (id bigint PRIMARY KEY, kind varchar(10), number integer,
					"Read" boolean, made timestamp(0), gone timestamptz)`,
			`
				CREATE VIEW users_inbox AS
				SELECT *, ctid, tableoid FROM "In Box" AS n WHERE kind IN ('user', 'n.')`,
			`
				CREATE VIEW notifications AS SELECT ctid, tableoid, id, kind || number AS user_id,
					CASE WHEN "Read" THEN 'read' ELSE 'unread' END AS status, made AS created_at,
					gone AS deleted_at
				FROM users_inbox`}, []string{
			`CREATE INDEX CONCURRENTLY ON public."In Box" ((((kind)::text || (number)::text)))` +
				` INCLUDE (kind, number)` +
				` WHERE ((gone IS NULL) AND ((kind)::text = ANY ('{user,n.}'::text[])));`,
			`CREATE INDEX CONCURRENTLY ON public."In Box" (gone)` +
				` WHERE ((gone IS NOT NULL) AND ((kind)::text = ANY ('{user,n.}'::text[])));`}},
		"view of a partitioned table": {[]string{
			pgtest.Partitioned["range"],
			`ALTER TABLE notifications RENAME TO inbox; ALTER TABLE inbox RENAME user_id TO owner`,
			`
				CREATE VIEW notifications AS
				SELECT ctid, tableoid, id, owner AS user_id, status, created_at, deleted_at
				FROM inbox`}, []string{
			"CREATE INDEX CONCURRENTLY ON public.p1 (owner) WHERE (deleted_at IS NULL);",
			"CREATE INDEX CONCURRENTLY ON public.p2 (owner) WHERE (deleted_at IS NULL);",
			`CREATE INDEX CONCURRENTLY ON public."P 3" (owner) WHERE (deleted_at IS NULL);`,
			"SET LOCAL statement_timeout = '2s';" +
				" CREATE INDEX ON public.inbox (owner) WHERE (deleted_at IS NULL);",
			"CREATE INDEX CONCURRENTLY ON public.p1 (deleted_at) WHERE (deleted_at IS NOT NULL);",
			"CREATE INDEX CONCURRENTLY ON public.p2 (deleted_at) WHERE (deleted_at IS NOT NULL);",
			`CREATE INDEX CONCURRENTLY ON public."P 3" (deleted_at) WHERE (deleted_at IS NOT NULL);`,
			"SET LOCAL statement_timeout = '2s';" +
				" CREATE INDEX ON public.inbox (deleted_at) WHERE (deleted_at IS NOT NULL);"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Empty(t)
			for _, statement := range test.create {
				d.Exec(statement)
			}
			d = d.OpenSession()
			const warning = "no valid index serves the cleanup on"
			if _, stderr := migrateTo(t, d, "up"); !strings.Contains(stderr, warning) {
				t.Errorf("when it is installed, stderr is %s", stderr)
			}
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
					t.Errorf("prints\n%s\nwant\n%s",
						strings.Join(got, "\n"), strings.Join(test.prints, "\n"))
				}
			}
			for _, statement := range test.prints {
				d.Exec(statement)
			}
			if got := printed(); got != nil {
				t.Errorf("when all are built, prints %q", got)
			}
			migrateTo(t, d, "down")
			if _, stderr := migrateTo(t, d, "up"); strings.Contains(stderr, "WARN") {
				t.Errorf("when it is installed with all of them, stderr is %s", stderr)
			}
		})
	}
}
