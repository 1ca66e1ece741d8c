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

// With these limits, 50 of the notifications of eachRoom go.
const limits = "50, 10"

// eachRoom runs a test for alice with 60 notifications on pages that are full or have room. The new
// versions of those on the first page lie on another page, or on the same: that is a HOT update.
func eachRoom(t *testing.T, test func(d *pgtest.Database, moveFirstPage func(*pgtest.Database))) {
	t.Parallel()
	for _, hot := range []bool{false, true} {
		t.Run(fmt.Sprint("HOT ", hot), func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
			if hot {
				d.Exec("ALTER TABLE notifications SET (fillfactor = 30)")
			} else {
				d.RowsPerPage(10)
			}
			d.Insert(pgtest.Alice, "read", 1, 60)
			test(d, func(session *pgtest.Database) {
				session.Move(heapPage + " = 0")
				if stays := countOf(session, "title = 'moved' AND "+heapPage+" = 0") > 0; stays != hot {
					t.Errorf("some new versions lie on the same page: %v", stays)
				}
			})
		})
	}
}

// A new version of a row lies in another place, even if nothing else about it has changed. It is
// left, and the next run judges it anew. After VACUUM the place of a former version may lead to the
// new one.
func TestWhatMovesAfterThePlanIsLeft(t *testing.T) {
	eachRoom(t, func(d *pgtest.Database, moveFirstPage func(*pgtest.Database)) {
		d.Plan(limits + ", batch_size => 10")
		d.WantBatches(10, 10, 10, 10, 10)
		moveFirstPage(d.OpenSession())
		d.Vacuum("notifications")
		run, err := d.StartBatches().Wait()
		if err != nil {
			d.T.Fatal(err)
		}
		doomed := pgtest.NotificationNumber + " <= 50"
		left := d.Numbers("title = 'moved' AND " + doomed)
		n := countOf(d, "title IS NULL AND "+doomed)
		if n == 50 {
			d.T.Fatal("none has moved")
		}
		d.WantDeletedBy(
			run,
			d.Numbers("title IS NULL AND "+doomed),
			pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: n, Changed: 50 - n},
		)
		d.WantEnded("the run")
		// The next run takes them, if the user is over its limit.
		d.WantCleanup("10, 10", left, pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 50 - n})
	})
}

// PostgreSQL may or may not look again where such a one is. Either way it is counted as what it
// becomes.
func TestWhatMovesUnderABatchIsCountedAsItBecomes(t *testing.T) {
	eachRoom(t, func(d *pgtest.Database, moveFirstPage func(*pgtest.Database)) {
		wantCountedAsItBecomes(d, moveFirstPage, false)
	})
}

func TestWhatIsHeldWhileItMovesIsSkipped(t *testing.T) {
	eachRoom(t, func(d *pgtest.Database, moveFirstPage func(*pgtest.Database)) {
		wantCountedAsItBecomes(d, moveFirstPage, true)
	})
}

// wantCountedAsItBecomes moves the first page when a batch has its snapshot, and commits that
// before the batch goes on, or holds it until the batch has ended.
func wantCountedAsItBecomes(
	d *pgtest.Database,
	moveFirstPage func(*pgtest.Database),
	held bool,
) {
	d.T.Helper()
	d.Plan(limits)
	d.WantBatches(50)
	d.Pause()
	var other *pgtest.Database
	run, err := d.WhileWaiting(d.StartBatches, func(session *pgtest.Database) {
		other = session
		other.Exec("BEGIN")
		moveFirstPage(other)
		if !held {
			other.Exec("COMMIT")
		}
	})
	if err != nil {
		d.T.Fatal(err)
	}
	other.Exec("COMMIT")
	moved := countOf(d, "title = 'moved' AND "+pgtest.NotificationNumber+" <= 50")
	taken := countOf(d, "title = 'moved' AND deleted_at IS NOT NULL")
	if moved == 0 || held && taken > 0 {
		d.T.Fatalf("%d have moved, and %d of them were taken", moved, taken)
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
}
