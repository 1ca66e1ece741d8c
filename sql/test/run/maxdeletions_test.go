package run

import (
	"fmt"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// callsWith are the calls of the job in SQL, with this last argument.
func callsWith(argument string) []string {
	return []string{
		"SELECT * FROM cleanup_notifications(" + argument + ")",
		"SELECT * FROM plan_notification_cleanup(" + argument + ")",
		"CALL cleanup_notifications_in_batches(" + argument + ")",
	}
}

func TestAPlanAboveMaxDeletionsWritesNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	for _, max := range []int64{0, 1949} {
		for _, call := range callsWith(fmt.Sprint("max_deletions => ", max)) {
			err := d.Refused(call, "NC001")
			says := strings.Join([]string{err.Message, err.Detail, err.Hint}, "\n")
			for _, words := range []string{
				fmt.Sprintf("1950 notifications to delete are more than max_deletions, %d", max),
				"3 users are over the limit of 1000",
				"preview_notification_cleanup()",
			} {
				if !strings.Contains(says, words) {
					t.Errorf("%s does not say %q: %s", call, words, says)
				}
			}
		}
	}
	d.WantRuns()
	d.WantEnded("what was refused")
	if got := d.Numbers("deleted_at IS NOT NULL"); got != "" {
		t.Errorf("deleted %q", got)
	}
}

func TestAPlanOfMaxDeletionsGoes(t *testing.T) {
	t.Parallel()
	for _, call := range callsWith("max_deletions => 1950") {
		d := pgtest.New(t)
		d.Exec(pgtest.Inboxes)
		d.Exec(call)
		if n := d.Record(pgtest.FirstRun).Planned; n != 1950 {
			t.Errorf("%s planned %d", call, n)
		}
	}
}

func TestMaxDeletionsCountsWhatIsLeftOfARunThatIsContinued(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	run := d.Plan("batch_size => 1000")
	d.Exec("SELECT stop_notification_cleanup(1)")
	d.Refused("SELECT plan_notification_cleanup(max_deletions => 1949)", "NC001")
	if n := d.Batch(run); n != -1 {
		t.Errorf("a plan that was refused lets the run go on: %d", n)
	}
	d.Plan("")
	d.Batch(run)
	d.Refused("SELECT plan_notification_cleanup(max_deletions => 949)", "NC001")
	if again := d.Plan("max_deletions => 950"); again.ID != run.ID {
		t.Errorf("it opened run %d", again.ID)
	}
	d.Drain(run)
	d.WantRuns("(1,1950,1950,2,f)")
}
