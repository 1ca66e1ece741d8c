package pace

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// singly fills an inbox with 40 notifications, of which a run with these limits deletes one a
// batch.
func singly(d *pgtest.Database) {
	d.T.Helper()
	d.RowsPerPage(1)
	d.Insert(pgtest.Alice, "read", 1, 40)
}

const oneByOne = "max_notifications => 1, min_keep => 0, batch_size => 1"

func TestABatchRestsAsManyTimesAsLongAsItTook(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	singly(d)
	d.Exec(`
		CREATE FUNCTION slow() RETURNS trigger
		LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END';
		CREATE TRIGGER slow BEFORE UPDATE ON notifications FOR EACH ROW EXECUTE FUNCTION slow()`)
	d.Plan(oneByOne + ", pause_factor => 600")
	if n := d.Batch(pgtest.FirstRun); n != 1 {
		t.Fatalf("the first batch deleted %d", n)
	}
	const rest = `
		SELECT extract(epoch FROM rest_until - clock_timestamp())::float8
		FROM notification_cleanup_open_runs`
	if rest := pgtest.One[float64](d, rest); rest < 50 || rest > 600 {
		t.Errorf("it rests for %v seconds after a batch of 0.1", rest)
	}

	// No session begins another batch meanwhile; what waits holds nothing, and not for long.
	session, notices := d.WithNotices()
	session.Exec("SET statement_timeout = '3s'")
	waiting := make(chan int, 1)
	go func() { waiting <- session.Batch(pgtest.FirstRun) }()
	d.Eventually(`
		SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND wait_event = 'PgSleep')`)
	d.WantNone("while it rests", "a lock is held", `
		SELECT l::text FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
		WHERE a.datname = current_database()
			AND pid <> pg_backend_pid()
			AND (l.locktype = 'transactionid' OR l.mode <> 'AccessShareLock' AND l.locktype <> 'virtualxid'
			OR l.relation IN ('notifications'::regclass, 'notifications_live_idx'::regclass))`)
	if n := <-waiting; n != 0 {
		t.Errorf("while the run rests, a call returns %d", n)
	}
	if told := notices(); !strings.HasPrefix(told, "run 1: waiting, resting for ") ||
		!strings.HasSuffix(told, ", pause_factor is 600\n") {
		t.Errorf("it was told %q", told)
	}

	// The last caller of a run says how it goes on.
	d.Plan(oneByOne)
	if first, second := d.Batch(pgtest.FirstRun), d.Batch(pgtest.FirstRun); first != 1 || second != 1 {
		t.Fatalf("without a pause_factor the next batches deleted %d and %d", first, second)
	}
	d.Drain(pgtest.FirstRun)

	d.Insert(pgtest.Bob, "read", 101, 140)
	run := d.Plan("max_notifications => 1, min_keep => 0, pause_factor => 1000")
	if n, end := d.Batch(run), d.Batch(run); n != 40 || end != -1 {
		t.Errorf(
			"after the last batch, of %d, a call returns %d: the run has not ended without a rest",
			n,
			end,
		)
	}
	d.WantEnded("the run")
}

func TestTheRestOfARunCountsAgainstTheTimeLimit(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	singly(d)
	session, notices := d.WithNotices()
	session.Exec(
		"CALL cleanup_notifications_in_batches(" + oneByOne +
			", pause_factor => 1000, time_limit => '1.5 seconds')",
	)
	if run := d.Record(pgtest.FirstRun); run.FinishedAt != nil || run.Deleted == 0 ||
		run.Deleted == 40 {
		t.Errorf("the record is %+v", run)
	}
	if !strings.Contains(notices(), "run 1: waiting, resting for ") {
		t.Errorf("it was told %q", notices())
	}
	stdout, stderr, status := d.Program(
		nil,
		"run",
		"--max-notifications",
		"1",
		"--min-keep",
		"0",
		"--pause-factor",
		"1000",
		"--timeout",
		"2s",
	)
	if status != 3 || !strings.Contains(stderr, "waiting, resting for ") {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
}
