package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// withNotices opens a session that keeps what it is told.
func (d *database) withNotices() (session *database, notices func() string) {
	d.t.Helper()
	session = d.openSession()
	config := session.conn.Config()
	told := new(output)
	config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) { fmt.Fprintln(told, notice.Message) }
	conn, err := pgx.ConnectConfig(context.Background(), config)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	session.conn = conn
	return session, told.String
}

// singly fills an inbox with 40 notifications, of which a run with these limits deletes one a batch.
func (d *database) singly() {
	d.t.Helper()
	d.rowsPerPage(1)
	d.insert(alice, "read", 1, 40)
}

const oneByOne = "max_notifications => 1, min_keep => 0, batch_size => 1"

func TestABatchRestsAsManyTimesAsLongAsItTook(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.singly()
	d.exec(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END';
		CREATE TRIGGER slow BEFORE UPDATE ON notifications FOR EACH ROW EXECUTE FUNCTION slow()`)
	d.plan(oneByOne + ", pause_factor => 600")
	if n := d.nextBatch(); n != 1 {
		t.Fatalf("the first batch deleted %d", n)
	}
	const rest = "SELECT extract(epoch FROM rest_until - clock_timestamp())::float8 FROM notification_cleanup_throttles"
	if rest := one[float64](d, rest); rest < 50 || rest > 600 {
		t.Errorf("it rests for %v seconds after a batch of 0.1", rest)
	}

	// No session begins another batch meanwhile; what waits holds nothing, and not for long.
	session, notices := d.withNotices()
	session.exec("SET statement_timeout = '3s'")
	waiting := make(chan int, 1)
	go func() { waiting <- session.nextBatch() }()
	eventually(t, d, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')")
	d.wantNone("while it rests", "a lock is held", `SELECT l::text FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
		WHERE a.datname = current_database() AND pid <> pg_backend_pid() AND (l.locktype = 'transactionid' OR l.mode <> 'AccessShareLock' AND l.locktype <> 'virtualxid'
			OR l.relation IN ('notifications'::regclass, 'notifications_live_idx'::regclass))`)
	if n := <-waiting; n != 0 {
		t.Errorf("while the run rests, a call returns %d", n)
	}
	if told := notices(); !strings.HasPrefix(told, "run 1: waiting, resting for ") || !strings.HasSuffix(told, ", pause_factor is 600\n") {
		t.Errorf("it was told %q", told)
	}

	// The last caller of a run says how it goes on.
	d.plan(oneByOne)
	if first, second := d.nextBatch(), d.nextBatch(); first != 1 || second != 1 {
		t.Fatalf("without a pause_factor the next batches deleted %d and %d", first, second)
	}
	d.drain(runRecord{ID: 1})

	d.insert(bob, "read", 101, 140)
	run := d.plan("max_notifications => 1, min_keep => 0, pause_factor => 1000")
	if n, end := d.batch(run), d.batch(run); n != 40 || end != -1 {
		t.Errorf("after the last batch, of %d, a call returns %d: the run has not ended without a rest", n, end)
	}
	d.wantEnded("the run")
}

func TestTheRestOfARunCountsAgainstTheTimeLimit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.singly()
	session, notices := d.withNotices()
	session.exec("CALL cleanup_notifications_in_batches(" + oneByOne + ", pause_factor => 1000, time_limit => '1.5 seconds')")
	if run := d.record(runRecord{ID: 1}); run.FinishedAt != nil || run.Deleted == 0 || run.Deleted == 40 {
		t.Errorf("the record is %+v", run)
	}
	if !strings.Contains(notices(), "run 1: waiting, resting for ") {
		t.Errorf("it was told %q", notices())
	}
	stdout, stderr, status := command(t, d, nil, "run", "-max-notifications", "1", "-min-keep", "0", "-pause-factor", "1000", "-timeout", "2s")
	if status != 3 || !strings.Contains(stderr, "waiting, resting for ") {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
}

func TestARunWaitsForWhoeverIsBehind(t *testing.T) {
	t.Parallel()
	primary := newServer(t)
	d := primary.migrated()
	d.exec("ALTER SYSTEM SET wal_level = logical")
	primary.stop()
	primary.start()
	standby := primary.standby()
	d = d.openSession()
	replay := func(what string) {
		t.Helper()
		if _, err := standby.admin.Exec(context.Background(), "SELECT pg_wal_replay_"+what+"()"); err != nil {
			t.Fatal(err)
		}
	}
	session, notices := d.withNotices()
	session.exec("SET statement_timeout = '5s'")
	limits := oneByOne + ", max_replica_lag => '1 second'"
	// waits does batches until one has to wait, as many as there are; goesOn until one has not.
	waits := func(replica string) {
		t.Helper()
		for batches := 0; session.nextBatch() > 0; batches++ {
			time.Sleep(300 * time.Millisecond)
		}
		lines := strings.Split(strings.TrimSpace(notices()), "\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, "run 1: waiting, "+replica+" is ") || !strings.HasSuffix(last, " behind, and more than max_replica_lag, 00:00:01") {
			t.Errorf("it was told %q", last)
		}
	}
	goesOn := func() {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); session.nextBatch() == 0; {
			if time.Now().After(deadline) {
				t.Fatal("the run does not go on")
			}
		}
	}

	eventually(t, d, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')")
	replay("pause")
	d.singly()
	session.plan(oneByOne)
	session.plan(limits)         // of its callers the last one's counts
	waits("standby walreceiver") // before the first batch: this one has not replayed what was before the run
	if deleted := d.record(runRecord{ID: 1}).Deleted; deleted != 0 {
		t.Errorf("%d were deleted", deleted)
	}
	replay("resume")
	goesOn()
	replay("pause")
	waits("standby walreceiver") // a second after that
	replay("resume")
	goesOn()

	d.exec("CREATE PUBLICATION nothing")
	d.exec("SELECT pg_create_logical_replication_slot('unread', 'pgoutput')")
	session.plan(limits)
	waits("logical slot unread")
	reader := d.readsWithoutSayingSo("unread")
	waits("logical slot unread")
	reader.Close(context.Background())
	eventually(t, d, "SELECT NOT bool_or(active) FROM pg_replication_slots")
	d.exec("SELECT pg_replication_slot_advance('unread', pg_current_wal_flush_lsn())")
	goesOn()
	d.exec("SELECT pg_drop_replication_slot('unread'); SELECT pg_create_physical_replication_slot('away', true)")
	session.plan(limits)
	waits("physical slot away")
	session.plan(oneByOne)
	goesOn()

	// All callers obey it alike.
	cmd, stdout, stderr := process(t, d.url(), "run", "-max-notifications", "1", "-min-keep", "0", "-max-replica-lag", "1s")
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(stderr.String(), "waiting, physical slot away is"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("stderr does not say why: %s", stderr)
		}
	}
	before := d.record(runRecord{ID: 1}).Deleted
	session.exec("CALL cleanup_notifications_in_batches(1, 0, time_limit => '1 second', max_replica_lag => '1 second')")
	if deleted := d.record(runRecord{ID: 1}).Deleted; deleted != before {
		t.Errorf("deleted are %d, then %d", before, deleted)
	}
	d.exec("SELECT pg_drop_replication_slot('away')")
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("exit status %d, stdout %s, stderr %s", cmd.ProcessState.ExitCode(), stdout, stderr)
	}
	d.wantEnded("the program")
}

// readsWithoutSayingSo connects a reader to a logical slot that never confirms what it gets.
func (d *database) readsWithoutSayingSo(slot string) *pgconn.PgConn {
	d.t.Helper()
	conn, err := pgconn.Connect(context.Background(), d.url()+"&replication=database")
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	conn.Frontend().SendQuery(&pgproto3.Query{String: "START_REPLICATION SLOT " + slot + " LOGICAL 0/0 (proto_version '1', publication_names 'nothing')"})
	if err := conn.Frontend().Flush(); err != nil {
		d.t.Fatal(err)
	}
	eventually(d.t.(*testing.T), d, "SELECT bool_or(active) FROM pg_replication_slots WHERE slot_name = '"+slot+"'")
	return conn
}

func TestWhoMayNotSeeTheLagIsRefused(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.singly()
	role := d.role(append(leastPrivileges, "EXECUTE ON FUNCTION notification_replicas")...)
	d.exec("GRANT EXECUTE ON PROCEDURE cleanup_notifications_in_batches TO " + role)
	session := d.openSession()
	session.exec("SET ROLE " + role)
	const call = "CALL cleanup_notifications_in_batches(1, 0, max_replica_lag => '1 minute')"
	if err := session.refused(call, "42501"); err.Hint != fmt.Sprintf("GRANT pg_read_all_stats TO %s, or leave max_replica_lag NULL.", role) {
		t.Errorf("%s HINT %s", err.Message, err.Hint)
	}
	d.wantRuns()
	d.exec("GRANT pg_read_all_stats TO " + role)
	session.exec(call)
	d.wantEnded("the run")
}

func TestStopEndsEverySessionAfterItsBatch(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	cmd, stdout, stderr, release := blockedProgram(t, d)
	session, notices := d.withNotices()
	called := session.startProcedure("")
	eventually(t, d, `SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()`)
	if !one[bool](d, "SELECT stop_notification_cleanup(1)") {
		t.Error("it says that nothing is left of the run")
	}
	release()
	_ = cmd.Wait()
	run, err := called.wait()
	if status := cmd.ProcessState.ExitCode(); err != nil || status != 3 || !strings.Contains(stderr.String(), "somebody stopped or restored the run") || run.FinishedAt != nil || run.Deleted <= 1000 || run.Deleted >= 1950 {
		t.Errorf("exit status %d, stdout %s, stderr %s; the procedure ended with %v, %+v", status, stdout, stderr, err, run)
	}
	if !strings.HasSuffix(notices(), "run 1: stopped by stop_notification_cleanup(), the next call of the job goes on from here\n") {
		t.Errorf("the procedure was told %q", notices())
	}
	if got := one[string](d, "SELECT last_outcome || ' ' || runs_unfinished FROM notification_cleanup_health"); got != "stopped 1" {
		t.Errorf("the health view says %q", got)
	}
	if history := asText(t, d, "history"); !strings.HasSuffix(history, "  stopped\n") {
		t.Errorf("the history says %s", history)
	}
	if n := d.nextBatch(); n != -1 {
		t.Errorf("a batch after that deletes %d", n)
	}

	if stdout, stderr, status := command(t, d, nil); status != 0 || !strings.Contains(stderr, "run_id=1 users_over_limit=3 notifications_planned=1950 continued=true") {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	d.wantEnded("the next call")
	if got := one[string](d, "SELECT last_outcome FROM notification_cleanup_health"); got != "nothing to delete" {
		t.Errorf("then the health view says %q", got)
	}
	if stdout, stderr, status := command(t, d, nil, "stop", "1"); status != 0 || stdout != `{"stopped":false}`+"\n" {
		t.Errorf("of a run that has ended: exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	for _, id := range []string{"7", "NULL"} {
		if err := d.refused("SELECT stop_notification_cleanup("+id+")", "22023"); err.Message != "no cleanup run "+id || err.Hint == "" {
			t.Errorf("%s HINT %s", err.Message, err.Hint)
		}
	}
}

func TestStopIsForOneRun(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.plan("")
	other := d.plan("999")
	d.exec("SELECT stop_notification_cleanup(1)")
	if n, of := d.nextBatch(), d.batch(other); n != -1 || of != 901 {
		t.Errorf("of the run that was stopped %d were deleted, of the other one %d", n, of)
	}
	if end, n := d.batch(other), d.nextBatch(); end != -1 || n != -1 {
		t.Errorf("the end of the other one, %d, lets this one go on, %d", end, n)
	}
}
