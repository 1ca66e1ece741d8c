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

// A range of pages has an end, and each page is swept once. What the application moves out of it
// meanwhile is left, and not counted as skipped.
func TestWhatMovesFromItsRangeIsLeft(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		move  func(t *testing.T, d *pgtest.Database)
		moved string // where to, when the run has ended
	}{
		"to a page already swept": {func(t *testing.T, d *pgtest.Database) {
			if n := d.Batch(pgtest.FirstRun); n < 1 {
				t.Errorf("the first batch is %d", n)
			}
			d.Vacuum("notifications")
			d.OpenSession().Move(heapPage + " = 5")
		}, heapPage + " = 0"},
		"to a new page": {
			func(_ *testing.T, d *pgtest.Database) { d.Move(heapPage + " = 0") },
			heapPage + " > 5",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, limits := sixPages(t)
			d.Plan(limits + ", batch_size => 1")
			d.WantBatches(6, false)
			test.move(t, d)
			if d.Numbers("title = 'moved' AND deleted_at IS NULL AND "+test.moved) == "" {
				t.Fatal("none has moved there")
			}
			run, err := d.StartBatches().Wait()
			if err != nil {
				t.Fatal(err)
			}
			left := d.Numbers("title = 'moved' AND " + pgtest.NotificationNumber + " <= 50")
			stay := d.Numbers("title IS NULL AND " + pgtest.NotificationNumber + " <= 50")
			n := countOf(d, "title IS NULL AND "+pgtest.NotificationNumber+" <= 50")
			d.WantDeletedBy(run, stay, pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: n})
			if got := d.Numbers("deleted_at IS NULL AND " + pgtest.NotificationNumber +
				" <= 50"); got != left {
				t.Errorf("left are %q, want those that moved: %q", got, left)
			}
			d.WantEnded("the run")
			// The next run takes them, if the user is over its limit.
			d.WantCleanup("10, 10", left, pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 50 - n})
		})
	}
}

func TestWhatMovesToAPageThatIsSweptLaterGoesWithThat(t *testing.T) {
	t.Parallel()
	d, limits := sixPages(t)
	d.Plan(limits + ", batch_size => 1")
	d.Exec("DELETE FROM notifications WHERE " + heapPage + " = 3")
	d.Vacuum("notifications")
	d.OpenSession().Move(heapPage + " = 0")
	if d.Numbers(
		"title = 'moved' AND "+pgtest.NotificationNumber+" <= 50 AND "+heapPage+" = 3",
	) == "" {
		t.Fatal("none has moved there")
	}
	want := d.Numbers(pgtest.NotificationNumber + " <= 50 AND " + heapPage + " < 6")
	n := countOf(d, ""+pgtest.NotificationNumber+" <= 50 AND "+heapPage+" < 6")
	run, err := d.StartBatches().Wait()
	if err != nil {
		t.Fatal(err)
	}
	d.WantDeletedBy(run, want, pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: n})
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
			d.WantBatches(1, false)
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
			}
			left := d.Numbers(
				pgtest.NotificationNumber + " <= 50 AND (title IS NULL OR deleted_at IS NOT NULL)",
			)
			d.WantDeletedBy(run, left, want)
			d.WantEnded("the run")
		})
	}
}
