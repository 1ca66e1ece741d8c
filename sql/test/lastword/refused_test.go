package lastword

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// One that refuses costs only itself, wherever the rows lie.
func TestWhatRefusesIsNotInTheWayOfTheOthers(t *testing.T) {
	t.Parallel()
	for operation, test := range map[string]struct {
		refuse []string // notification 5
		call   string
		code   string
	}{
		"restore": {
			refuse: []string{
				"CREATE UNIQUE INDEX ON notifications (user_id, title) WHERE deleted_at IS NULL",
				"UPDATE notifications SET title = 'taken' WHERE user_id = " +
					pgtest.Key(pgtest.Alice) + " AND id = " + pgtest.Key(5),
				"UPDATE notifications SET title = 'taken' WHERE user_id = " +
					pgtest.Key(pgtest.Alice) + " AND id = " + pgtest.Key(950),
			},
			call: "SELECT restore_next_batch(1, 400)",
			code: "23505",
		},
		"purge": {
			refuse: []string{
				"CREATE TABLE receipts (id uuid, user_id uuid)",
				distributeReceipts,
				"INSERT INTO receipts VALUES (" + pgtest.Key(5) + ", " +
					pgtest.Key(pgtest.Alice) + ")",
			},
			call: "SELECT purge_next_batch('1 microsecond', 400)",
			code: "23503",
		},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Insert(pgtest.Alice, "read", 1, 1001)
			d.Insert(pgtest.Bob, "read", 2001, 3001)
			d.Cleanup("")
			for _, statement := range test.refuse {
				d.Exec(statement)
			}
			done := 0
			for range 10 {
				n := pgtest.One[*int](d, test.call)
				if n == nil {
					break
				}
				done += *n
			}
			if done != 1801 {
				t.Errorf("%d are done, want 1801 of 1802", done)
			}
			if got := d.Numbers("deleted_at IS NOT NULL"); got != "5" {
				t.Errorf("left are %q, want 5", got)
			}
			if got := pgtest.All[string](d, `
				SELECT concat_ws(' ', operation, sqlstate)
				FROM notification_cleanup_refused`); len(got) != 1 || got[0] != operation+" "+test.code {
				t.Errorf("noted is %v", got)
			}
		})
	}
}

// distributeReceipts lets them refer to notifications, on a cluster by the user, too.
const distributeReceipts = `
	DO $$ BEGIN
		IF to_regclass('pg_dist_node') IS NULL THEN
			ALTER TABLE receipts ADD FOREIGN KEY (id) REFERENCES notifications (id);
		ELSE
			PERFORM create_distributed_table(
				'receipts', 'user_id', colocate_with => 'notifications'
			);
			ALTER TABLE receipts
			ADD FOREIGN KEY (id, user_id) REFERENCES notifications (id, user_id);
		END IF;
	END $$`
