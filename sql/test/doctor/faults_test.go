package doctor

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// A fault is done to a database with nothing in it.
type fault struct {
	do       string
	check    string // empty: nothing is wrong
	severity string
	also     string // another check that is wrong then
	says     []string
}

// leaveOpen plans a run and does no batch of it.
const leaveOpen = `
	INSERT INTO notifications (user_id, status, created_at)
	SELECT md5('1')::uuid, 'read', '2025-01-01' FROM generate_series(1, 5);
	SELECT plan_notification_cleanup(3, 1)`

// noop is followed by when the trigger fires.
const noop = `
	CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TRIGGER noop `

// withStatus inserts 20 notifications with this status, an SQL expression.
func withStatus(status string) string {
	return `
		INSERT INTO notifications (user_id, status, created_at)
		SELECT md5('1')::uuid, ` + status + `, '2025-01-01' FROM generate_series(1, 20) AS i;`
}

var faults = map[string]fault{
	"id is not unique": {
		do:       "ALTER TABLE notifications DROP CONSTRAINT notifications_pkey",
		check:    "table",
		severity: "failure",
		says: []string{
			"id has no unique index",
		},
	},
	"another type": {
		do: `DROP VIEW notification_cleanup_health;
			ALTER TABLE notifications ALTER created_at TYPE timestamp`,
		check:    "table",
		severity: "failure",
		also:     "rehearsal",
		says: []string{
			"created_at is timestamp without time zone, and was timestamp with time zone",
		},
	},
	"no live index": {
		do:       "DROP INDEX notifications_live_idx",
		check:    "indexes",
		severity: "warning",
		says: []string{
			"notifications has no valid one for live",
			"CREATE INDEX CONCURRENTLY notifications_live_idx ON",
		},
	},
	"no index for purge": {
		do:       "DROP INDEX notifications_deleted_idx",
		check:    "indexes",
		severity: "warning",
		says: []string{
			"no valid one for deleted",
			"CREATE INDEX CONCURRENTLY notifications_deleted_idx ON",
		},
	},
	"an invalid index": {
		do: `UPDATE pg_index SET indisvalid = false
			WHERE indexrelid = 'notifications_live_idx'::regclass`,
		check:    "indexes",
		severity: "warning",
		says: []string{
			"REINDEX INDEX CONCURRENTLY",
		},
	},
	"another index serves": {
		do: `CREATE INDEX mine ON notifications (user_id) WHERE deleted_at IS NULL;
			DROP INDEX notifications_live_idx`,
	},
	"a trigger": {
		do:       noop + "BEFORE UPDATE ON notifications FOR EACH ROW EXECUTE FUNCTION noop()",
		check:    "triggers",
		severity: "note",
		says: []string{
			"noop of notifications fires",
		},
	},
	"a trigger on deleted_at": {
		do: noop + `AFTER INSERT OR UPDATE OF status, deleted_at ON notifications
			EXECUTE FUNCTION noop()`,
		check:    "triggers",
		severity: "note",
		says: []string{
			"noop",
		},
	},
	"a trigger on others": {
		do: noop + "BEFORE UPDATE OF status ON notifications FOR EACH ROW EXECUTE FUNCTION noop()",
	},
	"a trigger on INSERT": {
		do: noop + "BEFORE INSERT OR DELETE ON notifications FOR EACH ROW EXECUTE FUNCTION noop()",
	},
	"a disabled trigger": {
		do: noop + `BEFORE UPDATE ON notifications FOR EACH ROW EXECUTE FUNCTION noop();
			ALTER TABLE notifications DISABLE TRIGGER noop`,
	},
	"a foreign key that cascades by an index": {
		do:       `CREATE TABLE t (id uuid PRIMARY KEY REFERENCES notifications ON DELETE CASCADE)`,
		check:    "foreign keys",
		severity: "ok",
	},
	"a foreign key that keeps": {
		do:       "CREATE TABLE t (id uuid PRIMARY KEY REFERENCES notifications)",
		check:    "foreign keys",
		severity: "note",
		says:     []string{"t refers to notifications, and keeps those from being purged"},
	},
	"a foreign key without an index": {
		do:       "CREATE TABLE t (id uuid REFERENCES notifications ON DELETE CASCADE)",
		check:    "foreign keys",
		severity: "note",
		says: []string{
			"t refers to notifications, and has no index for that: each one purged reads 0 pages",
			"CREATE INDEX CONCURRENTLY ON t (id);",
		},
	},
	"a foreign key of a large table without an index": {
		do: `CREATE TABLE t (id uuid REFERENCES notifications ON DELETE SET NULL, filler text);
			ALTER TABLE t ALTER filler SET STORAGE PLAIN;
			INSERT INTO t SELECT NULL, repeat('x', 6000) FROM generate_series(1, 1000);
			CREATE INDEX ON t (id) WHERE id IS NULL`,
		check:    "foreign keys",
		severity: "warning",
		says:     []string{"reads 1000 pages"},
	},
	"what refuses to be restored": {
		do: `INSERT INTO notification_cleanup_refused
				(operation, deleted_at, id, sqlstate, detail, relation, place)
			SELECT 'restore', now(), gen_random_uuid(), '23505', 'a twin', 1, '(0,1)'
			FROM generate_series(1, 3)`,
		check:    "refused",
		severity: "warning",
		says: []string{
			"restore: 3 refused, the last because a twin",
			"SELECT * FROM notification_cleanup_refused",
		},
	},
	"what refused long ago": {
		do: `INSERT INTO notification_cleanup_refused
				(operation, deleted_at, id, sqlstate, detail, relation, place, refused_at)
			VALUES ('purge', now(), gen_random_uuid(), '23503', 'a receipt', 1, '(0,1)',
				now() - interval '25 hours')`,
		check:    "refused",
		severity: "ok",
	},
	"a foreign key to what a foreign key takes along": {
		do: `CREATE TABLE t (id uuid PRIMARY KEY REFERENCES notifications ON DELETE CASCADE);
			CREATE TABLE u (id uuid REFERENCES t)`,
		check:    "foreign keys",
		severity: "note",
		says: []string{
			"u refers to t, and keeps those from being purged, and has no index for that",
			"CREATE INDEX CONCURRENTLY ON u (id);",
		},
	},
	"a foreign key of partitions": {
		do: `CREATE TABLE t (id uuid REFERENCES notifications ON DELETE CASCADE)
			PARTITION BY HASH (id);
			CREATE TABLE u PARTITION OF t FOR VALUES WITH (MODULUS 1, REMAINDER 0);
			CREATE INDEX ON t (id)`,
		check:    "foreign keys",
		severity: "ok",
	},
	"a foreign key to others that would go along": {
		do: `ALTER TABLE notifications ADD parent uuid REFERENCES notifications ON DELETE CASCADE;
			CREATE INDEX ON notifications (parent)`,
		check:    "foreign keys",
		severity: "note",
		says: []string{
			"notifications refers to notifications, and keeps those from being purged",
		},
	},
	"no replica identity": {
		do: `ALTER TABLE notifications REPLICA IDENTITY NOTHING;
			CREATE PUBLICATION p FOR TABLE notifications`,
		check:    "replica identity",
		severity: "failure",
		also:     "rehearsal",
		says: []string{
			"publication p",
			"ALTER TABLE notifications REPLICA IDENTITY FULL",
		},
	},
	"the identity is gone": {
		do: `CREATE UNIQUE INDEX i ON notifications (id);
			ALTER TABLE notifications REPLICA IDENTITY USING INDEX i;
			CREATE PUBLICATION p FOR ALL TABLES;
			CREATE UNIQUE INDEX j ON notifications (id);
			DROP INDEX i`,
		check:    "replica identity",
		severity: "failure",
		also:     "rehearsal",
		says: []string{
			"publication p",
		},
	},
	"a replica identity": {
		do: `CREATE PUBLICATION p FOR TABLE notifications;
			CREATE PUBLICATION q FOR ALL TABLES`,
	},
	"a full replica identity": {
		do: `ALTER TABLE notifications
				DROP CONSTRAINT notifications_pkey,
				ADD UNIQUE (id),
				REPLICA IDENTITY FULL;
			CREATE PUBLICATION p FOR TABLE notifications`,
	},
	"no updates are published": {
		do: `ALTER TABLE notifications REPLICA IDENTITY NOTHING;
			CREATE PUBLICATION p FOR TABLE notifications WITH (publish = 'insert')`,
	},
	"a suspension": {
		do:       "SELECT suspend_notification_cleanup('the disk is full')",
		check:    "suspension",
		severity: "warning",
		says: []string{
			"the job is suspended since",
			"by postgres: the disk is full",
			"SELECT resume_notification_cleanup();",
		},
	},
	"an old run": {
		do: `INSERT INTO notification_cleanup_runs
				(max_notifications, min_keep, started_at, finished_at)
			VALUES (9, 1, now() - interval '2 days', now() - interval '27 hours')`,
		check:    "last run",
		severity: "warning",
		says: []string{
			"ended 1 day 03:00:00 ago",
		},
	},
	"a run left": {
		do:       leaveOpen,
		check:    "unfinished runs",
		severity: "warning",
		says: []string{
			"run 1, 0 of 4 deleted",
			"max_notifications => 3, min_keep => 1",
		},
	},
	"a run of the future": {
		do: `INSERT INTO notification_cleanup_runs
				(max_notifications, min_keep, started_at, finished_at)
			VALUES (9, 1, now() - interval '2 minutes', now() - interval '1 minute'),
				(9, 1, now() - interval '1 minute', now() + interval '400 days')`,
		check:    "clock",
		severity: "warning",
		says:     []string{"run 2 is of the future, ", "Is the clock of the server right?"},
	},
	"the rows of the history without their sequence": {
		do: `SELECT cleanup_notifications();
			SELECT cleanup_notifications();
			ALTER TABLE notification_cleanup_runs ALTER id RESTART`,
		check:    "run ids",
		severity: "failure",
		says: []string{
			"new runs begin after 0, but there is run 2",
			"SELECT setval('public.notification_cleanup_runs_id_seq', 2);",
		},
	},
	"no identity of a table of ours": {
		do: `ALTER TABLE notification_cleanup_batches DROP CONSTRAINT notification_cleanup_batches_pkey;
			CREATE PUBLICATION p FOR ALL TABLES`,
		check:    "replica identity",
		severity: "failure",
		says: []string{
			"notification_cleanup_batches has none, for publication p",
			"ALTER TABLE notification_cleanup_batches REPLICA IDENTITY FULL",
		},
		also: "rehearsal",
	},
	"a run given up": {
		do: leaveOpen + "; SELECT restore_notifications(1)",
	},
	"deletes are published without an identity": {
		do: `ALTER TABLE notifications REPLICA IDENTITY NOTHING;
			CREATE PUBLICATION p FOR TABLE notifications WITH (publish = 'insert, delete')`,
		check:    "replica identity",
		severity: "failure",
		also:     "rehearsal",
		says:     []string{"publication p", "ALTER TABLE notifications REPLICA IDENTITY FULL"},
	},
	"a constraint that ties deleted_at": {
		do: withStatus("'read'") + `
			ALTER TABLE notifications ADD CONSTRAINT tied CHECK (deleted_at IS NULL)`,
		check:    "rehearsal",
		severity: "failure",
		says:     []string{"soft-delete: fails", `"tied"`, "Let the constraint allow"},
	},
	"statuses in capitals": {
		do:       withStatus("CASE WHEN i % 4 = 0 THEN 'READ' ELSE 'UNREAD' END"),
		check:    "statuses",
		severity: "warning",
		says:     []string{"of 20 live notifications looked at: 'UNREAD' 15, 'READ' 5", "a view"},
	},
	"no status at all": {
		do:       withStatus("NULL"),
		check:    "statuses",
		severity: "warning",
		says:     []string{"NULL 20"},
	},
	"all unread": {
		do: withStatus("'unread'"),
	},
	"some archived": {
		do: withStatus("CASE i WHEN 7 THEN 'read' ELSE 'archived' END"),
	},
	"statuses in capitals of deleted ones": {
		do: withStatus("'READ'") + "UPDATE notifications SET deleted_at = '2025-01-02'",
	},
	"live ones that are deleted at infinity": {
		do:       withStatus("'read'") + "UPDATE notifications SET deleted_at = 'infinity'",
		check:    "deletions",
		severity: "failure",
		says:     []string{"of 20 notifications looked at 0 are live, and 20", "set it to NULL"},
	},
	"live ones that are deleted at -infinity": {
		do: withStatus("'read'") +
			"ALTER TABLE notifications ALTER created_at DROP NOT NULL;" +
			"UPDATE notifications SET created_at = NULL, deleted_at = '-infinity'",
		check:    "deletions",
		severity: "failure",
		says:     []string{"0 are live, and 20"},
	},
	"some that are deleted in the future": {
		do: withStatus("'read'") + withStatus("'archived'") + `
			UPDATE notifications SET deleted_at = now() + interval '3 days' WHERE status = 'archived'`,
		check:    "deletions",
		severity: "warning",
		says:     []string{"of 40 notifications looked at 20 are live, and 20"},
	},
	"some that are deleted before they are there": {
		do: withStatus("'read'") + withStatus("'archived'") + `
			UPDATE notifications SET deleted_at = '1970-01-01' WHERE status = 'archived'`,
		check:    "deletions",
		severity: "warning",
		says:     []string{"of 40 notifications looked at 20 are live, and 20"},
	},
	"one of many that is deleted before it is there": {
		do: withStatus("'read'") + `
			UPDATE notifications SET deleted_at = '2025-01-02';
			UPDATE notifications SET deleted_at = '1970-01-01'
			WHERE id = (SELECT min(id::text)::uuid FROM notifications)`,
		check:    "deletions",
		severity: "note",
		says:     []string{"of 20 notifications looked at 0 are live, and 1"},
	},
	"deleted by a clock that is not quite right": {
		do: withStatus("'read'") + "UPDATE notifications SET deleted_at = '2024-12-31 12:00'",
	},
	"deleted, but created in the future": {
		do: withStatus("'read'") +
			"UPDATE notifications SET created_at = '9999-01-01', deleted_at = '2025-01-02'",
	},
	"nothing to delete": {
		do:       "SELECT",
		check:    "max_wal_size",
		severity: "ok",
		says:     []string{"there is nothing to delete"},
	},
	"read-only transactions for the session": {
		do:       "SET default_transaction_read_only = on",
		check:    "server",
		severity: "warning",
		says: []string{
			"default_transaction_read_only is on",
			"SET default_transaction_read_only = off",
		},
	},
}

func TestTheDoctorFindsEachFault(t *testing.T) {
	t.Parallel()
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(fault.do)
			wantFault(d, fault)
		})
	}
}

// wantFault compares what the doctor says.
func wantFault(d *pgtest.Database, fault fault) {
	d.T.Helper()
	for _, c := range examine(d) {
		said := fmt.Sprintf("%s: %s, %s -> %s", c.Name, c.Severity, c.Found, c.Advice)
		switch c.Name {
		case fault.check:
			if c.Severity != fault.severity {
				d.T.Errorf("it should be a %s: %s", fault.severity, said)
			}
			for _, words := range fault.says {
				if !strings.Contains(said, words) {
					d.T.Errorf("it says nothing of %q: %s", words, said)
				}
			}
		default:
			if c.ok() == (c.Name == fault.also) {
				d.T.Errorf("it should not be: %s", said)
			}
		}
	}
}

// firedBy are the tests of checks that take a server, a role or a table of another kind.
var firedBy = map[string]func(*testing.T){
	"rights":                TestTheGrantsThatTheDoctorNamesSuffice,
	"row-level security":    TestTheDoctorFindsRowLevelSecurityThatFilters,
	"grants":                TestTheDoctorNamesEverybodyElseWhoMayUseWhatIsOurs,
	"schemas":               TestTheDoctorFindsWhoMayCreateInAPinnedSchema,
	"vacuum":                TestTheDoctorWantsTheTableVacuumed,
	"max_wal_size":          TestTheDoctorWarnsOfABacklogThatMaxWalSizeIsTooSmallFor,
	"idle in transaction":   TestTheDoctorFindsWhoHoldsNotificationsAndDoesNothing,
	"prepared transactions": TestTheDoctorFindsPreparedTransactions,
}

// elsewhere are the files of tests in other suites.
var elsewhere = map[string]string{
	"pg_cron":         "sql/test/pgcron/doctor_test.go",
	"renamed schemas": "sql/test/adoption/renamed_test.go",
}

// That none fires without a fault, TestTheDoctorFindsNothingWrongAfterInstallation proves.
func TestEachCheckHasAFaultThatItFinds(t *testing.T) {
	t.Parallel()
	for _, check := range examine(pgtest.New(t)) {
		found := firedBy[check.Name] != nil
		for _, fault := range faults {
			found = found || fault.check == check.Name && fault.severity != "ok"
		}
		if path := elsewhere[check.Name]; path != "" {
			text, err := os.ReadFile(pgtest.Path(path))
			found = err == nil && strings.Contains(string(text), check.Name)
		}
		if !found {
			t.Errorf("no test makes %s fire", check.Name)
		}
	}
}
