package undo

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestPurgesTheOldestFirstAndNoMoreThanMaxRows(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Expired)
	if n := pgtest.One[int](d, `SELECT purge_notifications(max_rows => 15)`); n != 15 {
		t.Errorf("purged %d, want 15", n)
	}
	if days := pgtest.One[int](d, `
		SELECT extract(day FROM now() - min(deleted_at))::integer FROM notifications`); days != 59 {
		t.Errorf("the oldest left is %d days old, want 59", days)
	}
}

func TestPurgesNeitherLiveNorYoungNorLockedNotifications(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Expired)
	d.Exec(`UPDATE notifications SET deleted_at = NULL WHERE id = md5('40')::uuid`)
	d.Exec(`
		UPDATE notifications
		SET deleted_at = now() - interval '40 days' + interval '1 minute'
		WHERE id = md5('39')::uuid`)
	d.OpenSession().Exec(`BEGIN; SELECT FROM notifications WHERE id = md5('38')::uuid FOR KEY SHARE`)
	if n := pgtest.One[int](d, `SELECT purge_notifications('40 days')`); n != 32 {
		t.Errorf("purged %d, want 32", n)
	}
	if n := pgtest.One[int](d, `
		SELECT count(*)
		FROM notifications
		WHERE id IN (md5('40')::uuid, md5('39')::uuid, md5('38')::uuid)`); n != 3 {
		t.Errorf("%d of live, young and locked are left, want 3", n)
	}
}

func TestPurgesWhatHasNoUserOrNoTime(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, pgtest.NullableTable)
	d.Exec(`
		INSERT INTO notifications (id, user_id, created_at, deleted_at)
		VALUES (1, NULL, now(), '2025-01-01Z'), (2, 'alice', NULL, '2025-01-01Z')`)
	if n := pgtest.One[int](d, "SELECT purge_notifications()"); n != 2 {
		t.Errorf("purged %d, want 2", n)
	}
}

func TestPurgeReadsItsIndexAndNotTheTable(t *testing.T) {
	t.Parallel()
	for name, analyze := range map[string]string{
		"with planner statistics": "VACUUM ANALYZE notifications",
		"without":                 "SELECT",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(`ALTER TABLE notifications SET (autovacuum_enabled = off)`)
			d.Exec(`
				INSERT INTO notifications (user_id, status, deleted_at)
				SELECT md5('u')::uuid, 'read', CASE WHEN i % 100 = 0 THEN timestamptz '2025-01-01' END
				FROM generate_series(1, 60000) AS i`)
			d.Exec(analyze)
			d.Exec(`SELECT pg_stat_reset()`)
			if n := pgtest.One[int](d, `SELECT purge_notifications(max_rows => 500)`); n != 500 {
				t.Fatalf("purged %d, want 500", n)
			}
			d.Eventually(`SELECT n_tup_del = 500 FROM pg_stat_user_tables WHERE relname = 'notifications'`)
			if got := pgtest.One[string](d, `
				SELECT row(seq_scan, idx_tup_fetch <= 1500)::text
				FROM pg_stat_user_tables
				WHERE relname = 'notifications'`); got != "(0,t)" {
				t.Errorf("scans of the table, and few rows read: %s, want (0,t)", got)
			}
		})
	}
}

func TestUndoRestoresWhatAPurgeLeaves(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	purge := d.OpenSession()
	purge.Exec("BEGIN; SELECT purge_notifications('1 microsecond', 300)")
	if n := pgtest.One[int](d, "SELECT restore_next_batch(1)"); n != 601 {
		t.Errorf("restored %d, want 601", n)
	}
	result := inBackground(d, "SELECT restore_next_batch(1)")
	d.Eventually(waits("restore_"))
	purge.Exec("COMMIT")
	if n := result(); n == nil || *n != 0 {
		t.Errorf("after the purge it is %v, want 0", n)
	}
	if got := restoreAll(d, 10); got != nil {
		t.Errorf("and then %d, want none", got)
	}
	wantRestored(d, 601, "")
}

func TestPurgeLeavesWhatAnUndoIsAt(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	undo := d.OpenSession()
	undo.Exec("BEGIN; SELECT restore_next_batch(1, 300)")
	if n := pgtest.One[int](d, "SELECT purge_notifications('1 microsecond')"); n != 601 {
		t.Errorf("purged %d, want 601", n)
	}
	undo.Exec("COMMIT")
	wantRestored(d, 300, "")
}
