package pgtest

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Crowd is 35 inboxes over a limit of 40, five of them all unread, in place of all that there is,
// and what a run owes each of them.
const Crowd = `
	TRUNCATE
		notifications,
		notification_cleanup_runs,
		notification_cleanup_batches,
		notification_cleanup_open_runs
	RESTART IDENTITY;
	INSERT INTO notifications (id, user_id, status, created_at)
	SELECT
		md5(u || ' ' || i)::uuid,
		md5(u::text)::uuid,
		CASE WHEN i % 7 = 0 OR u > 30 THEN 'unread' ELSE 'read' END,
		timestamptz '2025-01-01Z' + i * interval '1 minute'
	FROM generate_series(1, 35) AS u, generate_series(1, 60 + u) AS i;
	DROP TABLE IF EXISTS owed;
	CREATE TABLE owed AS
	SELECT user_id, deletable_notifications AS owed FROM preview_notification_cleanup(40, 10)`

// CrowdCall is a run for the crowd that may be killed.
type CrowdCall struct {
	Ended   chan struct{} // is closed then
	Err     error         // when it has ended
	Program *exec.Cmd     // where it is the program
}

// StartCrowd starts a run for the crowd in one of the Ways, in batches of one page where the way
// has batches.
func (d *Database) StartCrowd(way string) *CrowdCall {
	d.T.Helper()
	call := &CrowdCall{Ended: make(chan struct{})}
	wait := d.startCrowdCall(call, way)
	go func() {
		defer close(call.Ended)
		call.Err = wait()
	}()
	return call
}

func (d *Database) startCrowdCall(call *CrowdCall, way string) (wait func() error) {
	d.T.Helper()
	if way == "program" {
		var stderr *Output
		call.Program, _, stderr = d.StartProgram(
			"--max-notifications", "40", "--min-keep", "10", "--batch-size", "25", "--workers", "2")
		return func() error {
			if err := call.Program.Wait(); err != nil {
				return fmt.Errorf("%w: %s", err, stderr)
			}
			return nil
		}
	}
	conn, statement := d.Connect(), CleanupCall("40, 10")
	if way == "procedure" {
		statement = "CALL cleanup_notifications_in_batches(40, 10, 1)"
	}
	return func() error {
		defer conn.Close(context.Background())
		_, err := conn.Exec(context.Background(), statement)
		return err
	}
}

// RunCrowd runs for the crowd, and again where PostgreSQL took its own lock_timeout for a user's
// cancel: if it fires at the moment that a session gets one lock and goes on to wait for another,
// as for a row that several sessions wait for, ProcSleep forgets why.
func (d *Database) RunCrowd(way string) error {
	for {
		call := d.StartCrowd(way)
		<-call.Ended
		switch {
		case call.Err == nil:
			return nil
		case !strings.Contains(call.Err.Error(), "canceling statement due to user request"):
			return fmt.Errorf("the %s failed: %w", way, call.Err)
		}
		d.T.Logf("a lock_timeout was taken for a cancel")
	}
}

// WantCrowdServed is for when every call has returned: each user lost what the runs owed them, and
// no run is open.
func (d *Database) WantCrowdServed(after string) {
	d.T.Helper()
	const served = `
		SELECT ARRAY[
			(SELECT sum(owed) FROM owed),
			(SELECT count(deleted_at) FROM notifications),
			(SELECT sum(notifications_deleted) FROM notification_cleanup_runs)
		]::bigint[]`
	if got := One[[]int64](d, served); got[0] != got[1] || got[0] != got[2] {
		d.T.Errorf("after %s, %d were to be deleted, %d were, the records say %d",
			after, got[0], got[1], got[2])
	}
	d.WantNone(after, "a user lost more than was owed, or less", `
		SELECT format('%s: %s of %s', user_id, count(n.deleted_at), owed)
		FROM owed
		JOIN notifications AS n USING (user_id)
		GROUP BY user_id, owed
		HAVING count(n.deleted_at) <> owed`)
	d.WantTrueRecords(after)
	d.WantEnded(after)
}

// WantNothingHalfDone is for a run of the crowd that was killed, or not.
func (d *Database) WantNothingHalfDone(after, way string) {
	d.T.Helper()
	d.WantTrueRecords(after)
	d.WantNone(after, "a record is not of this plan", `
		SELECT r::text
		FROM notification_cleanup_runs AS r
		WHERE (users_over_limit, users_still_over_limit, notifications_planned)
				NOT IN (SELECT 35, 5, sum(owed) FROM owed)
			OR notifications_deleted > notifications_planned
			OR notifications_skipped > 0`)
	d.WantNone(after, "what a run has left is not in the queue, or more is", `
		SELECT r::text
		FROM notification_cleanup_runs AS r
		WHERE (finished_at IS NULL)
				<> EXISTS (SELECT FROM notification_cleanup_batches AS b WHERE b.run_id = r.id)
			OR (finished_at IS NULL)
				<> EXISTS (SELECT FROM notification_cleanup_open_runs AS o WHERE o.run_id = r.id)
			OR finished_at IS NOT NULL AND notifications_deleted < notifications_planned`)
	if way == "function" {
		d.WantNone(after, "a function has left something",
			`SELECT r::text FROM notification_cleanup_runs AS r WHERE finished_at IS NULL`)
	}
	d.WantNothingLocked()
}

// WantTrueRecords compares each run's record with what it did. Its users are counted when it ends.
// On Citus a kill can come between the commits on a worker and on the coordinator: what the batch
// has deleted then, which is not done, the record tells when that comes again.
func (d *Database) WantTrueRecords(after string) {
	d.T.Helper()
	told := ""
	if OnCitus() {
		told = "FILTER (WHERE left_over.id IS NULL)"
	}
	d.WantNone(after, "a record is not what was committed", fmt.Sprintf(`
		WITH left_over AS MATERIALIZED (
			SELECT b.run_id, unnest(b.ids) AS id
			FROM notification_cleanup_batches AS b
			WHERE b.done_at IS NULL
		)
		SELECT format('%%s told %%s, but %%s of %%s users',
			r.id, r.notifications_deleted, count(n.id), count(DISTINCT n.user_id))
		FROM notification_cleanup_runs AS r
		LEFT JOIN notifications AS n ON n.deleted_at = r.started_at
		LEFT JOIN left_over ON left_over.run_id = r.id AND left_over.id = n.id
		GROUP BY r.id, r.finished_at, r.notifications_deleted, r.users_cleaned
		HAVING (
				count(n.id) %s,
				CASE WHEN r.finished_at IS NOT NULL THEN count(DISTINCT n.user_id) ELSE 0 END
			) <> (r.notifications_deleted, r.users_cleaned)`, told))
	d.WantNone(after, "an unread one is deleted", `
		SELECT n.id::text
		FROM notifications AS n
		JOIN notification_cleanup_runs AS r ON n.deleted_at = r.started_at
		WHERE n.status <> 'read'`)
}
