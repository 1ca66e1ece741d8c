package adoption

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestCreatedAtWithoutTimeZoneIsReadAsUTC(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"UTC", "Asia/Kolkata", "America/New_York"} {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, `CREATE TABLE notifications (id bigint PRIMARY KEY, user_id bigint,
				status text, created_at timestamp(0))`)
			d.Exec(`INSERT INTO notifications
				SELECT i, 1, 'read', timestamp '2025-01-01 00:00' + i * interval '1 minute'
				FROM generate_series(1, 1100) AS i`)
			const createdAt = `
				SELECT format_type(typbasetype, typtypmod)
				FROM pg_type
				WHERE oid = 'notification_created_at'::regtype`
			if got := pgtest.One[string](d, createdAt); got != "timestamp without time zone" {
				t.Errorf("notification_created_at is %s", got)
			}
			d.Exec(
				"ALTER TABLE notification_cleanup_runs ALTER started_at SET DEFAULT '2025-01-01 00:10Z';" +
					" SET timezone = '" + zone + "'",
			)
			d.Cleanup("min_keep => 0, user_ids => '{1}'")
			if got := d.Numbers("deleted_at IS NOT NULL"); got != "1-10" {
				t.Errorf("deleted are %s, want 1-10", got)
			}
		})
	}
}

func TestAUserMayGoInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	const goes = "DELETE FROM users WHERE id = '00000000000000000000000000000001'"
	for name, meanwhile := range map[string]func(d, application *pgtest.Database) (skipped int){
		"between two batches": func(d, application *pgtest.Database) int {
			application.Exec(goes)
			d.Drain(pgtest.FirstRun)
			return 0
		},
		"and be on the way": func(d, application *pgtest.Database) int {
			application.Exec("BEGIN; " + goes)
			d.Drain(pgtest.FirstRun) // waits for nobody
			application.Exec("COMMIT")
			return 850
		},
		"and wait for a batch": func(d, application *pgtest.Database) int {
			d.Exec("BEGIN")
			if n := d.Batch(pgtest.FirstRun); n < 1 {
				d.T.Errorf("the batch deleted %d", n)
			}
			gone := application.StartCalls(goes, "SELECT * FROM notification_cleanup_runs WHERE id = 1")
			d.Eventually(pgtest.Blocked)
			d.Exec("COMMIT")
			if _, err := gone.Wait(); err != nil {
				d.T.Error(err)
			}
			d.Drain(pgtest.FirstRun)
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, userWithNotifications)
			d.Plan("batch_size => 100")
			first := d.Batch(pgtest.FirstRun)
			skipped := meanwhile(d, d.OpenSession())
			d.WantEnded("the run")
			if run := d.Record(pgtest.FirstRun); first < 1 || run.Skipped != int64(skipped) ||
				run.Deleted < int64(first) ||
				run.Cleaned != 1 {
				t.Errorf("after a first batch of %d the record is %+v, want %d skipped", first, run, skipped)
			}
			if got := d.Numbers("true"); got != "2001-4001" {
				t.Errorf("%s are left, want those of the others", got)
			}
		})
	}
}

// userWithNotifications is a table whose rows go with their users: one user is over the limit, the
// others are not.
const userWithNotifications = `
	CREATE TABLE users (id uuid PRIMARY KEY);
	INSERT INTO users SELECT lpad(i::text, 32, '0')::uuid FROM generate_series(1, 3) AS i;
	CREATE TABLE notifications (
		id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
		user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
		message text,
		status varchar(20) DEFAULT 'unread',
		created_at timestamptz DEFAULT now()
	);
	CREATE INDEX ON notifications (user_id, status, created_at DESC);
	INSERT INTO notifications
	SELECT
		lpad(i::text, 32, '0')::uuid,
		lpad(inbox.owner::text, 32, '0')::uuid,
		repeat('x', 200),
		inbox.status,
		timestamptz '2025-01-01 00:00Z' + i * interval '1 minute'
	FROM (VALUES
		(1, 1, 50, 'unread'),
		(1, 51, 1100, 'read'),
		(2, 2001, 3000, 'read'),
		(3, 3001, 4001, 'unread')
	) AS inbox (owner, first, last, status)
	CROSS JOIN generate_series(inbox.first, inbox.last) AS i`
