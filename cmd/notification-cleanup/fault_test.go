package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// callers run the cleanup in batches of one page, and return the error.
var callers = map[string]func(t *testing.T, d *database) error{
	"procedure": func(t *testing.T, d *database) error {
		_, err := d.connect().Exec(context.Background(), "CALL cleanup_notifications_in_batches(batch_size => 1)")
		return err
	},
	"program": func(t *testing.T, d *database) error {
		cmd, _, stderr := process(t, d.url(), "run", "-batch-size", "1")
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%w: %s", err, stderr)
		}
		return nil
	},
}

// wantBatchesKept is for a run of inboxes that was stopped at user 2: it keeps what it had committed, and holds nothing.
func (d *database) wantBatchesKept(err error, says string) {
	d.t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		d.t.Errorf("error %v, want %q", err, says)
	}
	d.wantRuns("(1,1950,1000,0,t)")
	if n := one[int](d, `SELECT runs_unfinished FROM notification_cleanup_health`); n != 1 {
		d.t.Errorf("%d unfinished runs, want 1", n)
	}
	if n := one[int](d, "SELECT count(deleted_at) FROM notifications"); n != 1000 {
		d.t.Errorf("%d rows are deleted, want the 1000 of user 1", n)
	}
	d.wantNothingLocked()
}

// wantRuns compares of each record the id, what was planned and deleted, the users cleaned, and whether it has no end.
func (d *database) wantRuns(want ...string) {
	d.t.Helper()
	const records = `SELECT row(id, notifications_planned, notifications_deleted, users_cleaned, finished_at IS NULL)::text FROM notification_cleanup_runs ORDER BY id`
	if got := all[string](d, records); !slices.Equal(got, want) {
		d.t.Errorf("the records are %q, want %q", got, want)
	}
}

// stops are what a database administrator, or a setting of his, may do to a session.
var stops = map[string]struct{ setting, statement, says string }{
	"pg_cancel_backend":    {"", "SELECT pg_cancel_backend(pid) FROM pg_locks WHERE NOT granted", "57014"},
	"statement_timeout":    {"statement_timeout = '5s'", "", "57014"},
	"pg_terminate_backend": {"", "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted", "57P01"},
}

func TestAStoppedRunKeepsItsBatchesAndTheNextOneGoesOn(t *testing.T) {
	t.Parallel()
	for caller, run := range callers {
		for name, stop := range stops {
			if caller == "program" && name == "pg_terminate_backend" {
				continue // it connects again: TestATerminatedBatchIsRetriedAndCountedOnce
			}
			t.Run(caller+" "+name, func(t *testing.T) {
				t.Parallel()
				d := newDatabase(t)
				d.exec(inboxes)
				release := blockUser2(d)
				if stop.setting != "" {
					d.exec(setForDatabase(stop.setting))
				}
				ended := make(chan error, 1)
				go func() { ended <- run(t, d) }()
				if stop.statement != "" {
					eventually(t, d, blocked)
					d.exec(stop.statement + " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
				}
				err := <-ended
				release()
				eventually(t, d, alone)
				d.wantBatchesKept(err, stop.says)
				// The next call ends that run, and plans its own.
				if err := run(t, d); err != nil {
					t.Error(err)
				}
				d.wantRuns("(1,1950,1950,2,f)", "(2,0,0,0,f)")
				d.wantEnded("the next call")
			})
		}
	}
}

// A table that is locked as a whole, by ALTER TABLE for instance, is waited for.
func TestALockTimeoutIsRetriedUntilTheTableIsFree(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	d.exec(setForDatabase("lock_timeout = '20ms'"))
	d.exec("BEGIN; LOCK TABLE notifications")
	cmd, stdout, stderr := process(t, d.url(), "run", "-batch-size", "1")
	for !strings.Contains(stderr.String(), "retrying") { // at least once
		time.Sleep(time.Millisecond)
	}
	d.exec("COMMIT")
	_ = cmd.Wait()
	expectWholeRun(t, d, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String())
}

func TestBatchesReadCommittedWhateverTheDefault(t *testing.T) {
	t.Parallel()
	for caller, run := range callers {
		for _, level := range []string{"repeatable read", "serializable"} {
			t.Run(caller+" "+level, func(t *testing.T) {
				t.Parallel()
				d := newDatabase(t)
				d.exec(inboxes)
				d.exec(`CREATE FUNCTION level() RETURNS trigger LANGUAGE plpgsql AS $$
					BEGIN
						ASSERT current_setting('transaction_isolation') = 'read committed';
						RETURN NULL;
					END $$;
					CREATE TRIGGER level BEFORE UPDATE ON notifications FOR EACH STATEMENT EXECUTE FUNCTION level()`)
				d.exec(setForDatabase("default_transaction_isolation = '" + level + "'"))
				if err := run(t, d); err != nil {
					t.Error(err)
				}
				if n := one[int](d, "SELECT count(deleted_at) FROM notifications"); n != 1950 {
					t.Errorf("deleted %d, want 1950", n)
				}
			})
		}
	}
}

// The application waits for one batch at most: what is done is released, whatever the next batch waits for.
func TestAFinishedBatchHoldsNothing(t *testing.T) {
	t.Parallel()
	for caller, run := range callers {
		t.Run(caller, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(inboxes)
			release := blockUser2(d)
			ended := make(chan error, 1)
			go func() { ended <- run(t, d) }()
			eventually(t, d, blocked)
			d.exec("SELECT FROM notifications WHERE user_id = md5('1')::uuid FOR UPDATE NOWAIT")
			release()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestATriggerThatVetoesEverythingDoesNotMakeARunEndless(t *testing.T) {
	t.Parallel()
	for way, clean := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(inboxes)
			d.exec("INSERT INTO notifications (user_id, status, deleted_at) VALUES (md5('4')::uuid, 'read', '2025-01-01Z')")
			d.exec(`CREATE FUNCTION veto() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
				CREATE TRIGGER veto BEFORE UPDATE OR DELETE ON notifications FOR EACH ROW EXECUTE FUNCTION veto()`)
			clean(t, d)
			const record = "SELECT row(users_over_limit, users_cleaned, users_still_over_limit, notifications_deleted, finished_at IS NULL)::text FROM notification_cleanup_runs"
			if got := one[string](d, record); got != "(3,0,3,0,f)" {
				t.Errorf("the record is %s", got)
			}
			d.exec("SELECT restore_notifications(1)")
			if stdout, _, status := command(t, d, nil, "purge", "-retention", "1h"); status != 0 || stdout != `{"notifications_purged":0}`+"\n" {
				t.Errorf("purge: exit status %d, %s", status, stdout)
			}
		})
	}
}

func TestATriggerThatRaisesStopsTheRunAndIsQuoted(t *testing.T) {
	t.Parallel()
	for caller, run := range callers {
		t.Run(caller, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(inboxes)
			d.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'user 2 is under audit'; END $$;
				CREATE TRIGGER refuse BEFORE UPDATE ON notifications FOR EACH ROW WHEN (OLD.user_id = md5('2')::uuid) EXECUTE FUNCTION refuse()`)
			err := run(t, d)
			d.exec("DROP TRIGGER refuse ON notifications")
			d.wantBatchesKept(err, "user 2 is under audit")
			// The function neither continues that run nor ends it. Then there is nothing left for it.
			d.exec("SELECT cleanup_notifications()")
			d.wantRuns("(1,1950,1000,0,t)", "(2,950,950,1,f)")
			if err := run(t, d); err != nil {
				t.Error(err)
			}
			d.wantRuns("(1,1950,1000,1,f)", "(2,950,950,1,f)", "(3,0,0,0,f)")
			d.wantEnded("the next call")
		})
	}
}

func TestAPublicationWithoutReplicaIdentityIsTheServersError(t *testing.T) {
	t.Parallel()
	d := adopt(t, strings.Replace(nullable, "PRIMARY KEY", "NOT NULL UNIQUE", 1))
	d.insert(alice, "read", 1, 1001)
	d.exec("CREATE PUBLICATION everything FOR TABLE notifications")
	d.refused(cleanupCall(""), "55000")
	if stdout, stderr, status := command(t, d, nil); status != 1 || !strings.Contains(stderr, "replica identity") {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	if got := d.numbers("deleted_at IS NOT NULL"); got != "" {
		t.Errorf("deleted %q", got)
	}
	d.exec("ALTER TABLE notifications REPLICA IDENTITY FULL")
	d.wantCleanup("", "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}
