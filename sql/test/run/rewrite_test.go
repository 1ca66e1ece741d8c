package run

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// rewrites move all rows to another file, or put another table into the place of the old one.
var rewrites = map[string]string{
	"VACUUM FULL": "VACUUM FULL notifications",
	"CLUSTER":     "CLUSTER notifications USING notifications_pkey",
	"a type": `
		ALTER TABLE notifications ALTER message TYPE varchar(99)`,
	"TRUNCATE, and as before": `
		CREATE TABLE saved AS TABLE notifications;
		TRUNCATE notifications;
		INSERT INTO notifications SELECT * FROM saved`,
	"another table": `
		ALTER TABLE notifications RENAME TO former;
		CREATE TABLE notifications (LIKE former INCLUDING ALL);
		INSERT INTO notifications SELECT * FROM former`,
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
				d.Exec(rewrite)
				if caller == "program" {
					if _, stderr, status := d.Program(map[string]string{"MAX_NOTIFICATIONS": "100"}, "run"); status != 0 {
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
