package run

import (
	"context"
	"fmt"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestAPlanIsDoneBatchByBatch(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	d.Insert(pgtest.Bob, "unread", 2001, 3001)
	run := d.Plan("batch_size => 100")
	if run.FinishedAt != nil || run.Planned != 901 ||
		run.Counts != (pgtest.Counts{OverLimit: 2, StillOver: 1}) {
		t.Errorf("the plan is %+v", run)
	}
	d.WantQueue(10)
	if deleted := d.Batch(run); deleted != 100 || d.Record(run).Deleted != 100 {
		t.Errorf("the first batch deleted %d, the record says %+v", deleted, d.Record(run))
	}
	d.Drain(run)
	run = d.Record(run)
	d.WantDeletedBy(run, "1-901", pgtest.Counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 901})
	if run.FinishedAt == nil || d.Batch(run) != -1 {
		t.Errorf("the run has not ended: %+v", run)
	}
	d.WantQueue(0)
}

func TestAPlanWithNothingToDeleteHasEnded(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "unread", 1, 1001)
	run := d.Plan("")
	if run.FinishedAt == nil || run.Counts != (pgtest.Counts{OverLimit: 1, StillOver: 1}) ||
		d.Batch(run) != -1 {
		t.Errorf("the record is %+v", run)
	}
	d.WantQueue(0)
}

func TestTheNextPlanContinuesARunWithTheSameLimits(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	run := d.Plan("batch_size => 100")
	d.Batch(run)
	if again := d.OpenSession().Plan("batch_size => 7"); again.ID != run.ID || again.Deleted != 100 {
		t.Errorf("planned %+v, want run %d to be continued", again, run.ID)
	}
	if other := d.Plan("1000, 99"); other.ID == run.ID {
		t.Errorf("with other limits, run %d is continued", run.ID)
	}
	d.Exec("CALL cleanup_notifications_in_batches(batch_size => 7)")
	d.WantDeletedBy(d.Record(run), "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	const own = `
		SELECT count(*) FROM notification_cleanup_runs WHERE min_keep = 100 AND finished_at IS NOT NULL`
	if n := pgtest.One[int](d, own); n != 2 {
		t.Errorf("%d runs have ended, want the one that was continued and one of the procedure's own", n)
	}
}

func TestTheFunctionNeitherContinuesARunNorEndsIt(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	run := d.Plan("batch_size => 500")
	d.WantCleanup("", "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	if batches := fmt.Sprint(d.Drain(run)); batches != "[0 0]" {
		t.Errorf("the batches deleted %s, want [0 0]", batches)
	}
	d.WantDeletedBy(d.Record(run), "", pgtest.Counts{OverLimit: 1, Changed: 901})
}

func TestTwoPlansAtOnceAreOneRun(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	other := d.OpenSession()
	other.Exec("BEGIN")
	first := other.Plan("")
	second := make(chan int64, 1)
	session := d.OpenSession()
	go func() {
		var id int64
		const plan = "SELECT id FROM plan_notification_cleanup()"
		_ = session.Conn.QueryRow(context.Background(), plan).Scan(&id)
		second <- id
	}()
	d.Eventually(pgtest.Blocked)
	other.Exec("COMMIT")
	if id := <-second; id != first.ID {
		t.Errorf("they planned the runs %d and %d", first.ID, id)
	}
}

func TestARunIsGivenUpAfter36Hours(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	d.InsertWide(pgtest.Bob, 2001, 3001, 0)
	run := d.Plan("batch_size => 100")
	d.Batch(run)
	age := func(by string) {
		d.Exec("UPDATE notification_cleanup_runs SET started_at = started_at - interval '" + by + "'")
		d.Exec("UPDATE notification_cleanup_batches SET done_at = done_at - interval '" + by + "'")
	}
	age("35 hours 59 minutes")
	if next := d.Plan(""); next.ID != run.ID {
		t.Errorf("run %d is not continued after less than 36 hours", run.ID)
	}
	age("1 minute")
	other := d.Plan("1000, 99") // whatever the limits
	run = d.Record(run)
	if other.ID == run.ID || run.FinishedAt != nil ||
		run.Counts != (pgtest.Counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 100}) ||
		d.Batch(run) != -1 {
		t.Errorf("the record is %+v", run)
	}
	d.WantQueue(1)
	d.Drain(other)
	d.WantQueue(0)
	// Alice is not over the limit any more.
	d.WantDeletedBy(
		d.Record(other),
		"2001-2902",
		pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 902},
	)
}

// A user is over the limit at the end of the run, or is not, whatever was to go.
func TestStillOverTheLimitIsWhoIsSoWhenTheRunEnds(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Insert(pgtest.Bob, "read", 2001, 3001)
	d.Insert(pgtest.Carol, "read", 4001, 5001)
	run := d.Plan("")
	d.Set("deleted_at = '2025-06-01Z'", 1, 500) // by alice herself
	other := d.OpenSession()
	other.Exec(
		"BEGIN; SELECT FROM notifications WHERE user_id = " + pgtest.Key(pgtest.Bob) + " FOR UPDATE",
	)
	d.Drain(run)
	d.WantDeletedBy(
		d.Record(run),
		"501-901 4001-4901",
		pgtest.Counts{
			OverLimit: 3, Cleaned: 2, StillOver: 1, Deleted: 1302, Skipped: 901, Changed: 500,
		},
	)
}

// Whom the plan knows to stay over the limit, the end does not count again.
func TestAUserWhoStaysOverTheLimitCountsOnce(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 150)
	d.Insert(pgtest.Alice, "unread", 151, 1151)
	run := d.Plan("")
	d.Hold(pgtest.FirstNotification)
	d.Drain(run)
	d.WantDeletedBy(
		d.Record(run),
		"2-50",
		pgtest.Counts{OverLimit: 1, Cleaned: 1, StillOver: 1, Deleted: 49, Skipped: 1},
	)
}

func TestTheQueueGoesWithTheHistory(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	d.Plan("batch_size => 100")
	d.Exec("TRUNCATE notification_cleanup_runs RESTART IDENTITY CASCADE")
	d.WantCleanup("", "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	d.WantQueue(0)
}
