package pace

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestStopIsForOneRun(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Plan("")
	other := d.Plan("999")
	d.Exec("SELECT stop_notification_cleanup(1)")
	if n, of := d.Batch(pgtest.FirstRun), d.Batch(other); n != -1 || of != 901 {
		t.Errorf("of the run that was stopped %d were deleted, of the other one %d", n, of)
	}
	if end, n := d.Batch(other), d.Batch(pgtest.FirstRun); end != -1 || n != -1 {
		t.Errorf("the end of the other one, %d, lets this one go on, %d", end, n)
	}
}
