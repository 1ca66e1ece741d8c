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
