package run

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// What a job of the application may do to the first of three partitions, in which notifications 1
// to 29 lie, in the middle of a run. What goes with it, no run can clean up.
var partitionsChanged = map[string]struct {
	statements string
	deleted    string // in the end
	goesOn     bool   // and is not planned anew
}{
	"dropped": {
		statements: "DROP TABLE p0",
		deleted:    "30-50",
	},
	"detached": {
		statements: "ALTER TABLE notifications DETACH PARTITION p0",
		deleted:    "30-50",
	},
	"detached concurrently": {
		statements: `
			ALTER TABLE notifications DETACH PARTITION p2;
			ALTER TABLE notifications ATTACH PARTITION p2
			FOR VALUES FROM ('2025-01-01 01:00Z') TO (MAXVALUE);
			ALTER TABLE notifications DETACH PARTITION p0 CONCURRENTLY`,
		deleted: "30-50",
	},
	"replaced": {
		statements: `
			ALTER TABLE notifications DETACH PARTITION p0;
			ALTER TABLE p0 RENAME TO former;
			CREATE TABLE p0 PARTITION OF notifications
			FOR VALUES FROM (MINVALUE) TO ('2025-01-01 00:30Z');
			INSERT INTO notifications SELECT * FROM former`,
		deleted: "1-50",
	},
	"split": {
		statements: `
			ALTER TABLE notifications DETACH PARTITION p0;
			CREATE TABLE p00 PARTITION OF notifications
			FOR VALUES FROM (MINVALUE) TO ('2025-01-01 00:15Z');
			CREATE TABLE p01 PARTITION OF notifications
			FOR VALUES FROM ('2025-01-01 00:15Z') TO ('2025-01-01 00:30Z');
			INSERT INTO notifications SELECT * FROM p0`,
		deleted: "1-50",
	},
	"attached again": {
		statements: `
			ALTER TABLE notifications DETACH PARTITION p0;
			ALTER TABLE notifications ATTACH PARTITION p0
			FOR VALUES FROM (MINVALUE) TO ('2025-01-01 00:30Z')`,
		deleted: "1-50",
		goesOn:  true,
	},
	"renamed": {
		statements: "ALTER TABLE p0 RENAME TO first; CREATE TABLE p0 ()",
		deleted:    "1-50",
		goesOn:     true,
	},
	"in another schema": {
		statements: "CREATE SCHEMA former; ALTER TABLE p0 SET SCHEMA former",
		deleted:    "1-50",
		goesOn:     true,
	},
	"a new one beside it": {
		statements: `
			ALTER TABLE notifications DETACH PARTITION p2;
			CREATE TABLE p3 PARTITION OF notifications
			FOR VALUES FROM ('2025-02-01Z') TO ('2025-03-01Z');
			ALTER TABLE notifications ATTACH PARTITION p2 DEFAULT`,
		deleted: "1-50",
		goesOn:  true,
	},
}

func TestAPartitionMayGoInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	for name, change := range partitionsChanged {
		for _, caller := range []string{"procedure", "program"} {
			t.Run(name+", "+caller, func(t *testing.T) {
				t.Parallel()
				d := pgtest.NewOf(t, "range of time")
				d.Insert(pgtest.Alice, "read", 1, 60)
				run := d.Plan("25, 10, batch_size => 7")
				d.Batch(run)
				for _, statement := range strings.Split(change.statements, ";") {
					d.Exec(statement)
				}
				if caller == "program" {
					_, stderr, status := d.Program(nil,
						"--max-notifications", "25", "--min-keep", "10", "--batch-size", "7")
					if status != 0 {
						t.Fatalf("exit status %d: %s", status, stderr)
					}
				} else {
					d.Exec("CALL cleanup_notifications_in_batches(25, 10, batch_size => 7)")
				}
				if got := d.Numbers("deleted_at IS NOT NULL"); got != change.deleted {
					t.Errorf("deleted are %s, want %s", got, change.deleted)
				}
				if goesOn := d.Record(run).FinishedAt != nil; goesOn != change.goesOn {
					t.Errorf("the run went on: %v", goesOn)
				}
				d.WantAccounted(name)
				d.WantQueue(0)
			})
		}
	}
}
