package concurrency

import (
	"fmt"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// countOf counts the notifications that satisfy the condition.
func countOf(d *pgtest.Database, condition string) int64 {
	d.T.Helper()
	return pgtest.One[int64](d, "SELECT count(*) FROM notifications WHERE "+condition)
}

// heapPage is where a notification lies.
const heapPage = "(ctid::text::point)[0]"

// sixPages gives alice 60 notifications on six full pages, of which 50 are to go.
func sixPages(t *testing.T) (d *pgtest.Database, limits string) {
	d = pgtest.New(t)
	d.Exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
	d.RowsPerPage(10)
	d.Insert(pgtest.Alice, "read", 1, 60)
	return d, "50, 10"
}

// A new version of a row lies in another place, even if nothing else about it has changed. It is
// left, and the next run judges it anew.
func TestWhatMovesAfterThePlanIsLeft(t *testing.T) {
	t.Parallel()
	d, limits := sixPages(t)
	d.Plan(limits + ", batch_size => 10")
	d.WantBatches(10, 10, 10, 10, 10)
	d.OpenSession().Move(heapPage + " = 0")
	run, err := d.StartBatches().Wait()
	if err != nil {
		t.Fatal(err)
	}
	doomed := pgtest.NotificationNumber + " <= 50"
	left := d.Numbers("title = 'moved' AND " + doomed)
	n := countOf(d, "title IS NULL AND "+doomed)
	if n == 50 {
		t.Fatal("none has moved")
	}
	d.WantDeletedBy(
		run,
		d.Numbers("title IS NULL AND "+doomed),
		pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: n, Changed: 50 - n},
	)
	d.WantEnded("the run")
	// The next run takes them, if the user is over its limit.
	d.WantCleanup("10, 10", left, pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 50 - n})
}

// PostgreSQL may or may not look again where such a one is. Either way it is counted as what it
// becomes.
func TestWhatMovesUnderABatchIsCountedAsItBecomes(t *testing.T) {
	t.Parallel()
	for _, held := range []bool{false, true} {
		t.Run(fmt.Sprint("held ", held), func(t *testing.T) {
			t.Parallel()
			d, limits := sixPages(t)
			d.Plan(limits)
			d.WantBatches(50)
			d.Pause()
			var other *pgtest.Database
			run, err := d.WhileWaiting(d.StartBatches, func(session *pgtest.Database) {
				other = session
				other.Exec("BEGIN")
				other.Move(heapPage + " = 0")
				if !held {
					other.Exec("COMMIT")
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			other.Exec("COMMIT")
			moved := countOf(d, "title = 'moved' AND "+pgtest.NotificationNumber+" <= 50")
			taken := pgtest.One[int64](d, `
				SELECT count(deleted_at) FROM notifications WHERE title = 'moved'`)
			if moved == 0 || held && taken > 0 {
				t.Fatalf("%d have moved, and %d of them were taken", moved, taken)
			}
			want := pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 50 - moved + taken}
			if held {
				want.Skipped = moved
			} else {
				want.Changed = moved - taken
			}
			left := d.Numbers(
				pgtest.NotificationNumber + " <= 50 AND (title IS NULL OR deleted_at IS NOT NULL)",
			)
			d.WantDeletedBy(run, left, want)
			d.WantEnded("the run")
		})
	}
}
