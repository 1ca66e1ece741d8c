package adoption

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// plain is an application's table without any index of ours.
const plain = `
	CREATE TABLE notifications (
		id bigint PRIMARY KEY,
		user_id bigint,
		status text,
		created_at timestamptz,
		deleted_at timestamptz
	);`

// former is a table that was renamed away, with the indexes that it had.
const former = plain + `
	CREATE INDEX notifications_live_idx ON notifications (user_id) WHERE deleted_at IS NULL;
	CREATE INDEX notifications_deleted_idx ON notifications (deleted_at) WHERE deleted_at IS NOT NULL;
	ALTER TABLE notifications RENAME TO former;
	ALTER INDEX notifications_pkey RENAME TO former_pkey;`

// partitioned has a partition.
const partitioned = `
	CREATE TABLE notifications (
		id bigint,
		user_id bigint,
		status text,
		created_at timestamptz,
		deleted_at timestamptz,
		PRIMARY KEY (id, user_id)
	) PARTITION BY HASH (user_id);
	CREATE TABLE part PARTITION OF notifications FOR VALUES WITH (MODULUS 1, REMAINDER 0);`

const (
	// allIndexes is a query for the indexes in the schema with their tables.
	allIndexes = `
		SELECT string_agg(
			concat_ws(' ', indexname, 'on', tablename, split_part(indexdef, 'btree ', 2)), '; '
			ORDER BY tablename, indexname
		)
		FROM pg_indexes
		WHERE schemaname = 'public'
			AND tablename !~ 'cleanup'
			AND indexname !~ 'pkey'`
	indexesToBuild = "SELECT count(statement) FROM notification_cleanup_indexes()"
)

func TestNamesOfIndexesThatAreTakenElsewhere(t *testing.T) {
	t.Parallel()
	const liveAt = "on notifications (user_id) WHERE (deleted_at IS NULL)"
	const goneAt = "on notifications (deleted_at) WHERE (deleted_at IS NOT NULL)"
	for name, test := range map[string]struct {
		create    string
		installed []string // besides what there was
		stays     string   // after down, besides what there was
	}{
		"by a table that was renamed": {
			create:    former + plain,
			installed: []string{"notifications_live_idx1 " + liveAt, "notifications_deleted_idx1 " + goneAt},
		},
		"by a table that was renamed, and a partitioned one is new": {
			create: former + partitioned,
			installed: []string{
				"notifications_live_idx1 on notifications ",
				"notifications_deleted_idx1 on notifications ",
				"part_user_id_idx on part (user_id) WHERE (deleted_at IS NULL)",
			},
		},
		"by a table that was renamed, and none is new": {
			create: former,
			installed: []string{
				"notifications_user_id_created_at_idx on notifications (user_id, created_at DESC)" +
					" WHERE (deleted_at IS NULL)",
				"notifications_deleted_idx1 " + goneAt,
			},
			stays: "notifications_user_id_created_at_idx on notifications (user_id, created_at DESC)" +
				" WHERE (deleted_at IS NULL)",
		},
		"by an index of other columns": {
			create: plain + `
				CREATE INDEX notifications_live_idx ON notifications (status);
				CREATE UNIQUE INDEX notifications_deleted_idx ON notifications (id)`,
			installed: []string{"notifications_live_idx1 " + liveAt, "notifications_deleted_idx1 " + goneAt},
		},
		"by an index that serves": {
			create: plain + `
				CREATE INDEX notifications_live_idx ON notifications (user_id, created_at)
				WHERE deleted_at IS NULL`,
			installed: []string{"notifications_deleted_idx " + goneAt},
		},
		"by something else": {
			create:    plain + "CREATE VIEW notifications_live_idx AS SELECT 1 AS one",
			installed: []string{"notifications_live_idx1 " + liveAt, "notifications_deleted_idx " + goneAt},
		},
		"by nothing": {
			create:    plain,
			installed: []string{"notifications_live_idx " + liveAt, "notifications_deleted_idx " + goneAt},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Empty(t)
			d.Exec(test.create)
			before := pgtest.One[*string](d, allIndexes)
			_, stderr, status := d.Program(nil, "migrate", "up")
			if status != 0 {
				t.Fatal(stderr)
			}
			renamed := strings.Contains(strings.Join(test.installed, " "), "_idx1")
			if warned := strings.Contains(stderr, "its name is taken"); warned != renamed &&
				!strings.Contains(test.create, "PARTITION") {
				t.Errorf("it says %s", stderr)
			}
			after := pgtest.One[string](d, allIndexes)
			for _, index := range append(test.installed, parts(before)...) {
				if !strings.Contains(after, index) {
					t.Errorf("there is no %s: %s", index, after)
				}
			}
			if n := pgtest.One[int](d, indexesToBuild); n != 0 {
				t.Errorf("%d are to be built: %s", n, after)
			}
			if _, stderr, _ := d.Program(nil, "migrate", "up"); strings.Contains(stderr, "INDEX") {
				t.Errorf("again it says %s", stderr)
			}
			d.MigrateDown()
			var want []string
			if test.stays != "" {
				want = []string{test.stays}
			}
			want = append(want, parts(before)...)
			left := pgtest.One[*string](d, allIndexes)
			if len(parts(left)) != len(want) {
				t.Errorf("after down there are %q, want %q", parts(left), want)
			}
			for _, index := range want {
				if !strings.Contains(*left, index) {
					t.Errorf("after down there is no %s: %s", index, *left)
				}
			}
		})
	}
}

func parts(indexes *string) []string {
	if indexes == nil {
		return nil
	}
	return strings.Split(*indexes, "; ")
}

// The migration judges an index of the application as notification_cleanup_indexes() does.
func TestPlainGooseBuildsNoIndexBesideOneThatServes(t *testing.T) {
	t.Parallel()
	pgtest.Slow(t)
	const index = "CREATE INDEX ON notifications "
	for name, create := range map[string]string{
		"none":              "SELECT",
		"the same":          index + "(user_id) WHERE deleted_at IS NULL",
		"of an inbox":       index + "(user_id, created_at DESC) WHERE deleted_at IS NULL",
		"of all":            index + "(user_id)",
		"of both":           index + "(user_id, deleted_at)",
		"of all, included":  index + "(user_id) INCLUDE (deleted_at)",
		"of read ones":      index + "(user_id) WHERE deleted_at IS NULL AND status = 'read'",
		"another order":     index + "(created_at, user_id) WHERE deleted_at IS NULL",
		"no order":          index + "USING hash (user_id) WHERE deleted_at IS NULL",
		"deleted":           index + "(deleted_at)",
		"deleted, wider":    index + "(deleted_at DESC, id) WHERE deleted_at IS NOT NULL",
		"deleted, no order": index + "USING hash (deleted_at)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, judged := pgtest.Empty(t), pgtest.Adopt(t, plain)
			judged.Exec("DROP INDEX notifications_live_idx, notifications_deleted_idx")
			judged.Exec(create)
			const missing = `
				SELECT coalesce(string_agg(purpose, ' ' ORDER BY purpose), '')
				FROM notification_cleanup_indexes()
				WHERE index IS NULL`
			want := pgtest.One[string](judged, missing)
			d.Exec(plain + create)
			d.ApplyMigrations()
			got := pgtest.One[string](d, `
				SELECT coalesce(string_agg(split_part(indexname, '_', 2), ' ' ORDER BY indexname), '')
				FROM pg_indexes
				WHERE indexname IN ('notifications_live_idx', 'notifications_deleted_idx')`)
			if got != want {
				t.Errorf("built are %q, want %q", got, want)
			}
			if n := pgtest.One[int](d, indexesToBuild); n != 0 {
				t.Errorf("%d are to be built", n)
			}
		})
	}
}

func TestTheStandInForIndexesIsFoundOnAnyPath(t *testing.T) {
	t.Parallel()
	for _, create := range []string{
		partitioned,
		former + plain,
		plain + "CREATE INDEX ON notifications (user_id, created_at) WHERE deleted_at IS NULL",
	} {
		d := pgtest.Empty(t)
		d.Exec(create)
		d.Exec(pgtest.SetSearchPath("public, pg_temp"))
		before := pgtest.One[*string](d, allIndexes)
		d.Migrate()
		if n := pgtest.One[int](d, indexesToBuild); n != 0 {
			t.Errorf("%d are to be built", n)
		}
		d.MigrateDown()
		after := pgtest.One[*string](d, allIndexes)
		if strings.Join(parts(after), " ") != strings.Join(parts(before), " ") {
			t.Errorf("there were %q, are %q", parts(before), parts(after))
		}
	}
}
