package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"
)

var rounds = flag.Int("rounds", 3, "how often each crash test kills something")

// crowd are 35 inboxes over a limit of 40, five of them all unread, and what a run owes each of them.
const crowd = `
	TRUNCATE notifications, notification_cleanup_runs, notification_cleanup_cutoffs, notification_cleanup_batches, notification_cleanup_throttles RESTART IDENTITY;
	INSERT INTO notifications (id, user_id, status, created_at)
	SELECT md5(u || ' ' || i)::uuid, md5(u::text)::uuid, CASE WHEN i % 7 = 0 OR u > 30 THEN 'unread' ELSE 'read' END, timestamptz '2025-01-01Z' + i * interval '1 minute'
	FROM generate_series(1, 35) AS u, generate_series(1, 60 + u) AS i;
	DROP TABLE IF EXISTS owed;
	CREATE TABLE owed AS SELECT user_id, deletable_notifications AS owed FROM preview_notification_cleanup(40, 10)`

// crowdCall is a run that may be killed.
type crowdCall struct {
	ended   chan struct{}
	err     error
	program *exec.Cmd // where it is the program
}

// startCrowd starts a run for the crowd, in batches of one page where the way has batches.
func startCrowd(t *testing.T, d *database, way string) *crowdCall {
	t.Helper()
	call := &crowdCall{ended: make(chan struct{})}
	var wait func() error
	if way == "program" {
		var stderr *output
		call.program, _, stderr = process(t, d.url(), "-max-notifications", "40", "-min-keep", "10", "-batch-size", "1", "-workers", "2")
		wait = func() error {
			if err := call.program.Wait(); err != nil {
				return fmt.Errorf("%w: %s", err, stderr)
			}
			return nil
		}
	} else {
		conn, statement := d.connect(), cleanupCall("40, 10")
		if way == "procedure" {
			statement = "CALL cleanup_notifications_in_batches(40, 10, 1)"
		}
		wait = func() error {
			defer conn.Close(context.Background())
			_, err := conn.Exec(context.Background(), statement)
			return err
		}
	}
	go func() { defer close(call.ended); call.err = wait() }()
	return call
}

// kills end something in the middle of a run.
var kills = map[string]func(s *ownServer, d *database, call *crowdCall){
	"a backend": func(s *ownServer, d *database, _ *crowdCall) {
		const busy = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY state = 'active' DESC, random() LIMIT 1"
		for _, pid := range all[int](d, busy) {
			s.signal(syscall.SIGKILL, pid)
			for syscall.Kill(pid, 0) == nil { // until the server knows; it takes no connection then before it has recovered
				time.Sleep(time.Millisecond)
			}
		}
	},
	"the server": func(s *ownServer, _ *database, _ *crowdCall) { s.kill() },
	"a worker": func(s *ownServer, _ *database, _ *crowdCall) {
		for _, worker := range s.workers[:min(1, len(s.workers))] {
			worker.kill()
		}
	},
	"a server's stop": func(s *ownServer, _ *database, _ *crowdCall) { s.stop() },
	"the program": func(_ *ownServer, _ *database, call *crowdCall) {
		if call.program != nil {
			_ = call.program.Process.Kill()
		}
	},
}

// Whatever is killed at whatever moment: the records say what was committed, nothing stays locked, and the next call does the rest.
func TestTheNextRunPutsRightWhatAKillLeft(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	kinds := []*database{s.migrated()}
	if s.workers == nil {
		kinds = append(kinds, s.adopted("hash", partitionedTables["hash of the user"]), s.adopted("range", partitionedTables["range of time"]))
	}
	for _, way := range slices.Sorted(maps.Keys(ways)) {
		d := kinds[0].openSession()
		d.exec(crowd)
		start := time.Now()
		<-startCrowd(t, d, way).ended
		d.wantCrowdServed("an undisturbed " + way)
		duration := time.Since(start)
		for victim, kill := range kills {
			if victim == "the program" && way != "program" || victim == "a worker" && s.workers == nil {
				continue
			}
			for round := range *rounds {
				d = kinds[round%len(kinds)].openSession()
				d.exec(crowd)
				call := startCrowd(t, d, way)
				delay := time.Duration(rand.Int64N(int64(duration)))
				time.Sleep(delay)
				kill(s, d, call)
				s.start() // which the program waits for, too
				<-call.ended
				d = d.openSession()
				eventually(t, d, alone)
				after := fmt.Sprintf("killing %s %s into a %s of %s in database %s", victim, delay, way, duration, d.name)
				d.wantNothingHalfDone(after, way)
				if err := runCrowd(t, d, way); err != nil {
					t.Errorf("after %s, %v", after, err)
				}
				d.wantCrowdServed(after)
			}
		}
	}
}

// After a crash the server may give the id of a lost transaction to another one.
func TestACommitThatACrashHasLostIsRepeated(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := s.migrated()
	d.exec(inboxes)
	d.exec("INSERT INTO notifications (user_id, status, deleted_at) VALUES (md5('2')::uuid, 'read', '2025-01-01Z')")
	d.exec(`CREATE FUNCTION block() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER block AFTER UPDATE ON notifications DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (OLD.user_id = md5('2')::uuid) EXECUTE FUNCTION block();
		SELECT pg_advisory_lock(1)`)
	cmd, stdout, stderr := process(t, d.url(), "run", "-batch-size", "1")
	eventually(t, d, blocked) // while it commits
	s.kill()
	s.start()
	for range 100 {
		if _, err := s.admin.Exec(t.Context(), "SELECT pg_current_xact_id()"); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait()
	d = d.openSession()
	d.exec("DELETE FROM notifications WHERE deleted_at = '2025-01-01Z'")
	expectWholeRun(t, d, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String())
}

// wantNothingHalfDone is for a run of the crowd that was killed, or not.
func (d *database) wantNothingHalfDone(after, way string) {
	d.t.Helper()
	d.wantTrueRecords(after)
	d.wantNone(after, "a record is not of this plan", `SELECT r::text FROM notification_cleanup_runs AS r
		WHERE (users_over_limit, users_still_over_limit, notifications_planned) NOT IN (SELECT 35, 5, sum(owed) FROM owed)
			OR notifications_deleted > notifications_planned OR notifications_skipped > 0`)
	d.wantNone(after, "what a run has left is not in the queue, or more is", `SELECT r::text FROM notification_cleanup_runs AS r
		WHERE (finished_at IS NULL) <> EXISTS (SELECT FROM notification_cleanup_batches AS b WHERE b.run_id = r.id)
			OR (finished_at IS NULL) <> EXISTS (SELECT FROM notification_cleanup_cutoffs AS c WHERE c.run_id = r.id)
			OR finished_at IS NOT NULL AND notifications_deleted < notifications_planned`)
	if way == "function" {
		d.wantNone(after, "a function has left something", `SELECT r::text FROM notification_cleanup_runs AS r WHERE finished_at IS NULL`)
	}
	d.wantNothingLocked()
}

// wantTrueRecords compares each run's record with what it did. Its users are counted when it ends.
func (d *database) wantTrueRecords(after string) {
	d.t.Helper()
	d.wantNone(after, "a record is not what was committed", `SELECT format('%s, but %s of %s users', r.id, count(n.id), count(DISTINCT n.user_id))
		FROM notification_cleanup_runs AS r LEFT JOIN notifications AS n ON n.deleted_at = r.started_at
		GROUP BY r.id, r.finished_at, r.notifications_deleted, r.users_cleaned
		HAVING (count(n.id), CASE WHEN r.finished_at IS NOT NULL THEN count(DISTINCT n.user_id) ELSE 0 END) <> (r.notifications_deleted, r.users_cleaned)`)
	d.wantNone(after, "an unread one is deleted", `SELECT n.id::text FROM notifications AS n JOIN notification_cleanup_runs AS r ON n.deleted_at = r.started_at
		WHERE n.status <> 'read'`)
}

// wantNone runs a query that finds broken promises.
func (d *database) wantNone(after, broken, query string) {
	d.t.Helper()
	if got := all[string](d, query); len(got) > 0 {
		d.t.Errorf("after %s, %s: %q", after, broken, got)
	}
}

// wantCrowdServed is for when every call has returned: each user lost what the runs owed him, and no run is open.
func (d *database) wantCrowdServed(after string) {
	d.t.Helper()
	const served = "SELECT ARRAY[(SELECT sum(owed) FROM owed), (SELECT count(deleted_at) FROM notifications), (SELECT sum(notifications_deleted) FROM notification_cleanup_runs)]::bigint[]"
	if got := one[[]int64](d, served); got[0] != got[1] || got[0] != got[2] {
		d.t.Errorf("after %s, %d were to be deleted, %d were, the records say %d", after, got[0], got[1], got[2])
	}
	d.wantNone(after, "a user lost more than was owed, or less", `SELECT format('%s: %s of %s', user_id, count(n.deleted_at), owed)
		FROM owed JOIN notifications AS n USING (user_id) GROUP BY user_id, owed HAVING count(n.deleted_at) <> owed`)
	d.wantTrueRecords(after)
	d.wantEnded(after)
}
