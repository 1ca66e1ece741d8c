package lastword

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// rewrites move all rows to another file, or put another table into the place of the old one.
var rewrites = map[string][]string{
	"VACUUM FULL": {"VACUUM FULL notifications"},
	"CLUSTER":     {"CLUSTER notifications USING notifications_pkey"},
	"a type":      {"ALTER TABLE notifications ALTER message TYPE varchar(99)"},
	"TRUNCATE, and as before": {
		"CREATE TABLE saved AS TABLE notifications",
		"TRUNCATE notifications",
		"INSERT INTO notifications SELECT * FROM saved",
	},
	"another table": {
		"ALTER TABLE notifications RENAME TO former",
		"CREATE TABLE notifications (LIKE former INCLUDING ALL)",
		pgtest.Distribute,
		"INSERT INTO notifications SELECT * FROM former",
	},
}

func TestARunWhoseTableIsRewrittenIsPlannedAnew(t *testing.T) {
	t.Parallel()
	for name, rewrite := range rewrites {
		for _, caller := range []string{"procedure", "program"} {
			t.Run(name+" "+caller, func(t *testing.T) {
				t.Parallel()
				d := pgtest.New(t)
				d.Insert(pgtest.Alice, "read", 1, 1001)
				run := d.Plan("100, 100, batch_size => 300")
				d.Batch(run)
				// Some of the rows must not lie where they lay: those at the beginning have gone.
				d.Exec("DELETE FROM notifications WHERE " + pgtest.NotificationNumber + " IN (10, 20)")
				for _, statement := range rewrite {
					d.Exec(statement)
				}
				if caller == "program" {
					settings := map[string]string{"MAX_NOTIFICATIONS": "100"}
					if _, stderr, status := d.Program(settings, "run"); status != 0 {
						t.Fatalf("the program ends with %d: %s", status, stderr)
					}
				} else {
					session, notices := d.WithNotices()
					session.Exec("CALL cleanup_notifications_in_batches(100, 100, batch_size => 300)")
					if told := notices(); !strings.Contains(told, "run 1: given up, because its table") {
						t.Errorf("it was told %s", told)
					}
				}
				if got := d.Numbers("deleted_at IS NOT NULL"); got != "1-9 11-19 21-901" {
					t.Errorf("deleted are %s", got)
				}
				if run = d.Record(run); run.FinishedAt != nil {
					t.Errorf("the record is %+v", run)
				}
				d.WantQueue(0)
			})
		}
	}
}

// upheavals are what else may become of all rows in the middle of a run: the table stays in its
// file, or comes back from a dump.
var upheavals = map[string][]string{
	"each row deleted and inserted": {
		"CREATE TABLE saved AS TABLE notifications",
		"DELETE FROM notifications",
		"INSERT INTO notifications SELECT * FROM saved",
	},
	"each row updated": {"UPDATE notifications SET title = 'new'"},
	"a dump restored over it": {
		"CREATE TABLE saved AS TABLE notifications",
		"DROP TABLE notifications",
		"CREATE TABLE notifications (LIKE saved)",
		"ALTER TABLE notifications ADD PRIMARY KEY (id, user_id)",
		pgtest.Distribute,
		"INSERT INTO notifications SELECT * FROM saved",
	},
	"the files swapped": {
		"CREATE TABLE packed (LIKE notifications INCLUDING ALL)",
		"INSERT INTO packed SELECT * FROM notifications ORDER BY created_at DESC",
		"ALTER TABLE notifications RENAME TO former",
		"ALTER TABLE packed RENAME TO notifications",
		"DROP TABLE former",
		pgtest.Distribute,
	},
	"half deleted": {"DELETE FROM notifications WHERE " + pgtest.NotificationNumber + " % 2 = 0"},
	"half unread": {"UPDATE notifications SET status = 'unread' WHERE " +
		pgtest.NotificationNumber + " % 2 = 0"},
}

// Whatever happens, and wherever in the run: each finished run says what became of each
// notification that it planned, and nothing else was deleted than what the records say.
func TestAFinishedRunAccountsForAllThatItPlanned(t *testing.T) {
	t.Parallel()
	all := maps.Clone(rewrites)
	maps.Copy(all, upheavals)
	for name, upheaval := range all {
		for _, batches := range []int{0, 2, 4} { // of the four that there are
			t.Run(fmt.Sprint(name, " after ", batches), func(t *testing.T) {
				t.Parallel()
				d := pgtest.New(t)
				d.Insert(pgtest.Alice, "read", 1, 1001)
				run := d.Plan("100, 100, batch_size => 250")
				for range batches {
					d.Batch(run)
				}
				for _, statement := range upheaval {
					d.Exec(statement)
				}
				d.Exec("CALL cleanup_notifications_in_batches(100, 100, batch_size => 250)")
				d.WantAccounted(name)
				d.WantNone(name, "a record is not what was deleted", `
					WITH deleted AS (
						SELECT deleted_at, count(*) AS notifications
						FROM notifications
						GROUP BY deleted_at
					)
					SELECT r::text
					FROM notification_cleanup_runs AS r
					JOIN deleted AS d ON d.deleted_at = r.started_at
					WHERE r.notifications_deleted < d.notifications`)
				d.WantQueue(0)
				const over = "SELECT coalesce(sum(deletable_notifications), 0) FROM" +
					" preview_notification_cleanup(100, 100)"
				if n := pgtest.One[int](d, over); n != 0 {
					t.Errorf("%d are left to be deleted", n)
				}
			})
		}
	}
}
