package undo

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestTheFirstBatchOfAnUndoGivesTheRunUp(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	run := d.Plan("batch_size => 100")
	d.Batch(run)
	goOn := d.PauseAt(150)
	deleted := d.BatchInBackground(run)
	result := inBackground(d, "SELECT restore_next_batch(1)")
	d.Eventually(waits("restore_"))
	goOn()
	if n := result(); n == nil || *n != 200 || deleted() != 100 {
		t.Errorf("restored %v, want 200: one batch was done, and one in flight", n)
	}
	if d.Batch(run) != -1 || restoreAll(d, 10) != nil {
		t.Error("the run goes on, or there is more to undo")
	}
	wantRestored(d, 200, "")
	d.WantQueue(0)
}

func TestUndoOfARunThatIsNotThroughGivesItUp(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	d.InsertWide(pgtest.Bob, 2001, 3001, 0)
	run := d.Plan("batch_size => 100, pause_factor => 0.001")
	d.Batch(run)
	goOn := d.PauseAt(150)
	deleted := d.BatchInBackground(run)
	restored := inBackground(d, "SELECT restore_notifications(1)")
	d.Eventually(waits("restore_"))
	goOn()
	if n := restored(); n == nil || *n != 200 || deleted() != 100 {
		t.Errorf("%v were restored, want 200: one batch was done, and one in flight", n)
	}
	if got := d.Numbers("deleted_at IS NOT NULL"); got != "" || d.Batch(run) != -1 {
		t.Errorf("deleted are %q, or the run goes on", got)
	}
	run = d.Record(run)
	if run.FinishedAt != nil || run.Restored != 200 ||
		run.Counts != (pgtest.Counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 200}) {
		t.Errorf("the record is %+v", run)
	}
	d.WantQueue(0)
}
