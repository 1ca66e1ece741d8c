package run

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestReadsTheLiveIndexAndThenOnlyInboxesOverTheLimit(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Exec(`
		INSERT INTO notifications (user_id, status, deleted_at)
		SELECT md5('x')::uuid, 'read', '2025-06-01Z'
		FROM generate_series(1, 10000);
		INSERT INTO notifications (user_id, status)
		SELECT md5(i::text)::uuid, 'read'
		FROM generate_series(1, 200) AS i`)
	d.Exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
	d.Vacuum("notifications")
	d.Exec("SELECT pg_stat_reset()")
	d.Cleanup("")
	d.Eventually("SELECT n_tup_upd = 901 FROM pg_stat_user_tables WHERE relname = 'notifications'")
	if n := pgtest.One[int](d, `
		SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'notifications'`); n != 0 {
		t.Errorf("the table was read %d times", n)
	}
	if n := pgtest.One[int](d, `
		SELECT idx_scan
		FROM pg_stat_user_indexes
		WHERE indexrelname = 'notifications_live_idx'`); n > 20 {
		t.Errorf("the live index was looked up %d times, for one user of 201 over the limit", n)
	}
}

// Most of what a heavy user ever had is deleted by now. By the index of an application's inbox page
// all of that would be read again.
func TestABatchDoesNotReadWhatIsDeleted(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(`
		ALTER TABLE notifications SET (autovacuum_enabled = off);
		CREATE INDEX inbox ON notifications (user_id, created_at DESC)`)
	d.Insert(pgtest.Alice, "read", 1, 20000)
	d.Exec("UPDATE notifications SET deleted_at = '2025-06-01Z'")
	d.Insert(pgtest.Alice, "read", 20001, 21101)
	d.RowsPerPage(10)
	d.Insert(pgtest.Bob, "unread", 30001, 42000)
	d.Exec(`
		CREATE INDEX shuffled ON notifications (md5(id::text));
		CLUSTER notifications USING shuffled;
		DROP INDEX shuffled`)
	d.Vacuum("notifications")
	d.Plan("")
	d.WantBatches(1001)
	session := d.OpenSession() // which has no other statistics
	session.Exec("BEGIN")
	if n := session.Batch(pgtest.FirstRun); n != 1001 {
		t.Errorf("%d were deleted", n)
	}
	if n := pgtest.One[int](session, pgtest.RowsRead); n > 5000 {
		t.Errorf("%d rows were read, for 1101 live ones", n)
	}
}

// An inbox may be so large that the planner would rather read the whole table; the next time
// another one's, and so on.
func TestABatchOfSomeUsersReadsTheirInboxesOnly(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
	d.RowsPerPage(2)
	d.Insert(pgtest.Alice, "unread", 1, 1770)
	d.Insert(pgtest.Alice, "read", 1771, 1800)
	d.Insert(pgtest.Bob, "unread", 2001, 2200)
	d.Exec(`
		CREATE INDEX shuffled ON notifications (md5(id::text));
		CLUSTER notifications USING shuffled;
		DROP INDEX shuffled;
		ANALYZE notifications`)
	d.Plan("500, 10")
	d.WantBatches(20)
	session := d.OpenSession()
	session.Exec("BEGIN")
	if n := session.Batch(pgtest.FirstRun); n != 20 {
		t.Errorf("%d were deleted", n)
	}
	if n := pgtest.One[int](session, `
		SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'notifications'`); n != 0 {
		t.Errorf("%d rows of the table were read", n)
	}
}

func TestAnApplicationsOwnIndexDoesNotLeadThePlannerAstray(t *testing.T) {
	t.Parallel()
	for _, index := range []string{
		"(user_id)",
		"(created_at)",
		"(created_at) WHERE status = 'read'",
		"(status) WHERE deleted_at IS NULL",
		"(user_id) WHERE status = 'read' AND deleted_at IS NULL",
	} {
		prepare := func(d *pgtest.Database, n int) {
			d.Exec(
				"ALTER TABLE notifications SET (autovacuum_enabled = off); CREATE INDEX ON notifications " +
					index,
			)
			d.Insert(pgtest.Alice, "read", 1, n)
			d.Set("created_at = '2025-02-01Z'", 1, n)
			// The statistics say that nearly all users have one notification, each of its own time.
			if !strings.Contains(index, "WHERE") {
				d.Exec(`
					ALTER TABLE notifications ALTER user_id SET (n_distinct = -1),
						ALTER created_at SET (n_distinct = -1);
					ANALYZE notifications`)
			}
		}
		t.Run(index, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			prepare(d, 20000)
			// As in TestIsQuickWithoutPlannerStatistics: by that index, all of the inbox is read
			// again for each notification, for much longer than the statement_timeout.
			d.WantCleanup("", "1-19900", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 19900})
			d.Exec("UPDATE notifications SET deleted_at = NULL")
			d.WantCleanup(
				pgtest.UserIDs(pgtest.Alice),
				"1-19900",
				pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 19900},
			)
		})
		t.Run(index+" of some users", func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.RowsPerPage(1)
			prepare(d, 500)
			d.Plan("100, 10")
			d.WantBatches(490)
			session := d.OpenSession()
			session.Exec("BEGIN")
			if n := session.Batch(pgtest.FirstRun); n != 490 {
				t.Errorf("%d were deleted", n)
			}
			if n := pgtest.One[int](session, pgtest.RowsRead); n > 10000 {
				t.Errorf("%d rows were read, of 500", n)
			}
		})
	}
}

// A wrong guess of the planner must not make it look through a whole inbox, or all inboxes, for
// each notification.
func TestIsQuickWithoutPlannerStatistics(t *testing.T) {
	t.Parallel()
	var users []int
	for user := 1; user <= 21; user++ {
		users = append(users, user)
	}
	for _, arguments := range []string{"", pgtest.UserIDs(users...)} {
		t.Run(arguments, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
			for _, user := range users[:20] {
				d.Insert(user, "read", 2000*user, 2000*user+1000)
			}
			d.Insert(21, "read", 100001, 110000)
			// Takes half a second; longer than the statement_timeout if its cost is quadratic.
			if run := d.Cleanup(arguments); run.Deleted != 20*901+9900 {
				t.Errorf("deleted %d", run.Deleted)
			}
		})
	}
	t.Run("small inboxes", func(t *testing.T) {
		t.Parallel()
		d := pgtest.New(t)
		d.Exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
		d.Exec(`
			INSERT INTO notifications (user_id, status)
			SELECT md5(u::text)::uuid, 'read'
			FROM generate_series(1, 200) AS u, generate_series(1, 110)`)
		// As above, with inboxes that make reading the table cheaper than the primary key.
		if run := d.Cleanup("40, 10"); run.Deleted != 200*100 {
			t.Errorf("deleted %d", run.Deleted)
		}
	})
}
