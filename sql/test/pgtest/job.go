package pgtest

import (
	"fmt"
	"maps"
	"slices"
)

// WantJob does all that the product does, on any fixture: it looks, runs in each of the Ways and
// undoes each run in the way that goes with it, asks the doctor, and purges. Of the notifications
// those go, and nothing else changes; their numbers are like "1-901 950".
func (d *Database) WantJob(went string) {
	d.T.Helper()
	live := d.Numbers("deleted_at IS NULL")
	d.wantForeseen(went)
	for _, way := range slices.Sorted(maps.Keys(Ways)) {
		d.Note("-- the " + way)
		Ways[way](d)
		if got := d.Numbers("deleted_at IS NOT NULL"); got != went {
			d.T.Errorf("the %s deleted %q, want %q", way, got, went)
		}
		d.wantTrueRecord(way)
		d.undo(way)
		if got := d.Numbers("deleted_at IS NULL"); got != live {
			d.T.Errorf("after the undo of the %s %q are live, want %q", way, got, live)
		}
	}
	d.WantEnded("the job")
	d.WantNone("the job", "the doctor finds a failure", `
		SELECT format('%s: %s', name, found)
		FROM notification_cleanup_doctor()
		WHERE severity = 'failure'`)

	d.Exec("SELECT cleanup_notifications()")
	if _, stderr, status := d.Program(nil, "purge", "--retention", "1us"); status != 0 {
		d.T.Errorf("purge: exit status %d: %s", status, stderr)
	}
	if got := d.Numbers("deleted_at IS NOT NULL"); got != "" {
		d.T.Errorf("after the purge %q are still there", got)
	}
}

// wantForeseen compares what the previews say with what is to go.
func (d *Database) wantForeseen(went string) {
	d.T.Helper()
	want := len(Numbered(went))
	for _, preview := range []string{
		"preview_notification_cleanup()",
		"preview_notification_limits('{1000}')",
	} {
		const deletable = "SELECT coalesce(sum(deletable_notifications), 0)::integer FROM "
		if got := One[int](d, deletable+preview); got != want {
			d.T.Errorf("%s says %d, want %d", preview, got, want)
		}
	}
}

// wantTrueRecord compares the record of the last run with what it did.
func (d *Database) wantTrueRecord(way string) {
	d.T.Helper()
	d.WantNone("the "+way, "the record is not true", `
		SELECT r::text
		FROM notification_cleanup_runs AS r
		WHERE r.id = (SELECT max(id) FROM notification_cleanup_runs)
			AND (
				r.finished_at IS NULL
				OR r.notifications_planned <> r.notifications_deleted
				OR r.notifications_deleted <> (
					SELECT count(*) FROM notifications AS n WHERE n.deleted_at = r.started_at
				)
			)`)
}

// undo restores the last run: at once, in batches, or by the program.
func (d *Database) undo(way string) {
	d.T.Helper()
	run := One[int](d, "SELECT max(id) FROM notification_cleanup_runs")
	switch way {
	case "program":
		_, stderr, status := d.Program(nil, "restore", fmt.Sprint(run))
		if status != 0 {
			d.T.Errorf("restore: exit status %d: %s", status, stderr)
		}
	case "procedure":
		const batch = "SELECT restore_next_batch(%d, 500) IS NULL"
		for !One[bool](d, fmt.Sprintf(batch, run)) {
		}
	default:
		d.Exec(fmt.Sprintf("SELECT restore_notifications(%d)", run))
	}
}
