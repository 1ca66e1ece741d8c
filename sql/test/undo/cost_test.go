package undo

import (
	"fmt"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// kindsOfTables are what undo and purge must be quick on; their indexes are the owner's to make
// where a migration does not.
var kindsOfTables = map[string][]string{
	"a table": {
		tableWith("notifications", "(id)"),
	},
	"hash partitions": {
		tableWith("notifications", "(id, user_id)") + ` PARTITION BY HASH (user_id)`,
		partitions(`WITH (MODULUS 16, REMAINDER %s)', i, i)`),
		indexesOf("notifications"),
	},
	"time partitions": {
		tableWith("notifications", "(id, created_at)") + ` PARTITION BY RANGE (created_at)`,
		partitions(`FROM (%L) TO (%L)',
			i,
			timestamptz '2025-01-01Z' + i * interval '2 days',
			timestamptz '2025-01-01Z' + (i + 1) * interval '2 days')`),
		indexesOf("notifications"),
	},
	"a view": {
		tableWith("messages", "(id)"),
		indexesOf("messages"),
		`CREATE SCHEMA cleanup;
		CREATE VIEW cleanup.notifications AS SELECT ctid, tableoid, * FROM messages`,
		pgtest.SetSearchPath("cleanup, public"),
	},
}

func tableWith(name, primaryKey string) string {
	return `
		CREATE TABLE ` + name + ` (
			id bigint NOT NULL,
			user_id bigint,
			status text,
			created_at timestamptz,
			deleted_at timestamptz,
			PRIMARY KEY ` + primaryKey + `
		)`
}

func indexesOf(table string) string {
	return fmt.Sprintf(`
		CREATE INDEX ON %[1]s (user_id) WHERE deleted_at IS NULL;
		CREATE INDEX ON %[1]s (deleted_at) WHERE deleted_at IS NOT NULL`, table)
}

// partitions makes 16 of them. Their bounds are the end of a call of format.
func partitions(bounds string) string {
	return `
		DO $$ BEGIN
			FOR i IN 0..15 LOOP
				EXECUTE format('CREATE TABLE p%s PARTITION OF notifications FOR VALUES ` + bounds + `;
			END LOOP;
		END $$`
}

// beliefs are what the planner may take to be true of the 12,000 notifications of kept: they fill
// the table, which is emptied and filled with kept afterwards. TRUNCATE leaves what ANALYZE found,
// and no dead rows, which VACUUM may have to leave to whoever may still see them.
var beliefs = map[string]string{
	"statistics":    `INSERT INTO notifications SELECT * FROM kept; ANALYZE`,
	"no statistics": `SELECT`,
	"all live": `
		INSERT INTO notifications
		SELECT id, user_id, status, created_at, NULL
		FROM kept;
		ANALYZE`,
	"all deleted": `
		INSERT INTO notifications
		SELECT id, user_id, status, created_at, '2025-05-01Z'
		FROM kept;
		ANALYZE`,
	"hardly any": `
		INSERT INTO notifications
		SELECT *
		FROM kept
		WHERE id <= 100;
		ANALYZE`,
}

// withoutAutovacuum is for all tables, so that nothing but the test changes what the planner
// believes.
const withoutAutovacuum = `
	DO $$
	DECLARE
		r regclass;
	BEGIN
		FOR r IN
			SELECT oid
			FROM pg_class
			WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
		LOOP
			EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', r);
		END LOOP;
	END $$`

// kept makes 12,000 notifications in a table of that name, half of them deleted by run 1.
const kept = `
	CREATE TABLE kept AS
	SELECT
		i::bigint AS id,
		i % 150 AS user_id,
		'read' AS status,
		timestamptz '2025-01-01Z' + i * interval '3 minutes' AS created_at,
		CASE
			WHEN i % 2 = 0 THEN timestamptz '2025-05-01Z'
			WHEN i % 10 = 1 THEN '2025-06-01Z'
		END AS deleted_at
	FROM generate_series(1, 12000) AS i;
	INSERT INTO notification_cleanup_runs (max_notifications, min_keep, started_at)
	VALUES (1, 1, '2025-05-01Z')`

// A call reads neither the table, nor a run to its end, nor each partition for each notification.
func TestUndoAndPurgeReadTheirBatchAndNoMore(t *testing.T) {
	t.Parallel()
	for kind, statements := range kindsOfTables {
		for name, believe := range beliefs {
			t.Run(kind+", "+name, func(t *testing.T) {
				t.Parallel()
				d := pgtest.Adopt(t, statements...)
				d.Exec(withoutAutovacuum)
				table := map[bool]string{false: "notifications", true: "messages"}[kind == "a view"]
				d.Exec("CREATE INDEX ON " + table + " (user_id, deleted_at)")
				d.Exec(kept)
				d.Exec(strings.ReplaceAll(believe, "notifications", table))
				d.Exec("TRUNCATE " + table + "; INSERT INTO " + table + " SELECT * FROM kept")
				if !strings.HasPrefix(name, "no") {
					d.Exec("VACUUM")
				}
				for _, call := range []string{
					"SELECT restore_next_batch(1, 1000)",
					"SELECT purge_notifications('1 day', 1000)",
				} {
					for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
						session := d.OpenSession() // which has no other statistics
						session.Exec("SET plan_cache_mode = " + mode + "; BEGIN; SAVEPOINT first")
						wantFewRead(session, call, mode)
						session.Exec("ROLLBACK")
					}
				}
			})
		}
	}
}

// wantFewRead executes a call for 1000 notifications in a transaction that has a savepoint first.
func wantFewRead(session *pgtest.Database, call, mode string) {
	session.T.Helper()
	session.Exec(call + "; ROLLBACK TO first") // so that catalogs are known
	const read = `
		SELECT sum(pg_stat_get_xact_numscans(oid) + pg_stat_get_xact_tuples_returned(oid))::integer
		FROM pg_class
		WHERE relkind IN ('r', 'i') AND relname !~ '^notification_cleanup|^pg_'`
	if n := pgtest.One[int](session, read); n > 3000 {
		session.T.Errorf(
			"with %s %s made %d scans and read that many rows, for 1000 notifications",
			mode,
			call,
			n,
		)
	}
	plan := pgtest.Decode[[]struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}](session.T, pgtest.One[string](session, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+call))
	if n := plan[0].Plan.Hit + plan[0].Plan.Read; n > 16000 {
		session.T.Errorf("with %s %s read %d pages, for 1000 notifications", mode, call, n)
	}
}
