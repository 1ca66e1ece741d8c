package pace

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestARunWaitsForWhoeverIsBehind(t *testing.T) {
	t.Parallel()
	primary := pgtest.NewServer(t)
	d := primary.New()
	d.Exec("ALTER SYSTEM SET wal_level = logical")
	primary.Stop()
	primary.Start()
	standby := primary.Standby()
	d = d.OpenSession()
	replay := func(what string) {
		t.Helper()
		if _, err := standby.Admin.Exec(
			context.Background(), "SELECT pg_wal_replay_"+what+"()",
		); err != nil {
			t.Fatal(err)
		}
	}
	session, notices := d.WithNotices()
	session.Exec("SET statement_timeout = '5s'")
	limits := oneByOne + ", max_replica_lag => '1 second'"
	// waits does batches until one has to wait, as many as there are; goesOn until one has not.
	waits := func(replica string) (batches int) {
		t.Helper()
		for ; session.Batch(pgtest.FirstRun) > 0; batches++ {
			time.Sleep(100 * time.Millisecond)
		}
		lines := strings.Split(strings.TrimSpace(notices()), "\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, "run 1: waiting, "+replica+" is ") ||
			!strings.HasSuffix(last, " behind, and more than max_replica_lag, 00:00:01") {
			t.Errorf("it was told %q", last)
		}
		return batches
	}
	goesOn := func() {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); session.Batch(pgtest.FirstRun) == 0; {
			if time.Now().After(deadline) {
				t.Fatal("the run does not go on")
			}
		}
	}

	d.Eventually("SELECT EXISTS (SELECT FROM pg_stat_replication WHERE replay_lsn IS NOT NULL)")
	replay("pause")
	d.RowsPerPage(1)
	d.Insert(pgtest.Alice, "read", 1, 200)
	session.Plan(oneByOne)
	session.Plan(limits) // of its callers the last one's counts
	// It waits before the first batch: the standby has not replayed what was before the run.
	waits("standby walreceiver")
	if deleted := d.Record(pgtest.FirstRun).Deleted; deleted != 0 {
		t.Errorf("%d were deleted", deleted)
	}
	replay("resume")
	goesOn()
	replay("pause")
	if n := waits("standby walreceiver"); n < 5 {
		t.Errorf("it waits after %d batches, and not when the standby is a second behind", n)
	}
	replay("resume")
	goesOn()

	d.Exec("CREATE PUBLICATION nothing")
	d.Exec("SELECT pg_create_logical_replication_slot('unread', 'pgoutput')")
	session.Plan(limits)
	waits("logical slot unread")
	reader := readsWithoutSayingSo(d, "unread")
	waits("logical slot unread")
	reader.Close(context.Background())
	d.Eventually("SELECT NOT bool_or(active) FROM pg_replication_slots")
	d.Exec("SELECT pg_replication_slot_advance('unread', pg_current_wal_flush_lsn())")
	goesOn()
	d.Exec(`
		SELECT pg_drop_replication_slot('unread');
		SELECT pg_create_physical_replication_slot('away', true)`)
	session.Plan(limits)
	waits("physical slot away")
	session.Plan(oneByOne)
	goesOn()

	// All callers obey it alike.
	cmd, stdout, stderr := d.StartProgram(
		"run",
		"--max-notifications",
		"1",
		"--min-keep",
		"0",
		"--max-replica-lag",
		"1s",
	)
	const says = "waiting, physical slot away is"
	deadline := time.Now().Add(20 * time.Second)
	for ; !strings.Contains(stderr.String(), says); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("stderr does not say why: %s", stderr)
		}
	}
	before := d.Record(pgtest.FirstRun).Deleted
	session.Exec(`
		CALL cleanup_notifications_in_batches(1, 0, time_limit => '1 second',
			max_replica_lag => '1 second')`)
	if deleted := d.Record(pgtest.FirstRun).Deleted; deleted != before {
		t.Errorf("deleted are %d, then %d", before, deleted)
	}
	d.Exec("SELECT pg_drop_replication_slot('away')")
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("exit status %d, stdout %s, stderr %s", cmd.ProcessState.ExitCode(), stdout, stderr)
	}
	d.WantEnded("the program")
}

// readsWithoutSayingSo connects a reader to a logical slot that never confirms what it gets.
func readsWithoutSayingSo(d *pgtest.Database, slot string) *pgconn.PgConn {
	d.T.Helper()
	conn, err := pgconn.Connect(context.Background(), d.URL()+"&replication=database")
	if err != nil {
		d.T.Fatal(err)
	}
	d.T.Cleanup(func() { _ = conn.Close(context.Background()) })
	conn.Frontend().SendQuery(&pgproto3.Query{
		String: "START_REPLICATION SLOT " + slot +
			" LOGICAL 0/0 (proto_version '1', publication_names 'nothing')",
	})
	if err := conn.Frontend().Flush(); err != nil {
		d.T.Fatal(err)
	}
	d.Eventually("SELECT bool_or(active) FROM pg_replication_slots WHERE slot_name = '" + slot + "'")
	return conn
}

func TestWhoMayNotSeeTheLagIsRefused(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	singly(d)
	role := d.RoleTo("clean up")
	session := d.OpenSession()
	session.Exec("SET ROLE " + role)
	const call = "CALL cleanup_notifications_in_batches(1, 0, max_replica_lag => '1 minute')"
	if err := session.Refused(call, "42501"); err.Hint != fmt.Sprintf(
		"GRANT pg_read_all_stats TO %s, or leave max_replica_lag NULL.",
		role,
	) {
		t.Errorf("%s HINT %s", err.Message, err.Hint)
	}
	d.WantRuns()
	d.GrantUses(role, "replicas")
	session.Exec(call)
	d.WantEnded("the run")
}
