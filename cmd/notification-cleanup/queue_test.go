package main

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
)

// wide gives the user notifications of which four fill a page, in the order of their numbers; between them lie pages without any of his.
func (d *database) wide(user, first, last, emptyPages int) {
	d.t.Helper()
	d.exec(fmt.Sprintf(`ALTER TABLE notifications ALTER message SET STORAGE PLAIN;
INSERT INTO notifications (id, user_id, status, created_at, message)
SELECT CASE WHEN page = 0 THEN lpad(i::text, 32, '0')::uuid ELSE gen_random_uuid() END, CASE WHEN page = 0 THEN %[1]s ELSE gen_random_uuid() END, 'read',
	timestamptz '2025-01-01 00:00Z' + i * interval '1 minute', repeat('x', CASE WHEN page = 0 AND %[4]d > 0 THEN 7500 ELSE 1900 END)
FROM generate_series(%[2]d, %[3]d) AS i, generate_series(0, %[4]d * 4) AS page ORDER BY i, page`, key(user), first, last, emptyPages))
}

func (d *database) plan(arguments string) runRecord {
	d.t.Helper()
	call := "SELECT * FROM plan_notification_cleanup(" + arguments + ")"
	d.note(call)
	return collect(d, pgx.RowToStructByName[runRecord], call)[0]
}

// batch calls cleanup_next_batch, and returns -1 for NULL.
func (d *database) batch(run runRecord) int {
	d.t.Helper()
	call := fmt.Sprintf("SELECT coalesce(cleanup_next_batch(%d), -1)", run.ID)
	d.note(call)
	return one[int](d, call)
}

// drain does the batches of a run that are left, and returns how many notifications each deleted.
func (d *database) drain(run runRecord) (batches []int) {
	d.t.Helper()
	for {
		deleted := d.batch(run)
		if deleted < 0 {
			return batches
		}
		batches = append(batches, deleted)
	}
}

func (d *database) record(run runRecord) runRecord {
	d.t.Helper()
	return collect(d, pgx.RowToStructByName[runRecord], fmt.Sprintf("SELECT * FROM notification_cleanup_runs WHERE id = %d", run.ID))[0]
}

// wantQueue compares how many cut-offs and batches there are.
func (d *database) wantQueue(want string) {
	d.t.Helper()
	const queue = "SELECT (SELECT count(*) FROM notification_cleanup_cutoffs) || ' ' || (SELECT count(*) FROM notification_cleanup_batches)"
	if got := one[string](d, queue); got != want {
		d.t.Errorf("cut-offs and batches: %s, want %s", got, want)
	}
}

// pauseAt makes the update of one notification wait for advisory lock 1, which the session takes.
func (d *database) pauseAt(number int) (goOn func()) {
	d.t.Helper()
	d.exec(`CREATE FUNCTION public.pause() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
		BEGIN
			PERFORM pg_advisory_xact_lock_shared(1);
			RETURN NEW;
		END $$;
		CREATE TRIGGER pause BEFORE UPDATE ON notifications FOR EACH ROW WHEN (OLD.id = ` + key(number) + `) EXECUTE FUNCTION public.pause();
		SELECT pg_advisory_lock(1)`)
	return func() { d.exec("SELECT pg_advisory_unlock(1)") }
}

// inBackground calls cleanup_next_batch in a session of its own, which pauses.
func (d *database) inBackground(t *testing.T, run runRecord) (deleted func() int) {
	t.Helper()
	session, result, failed := d.openSession(), make(chan int, 1), make(chan error, 1)
	go func() {
		var deleted int
		err := session.conn.QueryRow(context.Background(), fmt.Sprintf("SELECT cleanup_next_batch(%d)", run.ID)).Scan(&deleted)
		result <- deleted
		failed <- err
	}()
	eventually(t, d, blocked)
	return func() int {
		t.Helper()
		if err := <-failed; err != nil {
			t.Error(err)
		}
		return <-result
	}
}

func TestAPlanIsDoneBatchByBatch(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wide(alice, 1, 1001, 0)
	d.insert(bob, "unread", 2001, 3001)
	run := d.plan("batch_size => 100")
	if run.FinishedAt != nil || run.Planned != 901 || run.counts != (counts{OverLimit: 2, StillOver: 1}) {
		t.Errorf("the plan is %+v", run)
	}
	d.wantQueue("1 10")
	if deleted := d.batch(run); deleted != 100 || d.record(run).Deleted != 100 {
		t.Errorf("the first batch deleted %d, the record says %+v", deleted, d.record(run))
	}
	d.drain(run)
	run = d.record(run)
	d.wantDeletedBy(run, "1-901", counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 901})
	if run.FinishedAt == nil || d.batch(run) != -1 {
		t.Errorf("the run has not ended: %+v", run)
	}
	d.wantQueue("0 0")
}

// A run of a billion notifications has 100,000 batches; to look through them each time would cost as much as half a batch.
func TestABatchIsFoundWithoutLookingAtThoseThatAreDone(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wide(alice, 1, 1001, 0)
	run := d.plan("batch_size => 100, pause_factor => 0.001")
	d.exec("INSERT INTO notification_cleanup_batches (run_id, low, high, done) SELECT 1, '(0,0)', '(1,0)', true FROM generate_series(1, 5000)")
	session := d.openSession() // which has no other statistics
	session.exec("BEGIN")
	session.batch(run)
	if n := one[int](session, "SELECT coalesce(idx_tup_fetch, 0) + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'notification_cleanup_batches'"); n > 20 {
		t.Errorf("%d batches were read", n)
	}
}

func TestAPlanWithNothingToDeleteHasEnded(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "unread", 1, 1001)
	run := d.plan("")
	if run.FinishedAt == nil || run.counts != (counts{OverLimit: 1, StillOver: 1}) || d.batch(run) != -1 {
		t.Errorf("the record is %+v", run)
	}
	d.wantQueue("0 0")
}

func TestTheNextPlanContinuesARunWithTheSameLimits(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wide(alice, 1, 1001, 0)
	run := d.plan("batch_size => 100")
	d.batch(run)
	if again := d.openSession().plan("batch_size => 7"); again.ID != run.ID || again.Deleted != 100 {
		t.Errorf("planned %+v, want run %d to be continued", again, run.ID)
	}
	if other := d.plan("1000, 99"); other.ID == run.ID {
		t.Errorf("with other limits, run %d is continued", run.ID)
	}
	d.exec("CALL cleanup_notifications_in_batches(batch_size => 7)")
	d.wantDeletedBy(d.record(run), "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	const own = "SELECT count(*) FROM notification_cleanup_runs WHERE min_keep = 100 AND finished_at IS NOT NULL"
	if n := one[int](d, own); n != 2 {
		t.Errorf("%d runs have ended, want the one that was continued and one of the procedure's own", n)
	}
}

func TestTheFunctionNeitherContinuesARunNorEndsIt(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wide(alice, 1, 1001, 0)
	run := d.plan("batch_size => 500")
	d.wantCleanup("", "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	if batches := fmt.Sprint(d.drain(run)); batches != "[0 0]" {
		t.Errorf("the batches deleted %s, want [0 0]", batches)
	}
	d.wantDeletedBy(d.record(run), "", counts{OverLimit: 1})
}

func TestTwoPlansAtOnceAreOneRun(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wide(alice, 1, 1001, 0)
	other := d.openSession()
	other.exec("BEGIN")
	first := other.plan("")
	second := make(chan int64, 1)
	session := d.openSession()
	go func() {
		var id int64
		_ = session.conn.QueryRow(context.Background(), "SELECT id FROM plan_notification_cleanup()").Scan(&id)
		second <- id
	}()
	eventually(t, d, blocked)
	other.exec("COMMIT")
	if id := <-second; id != first.ID {
		t.Errorf("they planned the runs %d and %d", first.ID, id)
	}
}

// One worker stands in the middle of a batch, with the only user there is.
func TestNoWorkerWaitsForAnotherOnesUser(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wide(alice, 1, 1001, 0)
	run := d.plan("batch_size => 100")
	goOn := d.pauseAt(350)
	for range 3 {
		d.batch(run)
	}
	deleted := d.inBackground(t, run)
	worker := d.openSession()
	worker.exec("SET lock_timeout = '1ms'") // so it would fail
	for _, want := range []int{100, 100, 100, 100, 100, 1, 0} {
		if got := worker.batch(run); got != want {
			t.Errorf("a batch deleted %d, want %d", got, want)
		}
	}
	goOn()
	if got := deleted(); got != 100 {
		t.Errorf("the batch in the middle deleted %d, want 100", got)
	}
	d.drain(run)
	d.wantDeletedBy(d.record(run), "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestABatchThatBrokeOffIsFreeAgain(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wide(alice, 1, 1001, 0)
	run := d.plan("batch_size => 500")
	other := d.openSession()
	other.exec("BEGIN")
	other.batch(run)
	other.exec("ROLLBACK")
	if batches := fmt.Sprint(d.drain(run)); batches != "[500 401]" {
		t.Errorf("the batches deleted %s, want [500 401]", batches)
	}
	d.wantDeletedBy(d.record(run), "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestARunIsGivenUpAfter36Hours(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wide(alice, 1, 1001, 0)
	d.wide(bob, 2001, 3001, 0)
	run := d.plan("batch_size => 100")
	d.batch(run)
	const age = "UPDATE notification_cleanup_runs SET started_at = started_at - interval '35 hours 59 minutes' WHERE id = 1"
	d.exec(age)
	if next := d.plan(""); next.ID != run.ID {
		t.Errorf("run %d is not continued after less than 36 hours", run.ID)
	}
	d.exec("UPDATE notification_cleanup_runs SET started_at = started_at - interval '1 minute' WHERE id = 1")
	other := d.plan("1000, 99") // whatever the limits
	run = d.record(run)
	if other.ID == run.ID || run.FinishedAt != nil || run.counts != (counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 100}) || d.batch(run) != -1 {
		t.Errorf("the record is %+v", run)
	}
	d.wantQueue("1 1")
	d.drain(other)
	d.wantQueue("0 0")
	d.wantDeletedBy(d.record(other), "2001-2902", counts{OverLimit: 1, Cleaned: 1, Deleted: 902}) // alice is not over the limit any more
}

func TestUndoOfARunThatIsNotThroughGivesItUp(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wide(alice, 1, 1001, 0)
	d.wide(bob, 2001, 3001, 0)
	run := d.plan("batch_size => 100, pause_factor => 0.001")
	d.batch(run)
	goOn := d.pauseAt(150)
	deleted := d.inBackground(t, run)
	restored := d.restoreInBackground("SELECT restore_notifications(1)")
	eventually(t, d, restoreWaits)
	goOn()
	if n := restored(); n == nil || *n != 200 || deleted() != 100 {
		t.Errorf("%v were restored, want 200: one batch was done, and one in flight", n)
	}
	if got := d.numbers("deleted_at IS NOT NULL"); got != "" || d.batch(run) != -1 {
		t.Errorf("deleted are %q, or the run goes on", got)
	}
	run = d.record(run)
	if run.FinishedAt != nil || run.Restored != 200 || run.counts != (counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 200}) {
		t.Errorf("the record is %+v", run)
	}
	d.wantQueue("0 0")
}

func TestBatchesAreOfEvenSizeWhereTheVictimsLieUnevenly(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wide(alice, 1, 1001, 0)             // four a page
	d.insert(bob, "read", 2001, 3001)     // some seventy a page
	d.wide(carol, 4001, 4700, 1)          // one in two pages
	d.insert(carol, "unread", 5001, 6001) // none
	d.wide(carol+1, 7001, 8001, 0)        // four a page
	run := d.plan("batch_size => 300")
	batches := d.drain(run)
	if len(batches) > 15 || slices.Max(batches) > 400 {
		t.Errorf("the batches deleted %v, want about 300 each", batches)
	}
	d.wantDeletedBy(d.record(run), "1-901 2001-2901 4001-4600 7001-7901", counts{OverLimit: 4, Cleaned: 4, StillOver: 1, Deleted: 3303})
}

// scanned does a batch in a session of its own, and returns how many rows the scans of the table met.
func (d *database) scanned(run runRecord) (deleted, rows int) {
	d.t.Helper()
	session := d.openSession()
	session.exec("BEGIN")
	deleted = session.batch(run)
	rows = one[int](session, "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'notifications'")
	session.exec("COMMIT")
	return deleted, rows
}

var withAndWithoutStatistics = map[string]string{"with planner statistics": "ANALYZE notifications", "without": "SELECT"}

func TestAThinPlanReadsTheInboxesAndNotTheTable(t *testing.T) {
	t.Parallel()
	for name, analyze := range withAndWithoutStatistics {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
			d.wide(alice, 1, 40, 5)
			d.wide(bob, 101, 140, 5)
			d.exec(analyze)
			run := d.plan("20, 10, 30")
			if got := fmt.Sprint(all[string](d, "SELECT row(first_user, end_user, low)::text FROM notification_cleanup_batches ORDER BY number")); got != "[(1,2,) (2,3,)]" {
				t.Errorf("the batches are %s, want a user each, for all pages", got)
			}
			for _, want := range []string{"1-30", "1-30 101-130"} {
				if deleted, rows := d.scanned(run); deleted != 30 || rows != 0 {
					t.Errorf("deleted %d, and met %d rows of the table", deleted, rows)
				}
				if got := d.numbers("deleted_at IS NOT NULL"); got != want {
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
			d := newDatabase(t)
			d.exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
			d.wide(alice, 1, 201, 0)
			d.wide(bob, 1001, 1040, 5) // between them a gap of more pages than a batch may read in vain
			d.wide(alice, 2001, 2200, 0)
			d.exec(analyze)
			run := d.plan("100, 0, 100")
			for range 5 {
				// To lock, to update, and to count what is left.
				if deleted, rows := d.scanned(run); rows < deleted || rows > 3*deleted+24 {
					t.Errorf("deleted %d, and met %d rows of the table", deleted, rows)
				}
			}
			d.drain(run)
			d.wantDeletedBy(d.record(run), "1-201 2001-2200", counts{OverLimit: 1, Cleaned: 1, Deleted: 401})
		})
	}
}

func TestAUserWithMoreThanABatchIsSplitByPages(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
	d.wide(alice, 1, 300, 3)
	d.wide(bob, 1001, 1040, 3)
	run := d.plan("20, 10, 100")
	if batches := fmt.Sprint(d.drain(run)); batches != "[100 100 90 30]" {
		t.Errorf("the batches deleted %s, want three of alice, and one of bob", batches)
	}
	d.wantDeletedBy(d.record(run), "1-290 1001-1030", counts{OverLimit: 2, Cleaned: 2, Deleted: 320})
}

// A user is over the limit at the end of the run, or he is not, whatever was to go.
func TestStillOverTheLimitIsWhoIsSoWhenTheRunEnds(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.insert(bob, "read", 2001, 3001)
	d.insert(carol, "read", 4001, 5001)
	run := d.plan("")
	d.set("deleted_at = '2025-06-01Z'", 1, 500) // by alice herself
	other := d.openSession()
	other.exec("BEGIN; SELECT FROM notifications WHERE user_id = " + key(bob) + " FOR UPDATE")
	d.drain(run)
	d.wantDeletedBy(d.record(run), "501-901 4001-4901", counts{OverLimit: 3, Cleaned: 2, StillOver: 1, Deleted: 1302, Skipped: 901})
}

func TestTheQueueOutlivesAHistoryThatBeginsAgain(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wide(alice, 1, 1001, 0)
	d.plan("batch_size => 100")
	d.exec("TRUNCATE notification_cleanup_runs RESTART IDENTITY")
	d.wantCleanup("", "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	d.wantQueue("0 0")
}
