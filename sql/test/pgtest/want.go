package pgtest

import (
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// WantCleanup calls the function, and compares the numbers of the notifications that it deleted
// ("1-901 950") and its counts.
func (d *Database) WantCleanup(arguments, deleted string, want Counts) Run {
	d.T.Helper()
	before := d.Numbers("deleted_at IS NOT NULL")
	run := d.Cleanup(arguments)
	d.WantDeletedBy(run, deleted, want)
	after := d.Numbers(fmt.Sprintf("deleted_at <> (%s)", StartedAtOf(run)))
	if after != before {
		d.T.Errorf("not by this run are deleted %q, want as before %q", after, before)
	}
	return run
}

// WantDeletedBy compares the numbers of the notifications that a run deleted, and its counts.
func (d *Database) WantDeletedBy(run Run, deleted string, want Counts) {
	d.T.Helper()
	if got := d.Numbers(fmt.Sprintf("deleted_at = (%s)", StartedAtOf(run))); got != deleted {
		d.T.Errorf("run %d deleted %q, want %q", run.ID, got, deleted)
	}
	if run.Counts != want {
		d.T.Errorf("run %d counted\n%+v, want\n%+v", run.ID, run.Counts, want)
	}
}

// WantRuns compares of each record the id, what was planned and deleted, the users cleaned, and
// whether it has no end.
func (d *Database) WantRuns(want ...string) {
	d.T.Helper()
	const records = `
		SELECT row(
			id,
			notifications_planned,
			notifications_deleted,
			users_cleaned,
			finished_at IS NULL
		)::text
		FROM notification_cleanup_runs
		ORDER BY id`
	if got := All[string](d, records); !slices.Equal(got, want) {
		d.T.Errorf("the records are %q, want %q", got, want)
	}
}

// WantQueue compares how many batches there are, of all runs, done or not.
func (d *Database) WantQueue(want int) {
	d.T.Helper()
	if got := One[int](d, "SELECT count(*) FROM notification_cleanup_batches"); got != want {
		d.T.Errorf("%d batches, want %d", got, want)
	}
}

// WantBatches compares how many notifications each batch lists that run 1 has left.
func (d *Database) WantBatches(want ...int) {
	d.T.Helper()
	const batches = `
		SELECT cardinality(places)
		FROM notification_cleanup_batches
		WHERE run_id = 1 AND done_at IS NULL
		ORDER BY number`
	if got := All[int](d, batches); !slices.Equal(got, want) {
		d.T.Errorf("the batches that are left list %d notifications, want %d", got, want)
	}
}

// WantEnded is for when no run should be open.
func (d *Database) WantEnded(after string) {
	d.T.Helper()
	d.WantNone(after, "the queue is not empty", `
		SELECT b::text FROM notification_cleanup_batches AS b
		UNION ALL
		SELECT o::text FROM notification_cleanup_open_runs AS o`)
	d.WantNone(after, "a run has no end",
		"SELECT r::text FROM notification_cleanup_runs AS r WHERE finished_at IS NULL")
}

// WantAccounted is for finished runs: each says what became of all that it planned.
func (d *Database) WantAccounted(after string) {
	d.T.Helper()
	d.WantNone(after, "a finished run does not account for all", `
		SELECT r::text
		FROM notification_cleanup_runs AS r
		WHERE finished_at IS NOT NULL
			AND notifications_planned <>
				notifications_deleted + notifications_skipped + notifications_changed`)
}

// WantNone runs a query that finds broken promises.
func (d *Database) WantNone(after, broken, query string) {
	d.T.Helper()
	if got := All[string](d, query); len(got) > 0 {
		d.T.Errorf("after %s, %s: %q", after, broken, got)
	}
}

// WantNothingLocked fails with 55P03 where something is.
func (d *Database) WantNothingLocked() {
	d.T.Helper()
	for _, session := range d.whereTheRowsAre() {
		for _, table := range session.tables() {
			session.Exec("SELECT FROM " + table + " FOR UPDATE NOWAIT")
		}
	}
	d.Exec("SELECT FROM notification_cleanup_runs FOR UPDATE NOWAIT")
	d.Exec("SELECT FROM notification_cleanup_batches FOR UPDATE NOWAIT")
	d.Exec("SELECT FROM notification_cleanup_open_runs FOR UPDATE NOWAIT")
}

// PreviewRow is a row of preview_notification_cleanup.
type PreviewRow struct {
	User      int   `db:"user_id"`
	Total     int64 `db:"total_notifications"`
	Unread    int64 `db:"unread_notifications"`
	Deletable int64 `db:"deletable_notifications"`
}

// PreviewOf is the row of a user.
func PreviewOf(user int, total, unread, deletable int64) PreviewRow {
	return PreviewRow{User: user, Total: total, Unread: unread, Deletable: deletable}
}

// Preview calls preview_notification_cleanup.
func (d *Database) Preview(arguments string) []PreviewRow {
	d.T.Helper()
	return Collect(d, pgx.RowToStructByName[PreviewRow], "SELECT "+UserNumber+" AS user_id,"+
		" total_notifications, unread_notifications, deletable_notifications"+
		" FROM preview_notification_cleanup("+arguments+")")
}

// WantPreview compares what preview_notification_cleanup says.
func (d *Database) WantPreview(arguments string, want ...PreviewRow) {
	d.T.Helper()
	if got := d.Preview(arguments); !slices.Equal(got, want) {
		d.T.Errorf("preview_notification_cleanup(%s) is\n%+v, want\n%+v", arguments, got, want)
	}
}

// WantStats compares total_notifications, users_with_notifications and users_over_limit.
func (d *Database) WantStats(arguments, want string) {
	d.T.Helper()
	got := One[string](d, "SELECT concat_ws(' ', total_notifications, users_with_notifications,"+
		" users_over_limit) FROM notification_stats("+arguments+")")
	if got != want {
		d.T.Errorf("notification_stats(%s) is %s, want %s", arguments, got, want)
	}
}
