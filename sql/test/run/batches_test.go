package run

import (
	"fmt"
	"slices"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// One worker stands in the middle of a batch, with the only user there is.
func TestNoWorkerWaitsForAnotherOnesUser(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	run := d.Plan("batch_size => 100")
	goOn := d.PauseAt(350)
	for range 3 {
		d.Batch(run)
	}
	deleted := d.BatchInBackground(run)
	worker := d.OpenSession()
	worker.Exec("SET lock_timeout = '1ms'") // so it would fail
	for _, want := range []int{100, 100, 100, 100, 100, 1, 0} {
		if got := worker.Batch(run); got != want {
			t.Errorf("a batch deleted %d, want %d", got, want)
		}
	}
	goOn()
	if got := deleted(); got != 100 {
		t.Errorf("the batch in the middle deleted %d, want 100", got)
	}
	d.Drain(run)
	d.WantDeletedBy(d.Record(run), "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestABatchThatBrokeOffIsFreeAgain(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	run := d.Plan("batch_size => 500")
	other := d.OpenSession()
	other.Exec("BEGIN")
	other.Batch(run)
	other.Exec("ROLLBACK")
	if batches := fmt.Sprint(d.Drain(run)); batches != "[500 401]" {
		t.Errorf("the batches deleted %s, want [500 401]", batches)
	}
	d.WantDeletedBy(d.Record(run), "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestBatchesAreOfEvenSizeWhereTheVictimsLieUnevenly(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)       // four a page
	d.Insert(pgtest.Bob, "read", 2001, 3001)     // some seventy a page
	d.InsertWide(pgtest.Carol, 4001, 4700, 1)    // one in two pages
	d.Insert(pgtest.Carol, "unread", 5001, 6001) // none
	d.InsertWide(pgtest.Carol+1, 7001, 8001, 0)  // four a page
	run := d.Plan("batch_size => 300")
	batches := d.Drain(run)
	if len(batches) > 15 || slices.Max(batches) > 400 {
		t.Errorf("the batches deleted %v, want about 300 each", batches)
	}
	d.WantDeletedBy(
		d.Record(run),
		"1-901 2001-2901 4001-4600 7001-7901",
		pgtest.Counts{OverLimit: 4, Cleaned: 4, StillOver: 1, Deleted: 3303},
	)
}

// scanned does a batch in a session of its own, and returns how many rows the scans of the table
// met.
func scanned(d *pgtest.Database, run pgtest.Run) (deleted, rows int) {
	d.T.Helper()
	session := d.OpenSession()
	session.Exec("BEGIN")
	deleted = session.Batch(run)
	rows = pgtest.One[int](session, `
		SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'notifications'`)
	session.Exec("COMMIT")
	return deleted, rows
}

var withAndWithoutStatistics = map[string]string{
	"with planner statistics": "ANALYZE notifications",
	"without":                 "SELECT",
}

func TestAThinPlanReadsTheInboxesAndNotTheTable(t *testing.T) {
	t.Parallel()
	for name, analyze := range withAndWithoutStatistics {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
			d.InsertWide(pgtest.Alice, 1, 40, 5)
			d.InsertWide(pgtest.Bob, 101, 140, 5)
			d.Exec(analyze)
			run := d.Plan("20, 10, 30")
			if got := fmt.Sprint(pgtest.All[string](d, `
				SELECT row(first_user, end_user, low)::text
				FROM notification_cleanup_batches
				ORDER BY number`)); got != "[(1,2,) (2,3,)]" {
				t.Errorf("the batches are %s, want a user each, for all pages", got)
			}
			for _, want := range []string{"1-30", "1-30 101-130"} {
				if deleted, rows := scanned(d, run); deleted != 30 || rows != 0 {
					t.Errorf("deleted %d, and met %d rows of the table", deleted, rows)
				}
				if got := d.Numbers("deleted_at IS NOT NULL"); got != want {
					t.Errorf("deleted are %q, want %q", got, want)
				}
			}
		})
	}
}

func TestADensePlanReadsThePagesOfItsRangesAndNoOther(t *testing.T) {
	t.Parallel()
	for name, analyze := range withAndWithoutStatistics {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
			d.InsertWide(pgtest.Alice, 1, 201, 0)
			// Between those of alice lies a gap of more pages than a batch may read in vain.
			d.InsertWide(pgtest.Bob, 1001, 1040, 5)
			d.InsertWide(pgtest.Alice, 2001, 2200, 0)
			d.Exec(analyze)
			run := d.Plan("100, 0, 100")
			for range 5 {
				// To lock, to update, and to count what is left.
				if deleted, rows := scanned(d, run); rows < deleted || rows > 3*deleted+24 {
					t.Errorf("deleted %d, and met %d rows of the table", deleted, rows)
				}
			}
			d.Drain(run)
			d.WantDeletedBy(
				d.Record(run),
				"1-201 2001-2200",
				pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 401},
			)
		})
	}
}

func TestAUserWithMoreThanABatchIsSplitByPages(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
	d.InsertWide(pgtest.Alice, 1, 300, 3)
	d.InsertWide(pgtest.Bob, 1001, 1040, 3)
	run := d.Plan("20, 10, 100")
	if batches := fmt.Sprint(d.Drain(run)); batches != "[100 100 90 30]" {
		t.Errorf("the batches deleted %s, want three of alice, and one of bob", batches)
	}
	d.WantDeletedBy(
		d.Record(run),
		"1-290 1001-1030",
		pgtest.Counts{OverLimit: 2, Cleaned: 2, Deleted: 320},
	)
}

// A run of a billion notifications has 100,000 batches; to look through them each time would cost
// as much as half a batch.
func TestABatchIsFoundWithoutLookingAtThoseThatAreDone(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	run := d.Plan("batch_size => 100, pause_factor => 0.001")
	d.Exec(`
		INSERT INTO notification_cleanup_batches (run_id, low, high, done)
		SELECT 1, '(0,0)', '(1,0)', true
		FROM generate_series(1, 5000)`)
	session := d.OpenSession() // which has no other statistics
	session.Exec("BEGIN")
	session.Batch(run)
	if n := pgtest.One[int](session, `
		SELECT coalesce(idx_tup_fetch, 0) + seq_tup_read
		FROM pg_stat_xact_user_tables
		WHERE relname = 'notification_cleanup_batches'`); n > 20 {
		t.Errorf("%d batches were read", n)
	}
}
