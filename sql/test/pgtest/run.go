package pgtest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Run is a row of notification_cleanup_runs.
type Run struct {
	ID               int64      `db:"id"`
	StartedAt        time.Time  `db:"started_at"`
	FinishedAt       *time.Time `db:"finished_at"`
	MaxNotifications int32      `db:"max_notifications"`
	MinKeep          int32      `db:"min_keep"`
	Planned          int64      `db:"notifications_planned"`
	Counts
	Restored        int64  `db:"notifications_restored"`
	InvokedBy       string `db:"invoked_by"`
	ApplicationName string `db:"application_name"`
}

// Counts are what a run counts of users and notifications.
type Counts struct {
	OverLimit int64 `db:"users_over_limit"`
	Cleaned   int64 `db:"users_cleaned"`
	StillOver int64 `db:"users_still_over_limit"`
	Deleted   int64 `db:"notifications_deleted"`
	Skipped   int64 `db:"notifications_skipped"`
	Changed   int64 `db:"notifications_changed"`
}

// StartedAtOf is a query for started_at of the run.
func StartedAtOf(r Run) string {
	return fmt.Sprintf("SELECT started_at FROM notification_cleanup_runs WHERE id = %d", r.ID)
}

// FirstRun is the run with the id 1, of which nothing else is known here.
var FirstRun = Run{ID: 1}

const recordOfFirstRun = "SELECT * FROM notification_cleanup_runs WHERE id = 1"

// CleanupCall is a call of the function.
func CleanupCall(arguments string) string {
	return "SELECT * FROM cleanup_notifications(" + arguments + ")"
}

// Cleanup calls the function.
func (d *Database) Cleanup(arguments string) Run {
	d.T.Helper()
	return d.runBy(CleanupCall(arguments))
}

// Plan calls plan_notification_cleanup.
func (d *Database) Plan(arguments string) Run {
	d.T.Helper()
	return d.runBy("SELECT * FROM plan_notification_cleanup(" + arguments + ")")
}

// runBy returns the record that a call returns.
func (d *Database) runBy(call string) Run {
	d.T.Helper()
	d.Note(call)
	return Collect(d, pgx.RowToStructByName[Run], call)[0]
}

// Batch does the next batch of a run, and returns how many it deleted; -1 is for NULL, the end of
// the run.
func (d *Database) Batch(run Run) int {
	d.T.Helper()
	call := fmt.Sprintf("SELECT coalesce(cleanup_next_batch(%d), -1)", run.ID)
	d.Note(call)
	return One[int](d, call)
}

// Drain does the batches of a run that are left, and returns how many notifications each deleted.
func (d *Database) Drain(run Run) (batches []int) {
	d.T.Helper()
	for {
		deleted := d.Batch(run)
		if deleted < 0 {
			return batches
		}
		batches = append(batches, deleted)
	}
}

// Record returns what the table says of a run by now.
func (d *Database) Record(run Run) Run {
	d.T.Helper()
	query := fmt.Sprintf("SELECT * FROM notification_cleanup_runs WHERE id = %d", run.ID)
	return Collect(d, pgx.RowToStructByName[Run], query)[0]
}

// Background is a call that may still be under way.
type Background struct {
	done chan struct{}
	run  Run
	err  error
}

// Wait returns the record that the call returned, or how it failed.
func (b *Background) Wait() (Run, error) {
	<-b.done
	return b.run, b.err
}

// StartCleanup calls the function in the background.
func (d *Database) StartCleanup(arguments string) *Background {
	return d.StartCalls(CleanupCall(arguments))
}

// StartProcedure calls the procedure for run 1, which is planned already or to be planned by it.
func (d *Database) StartProcedure(arguments string) *Background {
	return d.StartCalls("CALL cleanup_notifications_in_batches("+arguments+")", recordOfFirstRun)
}

// StartBatches does one batch after another of run 1, until it has ended.
func (d *Database) StartBatches() *Background {
	const batches = "DO $$ BEGIN WHILE cleanup_next_batch(1) IS NOT NULL LOOP COMMIT; END LOOP; END $$"
	return d.StartCalls(batches, recordOfFirstRun)
}

// StartCalls executes these statements in the background. The last one returns a record.
func (d *Database) StartCalls(statements ...string) *Background {
	d.Note("/* in the background */ " + strings.Join(statements, "; "))
	b := &Background{done: make(chan struct{})}
	go func() {
		defer close(b.done)
		last := len(statements) - 1
		for _, statement := range statements[:last] {
			if _, b.err = d.Conn.Exec(context.Background(), statement); b.err != nil {
				return
			}
		}
		rows, _ := d.Conn.Query(context.Background(), statements[last])
		b.run, b.err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Run])
	}()
	return b
}

// BatchInBackground does a batch in a session of its own, which has to wait: see PauseAt. What it
// returns waits for its end.
func (d *Database) BatchInBackground(run Run) (deleted func() int) {
	d.T.Helper()
	type ending struct {
		deleted int
		err     error
	}
	session, ended := d.OpenSession(), make(chan ending, 1)
	go func() {
		var e ending
		call := fmt.Sprintf("SELECT cleanup_next_batch(%d)", run.ID)
		e.err = session.Conn.QueryRow(context.Background(), call).Scan(&e.deleted)
		ended <- e
	}()
	d.Eventually(Blocked)
	return func() int {
		d.T.Helper()
		e := <-ended
		if e.err != nil {
			d.T.Errorf("%v", e.err)
		}
		return e.deleted
	}
}
