package doctor

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestHealthIsOneRow(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	health := func() string {
		return pgtest.One[string](d, `
			SELECT row(last_outcome, minutes_since_last_finished, users_still_over_limit,
				runs_unfinished)::text
			FROM notification_cleanup_health`)
	}
	expect := func(want string) {
		t.Helper()
		if got := health(); got != want {
			t.Errorf("health is %s, want %s", got, want)
		}
	}
	expect(`("never ran",,,0)`)
	d.Exec(`SELECT cleanup_notifications()`)
	expect(`("nothing to delete",0,0,0)`)
	d.Exec(pgtest.Inboxes)
	d.Exec(`SELECT cleanup_notifications()`)
	expect(`(deleted,0,1,0)`)
	d.Exec(`INSERT INTO notification_cleanup_runs (max_notifications, min_keep) VALUES (1000, 100)`)
	d.Exec(`
		UPDATE notification_cleanup_runs
		SET finished_at = finished_at - interval '27 hours',
			started_at = started_at - interval '27 hours'`)
	expect(`(deleted,1620,1,1)`)
}

func TestHealthSaysWhatAwaitsAVacuumBehindAnyTable(t *testing.T) {
	t.Parallel()
	const columns = `(
		id bigint NOT NULL,
		user_id bigint NOT NULL,
		status text,
		created_at timestamptz,
		deleted_at timestamptz,
		PRIMARY KEY (id, user_id)
	)`
	for name, create := range map[string]string{
		"a view": `
			CREATE TABLE rows ` + columns + `;
			CREATE VIEW notifications AS SELECT ctid, tableoid, * FROM rows`,
		"a child by INHERITS": `
			CREATE TABLE notifications ` + columns + `;
			CREATE TABLE rows () INHERITS (notifications)`,
		"a partition": `
			CREATE TABLE notifications ` + columns + ` PARTITION BY HASH (user_id);
			CREATE TABLE rows PARTITION OF notifications FOR VALUES WITH (MODULUS 1, REMAINDER 0)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, create)
			d.Exec("ALTER TABLE rows SET (autovacuum_enabled = off)")
			d.Exec(`
				INSERT INTO rows
				SELECT i, 1, 'read', timestamptz '2025-01-01Z' + i * interval '1 minute'
				FROM generate_series(1, 1001) AS i`)
			d.Exec("VACUUM rows")
			d.Cleanup("")
			d.Eventually("SELECT notifications_to_vacuum = 901 FROM notification_cleanup_health")
			d.Vacuum("rows")
			d.Eventually("SELECT notifications_to_vacuum = 0 FROM notification_cleanup_health")
		})
	}
}

func TestHealthOfARunOfTheFuture(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	expect := func(want string) {
		t.Helper()
		if got := pgtest.One[string](d, `
			SELECT row(last_outcome, minutes_since_last_finished, runs_unfinished)::text
			FROM notification_cleanup_health`); got != want {
			t.Errorf("health is %s, want %s", got, want)
		}
	}
	insert := func(age, end string) {
		t.Helper()
		d.Exec(`
			INSERT INTO notification_cleanup_runs
				(max_notifications, min_keep, started_at, finished_at)
			VALUES (9, 1, now() - interval '` + age + `', now() - interval '` + end + `')`)
	}
	insert("26 hours 1 second", "26 hours")
	expect(`("nothing to delete",1560,0)`)
	insert("-400 days", "-400 days -1 second")
	expect(`("in the future",1560,0)`)
	wantWrong(d, "last run, clock", "clock: warning", "run 2 is of the future, ")
	d.Exec("UPDATE notification_cleanup_runs SET finished_at = NULL WHERE id = 2")
	expect(`("in the future",1560,0)`)
	insert("3 minutes", "2 minutes 1 second")
	expect(`("nothing to delete",2,0)`)
	insert("1 second", "-30 seconds") // by another server's clock
	expect(`("nothing to delete",0,0)`)
}

func TestHealthCountsWhatRefusedWithinTheLastDay(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	d.Exec("ALTER TABLE notifications ADD CHECK (deleted_at IS NOT NULL OR " +
		pgtest.NotificationNumber + " > 2)")
	d.Exec("SELECT restore_next_batch(1)")
	const refused = "SELECT notifications_refused FROM notification_cleanup_health"
	if got := pgtest.One[int](d, refused); got != 2 {
		t.Errorf("health counts %d, want 2", got)
	}
	d.Exec("UPDATE notification_cleanup_refused SET refused_at = refused_at - interval '25 hours'")
	if got := pgtest.One[int](d, refused); got != 0 {
		t.Errorf("a day later health counts %d, want 0", got)
	}
}
