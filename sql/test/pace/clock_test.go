package pace

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// A clock that was ahead cannot be had in a test. What it leaves behind can: times that were noted
// by it.

func TestTheClockWasAheadWhenARestBegan(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	singly(d)
	run := d.Plan(oneByOne + ", pause_factor => 1000")
	d.Exec(`
		UPDATE notification_cleanup_open_runs
		SET resting_since = now() + interval '400 days', rest_until = now() + interval '401 days'`)
	if n := d.Batch(run); n != 1 {
		t.Errorf("a rest of then is waited for: %d", n)
	}
	const rest = "SELECT rest_until < now() + interval '1 day' FROM notification_cleanup_open_runs"
	if !pgtest.One[bool](d, rest) {
		t.Error("the next rest is as long as the clock was ahead")
	}
}

func TestTheClockWasSetForwardDuringABatch(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	singly(d)
	d.Plan(oneByOne + ", pause_factor => 2")
	d.Exec("SELECT pace_after_batch(1, '400 days')")
	const rest = "SELECT rest_until < now() + interval '21 min' FROM notification_cleanup_open_runs"
	if !pgtest.One[bool](d, rest) {
		t.Error("it rests for twice as long")
	}
	// Of several workers the one that rests longest counts.
	d.Exec("SELECT pace_after_batch(1, '1 second')")
	const longest = "SELECT rest_until > now() + interval '19 min' FROM notification_cleanup_open_runs"
	if !pgtest.One[bool](d, longest) {
		t.Error("a short batch ends the rest after a long one")
	}
}

func TestTheClockWasAheadWhenTheReplicasWereMarked(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t)
	d := server.New()
	singly(d)
	run := d.Plan(oneByOne + ", max_replica_lag => '10 seconds'")
	d.Exec(`
		SELECT pg_create_physical_replication_slot('away', true);
		UPDATE notification_cleanup_open_runs
		SET replicas_mark = 'FFFFFFFF/0', replicas_due = now() + interval '400 days'`)
	if n := d.Batch(run); n != 0 {
		t.Errorf("nobody waits for replicas until then: %d", n)
	}
}

func TestARunOfTheFutureIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]string{
		"planned then": `
			UPDATE notification_cleanup_runs SET started_at = now() + interval '400 days'`,
		"a batch then": `
			UPDATE notification_cleanup_batches SET done_at = now() + interval '400 days'
			WHERE number = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			singly(d)
			d.Plan(oneByOne)
			d.Exec(ahead)
			if run := d.Plan(oneByOne); run.ID != 2 {
				t.Errorf("run %d is continued", run.ID)
			}
		})
	}
}

// A minute is what clocks differ by.
func TestARunOfThisMinuteIsContinued(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	singly(d)
	d.Plan(oneByOne)
	d.Exec("UPDATE notification_cleanup_runs SET started_at = now() + interval '30 seconds'")
	if run := d.Plan(oneByOne); run.ID != 1 {
		t.Errorf("run %d is opened", run.ID)
	}
}

func TestTheProcedurePlansItsOwnRunAfterOneOfTheFuture(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	singly(d)
	d.Plan("1, 0")
	d.Exec("UPDATE notification_cleanup_runs SET started_at = now() + interval '30 seconds'")
	d.Exec("CALL cleanup_notifications_in_batches(1, 0)")
	d.WantRuns("(1,40,40,1,f)", "(2,0,0,0,f)")
}
