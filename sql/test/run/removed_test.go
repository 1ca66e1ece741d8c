package run

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// removals are how a history goes, or a run of it.
var removals = map[string]string{
	"deleted":   "DELETE FROM notification_cleanup_runs",
	"truncated": "TRUNCATE notification_cleanup_runs CASCADE",
}

// wantRemoved is for when nothing may be left of run 1, and the job has to go on without it.
func wantRemoved(d *pgtest.Database, err error) {
	d.T.Helper()
	if err == nil || !strings.Contains(err.Error(), "no cleanup run 1 (SQLSTATE 22023)") {
		d.T.Errorf("whoever worked on it is told %v", err)
	}
	d.WantEnded("the removal")
	const health = "SELECT last_outcome || ' ' || runs_unfinished FROM notification_cleanup_health"
	if got := pgtest.One[string](d, health); got != "never ran 0" {
		d.T.Errorf("health says %s", got)
	}
	d.Exec("SELECT * FROM cleanup_notifications()")
	if n := pgtest.One[int](d, "SELECT count(*) FROM preview_notification_cleanup()"); n != 1 {
		d.T.Errorf("the next run left %d users over the limit, want the one with unread ones", n)
	}
}

func TestWhoeverWorksOnARunIsToldThatItsRecordWasRemoved(t *testing.T) {
	t.Parallel()
	for name, removal := range removals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(pgtest.Inboxes)
			run := d.Plan("batch_size => 100")
			d.Batch(run)
			d.Exec("SELECT stop_notification_cleanup(1)")
			d.Exec(removal)
			wantRemoved(d, d.Refused("SELECT cleanup_next_batch(1)", "22023"))
		})
	}
}

// The batch in flight is done, and counted; only then the history goes. Nobody waits crosswise.
func TestARecordIsRemovedAfterTheBatchInFlight(t *testing.T) {
	t.Parallel()
	for name, removal := range removals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(pgtest.Inboxes)
			d.Exec("SET deadlock_timeout = '1ms'")
			release := d.BlockUser2()
			worker, admin := d.OpenSession(), d.OpenSession()
			worker.Exec("SET deadlock_timeout = '1ms'")
			worked := make(chan error, 1)
			go func() {
				_, err := worker.Conn.Exec(context.Background(), `
					CALL cleanup_notifications_in_batches(batch_size => 100, pause_factor => 0.001)`)
				worked <- err
			}()
			d.Eventually(pgtest.Blocked)
			removed := make(chan error, 1)
			go func() {
				_, err := admin.Conn.Exec(context.Background(), removal)
				removed <- err
			}()
			d.Eventually(`
				SELECT count(*) = 1
				FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ '^(DEL|TRU)'`)
			select {
			case err := <-removed:
				t.Fatalf("it did not wait: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			release()
			if err := <-removed; err != nil {
				t.Errorf("the removal failed: %v", err)
			}
			wantRemoved(d, <-worked)
		})
	}
}

// Logical replication carries the rows of the history, and not the sequence of their numbers.
func TestNewRunsDoNotGetTheNumbersOfOldOnes(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	d.Exec(`
		INSERT INTO notification_cleanup_runs (id, max_notifications, min_keep, started_at)
		OVERRIDING SYSTEM VALUE
		VALUES (2, 10, 5, now() - interval '2 days'), (40, 10, 5, now() - interval '1 day')`)
	for _, says := range []string{"a number below theirs", "one of theirs"} {
		for _, call := range callsWith("") {
			d.Exec("ALTER TABLE notification_cleanup_runs ALTER id RESTART WITH 2")
			if says == "a number below theirs" {
				d.Exec("ALTER TABLE notification_cleanup_runs ALTER id RESTART")
			}
			err := d.Refused(call, "55000")
			const repair = "As the owner: SELECT setval('public.notification_cleanup_runs_id_seq', 40);"
			if err.Hint != repair {
				t.Errorf("%s: %s says %s HINT %s", says, call, err.Message, err.Hint)
			}
		}
	}
	d.WantQueue(0)
	d.Exec("SELECT setval('public.notification_cleanup_runs_id_seq', 40)")
	if run := d.Cleanup(""); run.ID != 41 || run.Deleted != 1950 {
		t.Errorf("then the run is %+v", run)
	}
}

// Its words are those of the server's language.
func TestTheProcedureSaysHowToCallItInAnyLanguage(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	languages := []string{"C"}
	for _, language := range []string{"de_DE.utf8", "de_DE.UTF-8"} {
		if _, err := d.Conn.Exec(t.Context(), "SET lc_messages = '"+language+"'"); err == nil {
			languages = append(languages, language)
			break
		}
	}
	for _, language := range languages {
		d.Exec("SET lc_messages = '" + language + "'")
		err := d.Refused("BEGIN; CALL cleanup_notifications_in_batches()", "2D000")
		if !strings.Contains(fmt.Sprint(err.Message, err.Hint), "SELECT * FROM cleanup_notifications()") {
			t.Errorf("in %s it says %s HINT %s", language, err.Message, err.Hint)
		}
		d.Exec("ROLLBACK")
		d.Exec("CALL cleanup_notifications_in_batches()")
	}
}
