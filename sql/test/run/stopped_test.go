package run

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// callers run the cleanup in batches of one page, and return the error.
var callers = map[string]func(t *testing.T, d *pgtest.Database) error{
	"procedure": func(t *testing.T, d *pgtest.Database) error {
		_, err := d.Connect().Exec(context.Background(), `
			CALL cleanup_notifications_in_batches(batch_size => 100)`)
		return err
	},
	"program": func(t *testing.T, d *pgtest.Database) error {
		cmd, _, stderr := d.StartProgram("run", "--batch-size", "100")
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%w: %s", err, stderr)
		}
		return nil
	},
}

// wantBatchesKept is for a run of inboxes that was stopped at user 2: it keeps what it had
// committed, and holds nothing.
func wantBatchesKept(d *pgtest.Database, err error, says string) {
	d.T.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		d.T.Errorf("error %v, want %q", err, says)
	}
	d.WantRuns("(1,1950,1000,0,t)")
	if n := pgtest.One[int](d, `SELECT runs_unfinished FROM notification_cleanup_health`); n != 1 {
		d.T.Errorf("%d unfinished runs, want 1", n)
	}
	if n := pgtest.One[int](d, "SELECT count(deleted_at) FROM notifications"); n != 1000 {
		d.T.Errorf("%d rows are deleted, want the 1000 of user 1", n)
	}
	d.WantNothingLocked()
}

// stops are what a database administrator, or a setting, may do to a session.
var stops = map[string]struct{ setting, statement, says string }{
	"pg_cancel_backend": {"", `
		SELECT pg_cancel_backend(pid) FROM pg_locks WHERE NOT granted`, "57014"},
	"statement_timeout": {"statement_timeout = '5s'", "", "57014"},
	"pg_terminate_backend": {"", `
		SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted`, "57P01"},
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
				d := pgtest.New(t)
				d.Exec(pgtest.Inboxes)
				release := d.BlockUser2()
				if stop.setting != "" {
					d.Exec(pgtest.SetForDatabase(stop.setting))
				}
				ended := make(chan error, 1)
				go func() { ended <- run(t, d) }()
				if stop.statement != "" {
					d.Eventually(pgtest.Blocked)
					d.Exec(
						stop.statement + " AND database = (SELECT oid FROM pg_database WHERE datname =" +
							" current_database())",
					)
				}
				err := <-ended
				release()
				d.Eventually(pgtest.Alone)
				wantBatchesKept(d, err, stop.says)
				// The next call ends that run, and plans its own.
				if err := run(t, d); err != nil {
					t.Error(err)
				}
				d.WantRuns("(1,1950,1950,2,f)", "(2,0,0,0,f)")
				d.WantEnded("the next call")
			})
		}
	}
}

func TestBatchesReadCommittedWhateverTheDefault(t *testing.T) {
	t.Parallel()
	for caller, run := range callers {
		for _, level := range []string{"repeatable read", "serializable"} {
			t.Run(caller+" "+level, func(t *testing.T) {
				t.Parallel()
				d := pgtest.New(t)
				d.Exec(pgtest.Inboxes)
				d.Exec(`CREATE FUNCTION level() RETURNS trigger LANGUAGE plpgsql AS $$
					BEGIN
						ASSERT current_setting('transaction_isolation') = 'read committed';
						RETURN NULL;
					END $$;
					CREATE TRIGGER level BEFORE UPDATE ON notifications
					FOR EACH STATEMENT
					EXECUTE FUNCTION level()`)
				d.Exec(pgtest.SetForDatabase("default_transaction_isolation = '" + level + "'"))
				if err := run(t, d); err != nil {
					t.Error(err)
				}
				if n := pgtest.One[int](d, "SELECT count(deleted_at) FROM notifications"); n != 1950 {
					t.Errorf("deleted %d, want 1950", n)
				}
			})
		}
	}
}

// The application waits for one batch at most: what is done is released, whatever the next batch
// waits for.
func TestAFinishedBatchHoldsNothing(t *testing.T) {
	t.Parallel()
	for caller, run := range callers {
		t.Run(caller, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(pgtest.Inboxes)
			release := d.BlockUser2()
			ended := make(chan error, 1)
			go func() { ended <- run(t, d) }()
			d.Eventually(pgtest.Blocked)
			d.Exec("SELECT FROM notifications WHERE user_id = md5('1')::uuid FOR UPDATE NOWAIT")
			release()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestATriggerThatVetoesEverythingDoesNotMakeARunEndless(t *testing.T) {
	t.Parallel()
	for way, clean := range pgtest.Ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(pgtest.Inboxes)
			d.Exec(`
				INSERT INTO notifications (user_id, status, deleted_at)
				VALUES (md5('4')::uuid, 'read', '2025-01-01Z')`)
			d.Exec(`CREATE FUNCTION veto() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
				CREATE TRIGGER veto BEFORE UPDATE OR DELETE ON notifications
				FOR EACH ROW
				EXECUTE FUNCTION veto()`)
			clean(d)
			const record = `
				SELECT row(users_over_limit, users_cleaned, users_still_over_limit, notifications_deleted,
					finished_at IS NULL)::text
				FROM notification_cleanup_runs`
			if got := pgtest.One[string](d, record); got != "(3,0,3,0,f)" {
				t.Errorf("the record is %s", got)
			}
			d.Exec("SELECT restore_notifications(1)")
			// Nothing purged is a failure where a trigger stood in the way of it.
			stdout, stderr, status := d.Program(nil, "purge", "--retention", "1h")
			if status != 1 ||
				stdout != `{"notifications_purged":0}`+"\n" ||
				!strings.Contains(stderr, "notification_cleanup_refused") {
				t.Errorf("purge: exit status %d, %s%s", status, stdout, stderr)
			}
		})
	}
}

func TestATriggerThatRaisesStopsTheRunAndIsQuoted(t *testing.T) {
	t.Parallel()
	for caller, run := range callers {
		t.Run(caller, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(pgtest.Inboxes)
			d.Exec(`
				CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
				BEGIN
					RAISE 'user 2 is under audit';
				END $$;
				CREATE TRIGGER refuse BEFORE UPDATE ON notifications
				FOR EACH ROW WHEN (OLD.user_id = md5('2')::uuid)
				EXECUTE FUNCTION refuse()`)
			err := run(t, d)
			d.Exec("DROP TRIGGER refuse ON notifications")
			wantBatchesKept(d, err, "user 2 is under audit")
			// The function neither continues that run nor ends it. Then there is nothing left for
			// it.
			d.Exec("SELECT cleanup_notifications()")
			d.WantRuns("(1,1950,1000,0,t)", "(2,950,950,1,f)")
			if err := run(t, d); err != nil {
				t.Error(err)
			}
			d.WantRuns("(1,1950,1000,1,f)", "(2,950,950,1,f)", "(3,0,0,0,f)")
			d.WantEnded("the next call")
		})
	}
}

func TestAPublicationWithoutReplicaIdentityIsTheServersError(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, strings.Replace(pgtest.NullableTable, "PRIMARY KEY", "NOT NULL UNIQUE", 1))
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Exec("CREATE PUBLICATION everything FOR TABLE notifications")
	d.Refused(pgtest.CleanupCall(""), "55000")
	if stdout, stderr, status := d.Program(nil); status != 1 ||
		!strings.Contains(stderr, "replica identity") {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	if got := d.Numbers("deleted_at IS NOT NULL"); got != "" {
		t.Errorf("deleted %q", got)
	}
	d.Exec("ALTER TABLE notifications REPLICA IDENTITY FULL")
	d.WantCleanup("", "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}
