package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestRetriesOnlyWhatMayBeGoneAtTheNextAttempt(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"40001": true, "40P01": true, "55P03": true, "57P01": true, "57P02": true, "57P03": true,
		"53300": true, "08006": true,
		"22023": false, "25006": false, "42501": false, "57014": false, "53100": false,
	} {
		err := fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code})
		if got := database.Transient(err); got != want {
			t.Errorf("transient is %v for SQLSTATE %s", got, code)
		}
	}
	if !database.Transient(io.ErrUnexpectedEOF) {
		t.Error("a lost connection is not transient")
	}
	for _, answer := range []error{pgx.ErrNoRows, errors.New("can't scan into dest")} {
		if database.Transient(answer) {
			t.Errorf("an answer of the server is taken for a lost connection: %v", answer)
		}
	}
}

func TestATerminatedBatchIsRetriedAndCountedOnce(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	cmd, stdout, stderr, release := blockedProgram(t, d)
	_ = cmd.Process.Signal(syscall.SIGSTOP) // a backend answers before it lets go of its locks
	d.Exec(`
		SELECT pg_terminate_backend(pid, 5000)
		FROM pg_stat_activity
		WHERE application_name = 'notification-cleanup' AND datname = current_database()`)
	_ = cmd.Process.Signal(syscall.SIGCONT)
	release()
	_ = cmd.Wait()
	expectWholeRun(t, d, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String())
}

// A table that is locked as a whole, by ALTER TABLE for instance, is waited for.
func TestALockTimeoutIsRetriedUntilTheTableIsFree(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	d.Exec(pgtest.SetForDatabase("lock_timeout = '20ms'"))
	d.Exec("BEGIN; LOCK TABLE notifications")
	cmd, stdout, stderr := process(t, d.URL(), "run", "--batch-size", "100")
	for !strings.Contains(stderr.String(), "retrying") { // at least once
		time.Sleep(time.Millisecond)
	}
	d.Exec("COMMIT")
	_ = cmd.Wait()
	expectWholeRun(t, d, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String())
}

// stubborn is a user who is over the limit even after a run: a batch done twice, or an end, would
// count this one twice.
const stubborn = `
	INSERT INTO notifications (user_id, status, created_at)
	SELECT md5('4')::uuid, CASE WHEN i <= 1500 THEN 'read' ELSE 'unread' END, '2025-01-01'
	FROM generate_series(1, 2700) AS i`

// expectRecord compares the one record.
func expectRecord(t *testing.T, d *pgtest.Database, want string, status int, stderr string) {
	t.Helper()
	const record = `
		SELECT row(users_over_limit, users_cleaned, users_still_over_limit, notifications_planned,
			notifications_deleted)::text
		FROM notification_cleanup_runs`
	if got := pgtest.One[string](d, record); status != 0 || got != want {
		t.Errorf("exit status %d, record %s, want %s, stderr %s", status, got, want, stderr)
	}
	d.WantEnded("the lost connections")
}

func TestALostAnswerToCommitIsNotCountedTwice(t *testing.T) {
	t.Parallel()
	// Every other answer is lost: of the look at what is installed, of that for the newest run, the
	// plan's, which is found again, and the first batch's. Of two batches, the end's, too.
	for name, test := range map[string]struct {
		more, size, record string
		lost               int
	}{
		"of a batch":        {stubborn, "100000", "(4,3,2,3350,3350)", 4},
		"that ends the run": {"", "1000", "(3,2,1,1950,1950)", 5},
		"many":              {stubborn, "500", "(4,3,2,3350,3350)", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(pgtest.Inboxes + ";" + test.more)
			_, stderr, status := command(
				t,
				d,
				map[string]string{"DATABASE_URL": losingCommit(t, d.URL(), false)},
				"run",
				"--batch-size",
				test.size,
			)
			if n := strings.Count(stderr, "retrying"); n != test.lost && test.lost > 0 || n < 2 {
				t.Fatalf("%d connections were lost, want %d: %s", n, test.lost, stderr)
			}
			if strings.Count(stderr, `msg="planned run" run_id=1 `) != 1 ||
				strings.Contains(stderr, "continued=true") {
				t.Errorf("the plan is not that of this call: %s", stderr)
			}
			expectRecord(t, d, test.record, status, stderr)
		})
	}
}

// A commit may be under way when its connection is lost: another plan waits for it, and another
// batch is none that it might count.
func TestACommitThatIsStillUnderWayIsNotCountedTwice(t *testing.T) {
	t.Parallel()
	const other = `
		SELECT count(*) > 0
		FROM pg_stat_activity
		WHERE datname = current_database() AND query LIKE '%%%s(%%' AND %s AND pid <> pg_backend_pid()`
	for name, test := range map[string]struct{ trigger, size, waits string }{
		"the plan's": {`
			UPDATE OF notifications_planned
				ON notification_cleanup_runs`, "100", fmt.Sprintf(
			other, "plan_notification_cleanup", "wait_event = 'advisory'",
		)},
		// The next batch is done, but for the run's record.
		"a batch's": {`
			UPDATE OF notifications_deleted
				ON notification_cleanup_runs`, "100", fmt.Sprintf(
			other, "cleanup_next_batch", "wait_event = 'transactionid'",
		)},
		// There is no other batch: the next call returns 0, and so on.
		"the last batch's": {`
			UPDATE OF notifications_deleted
				ON notification_cleanup_runs`, "100000", fmt.Sprintf(
			other, "cleanup_next_batch", "wait_event = 'PgSleep'",
		)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(pgtest.Inboxes)
			d.Exec(stubborn)
			d.Exec(`CREATE FUNCTION block() RETURNS trigger LANGUAGE plpgsql AS $$
				BEGIN
					PERFORM pg_advisory_xact_lock_shared(1);
					RETURN NULL;
				END $$`)
			d.Exec(
				`CREATE CONSTRAINT TRIGGER block AFTER ` + test.trigger +
					` DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION block()`,
			)
			d.Exec(`SELECT pg_advisory_lock(1)`)
			cmd, _, stderr := process(t, losingCommit(t, d.URL(), true), "run", "--batch-size", test.size)
			d.Eventually(`
				SELECT count(*) > 0
				FROM pg_stat_activity
				WHERE datname = current_database() AND query = 'commit' AND wait_event = 'advisory'`)
			d.Eventually(test.waits)
			d.Exec(`SELECT pg_advisory_unlock(1)`)
			_ = cmd.Wait()
			expectRecord(t, d, "(4,3,2,3350,3350)", cmd.ProcessState.ExitCode(), stderr.String())
		})
	}
}

// After a crash the server may give the id of a lost transaction to another one.
func TestACommitThatACrashHasLostIsRepeated(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	d := s.New()
	d.Exec(pgtest.Inboxes)
	d.Exec(`
		INSERT INTO notifications (user_id, status, deleted_at)
		VALUES (md5('2')::uuid, 'read', '2025-01-01Z')`)
	d.Exec(`
		CREATE FUNCTION block() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM pg_advisory_xact_lock_shared(1);
			RETURN NULL;
		END $$;
		CREATE CONSTRAINT TRIGGER block AFTER UPDATE ON notifications DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (OLD.user_id = md5('2')::uuid) EXECUTE FUNCTION block();
		SELECT pg_advisory_lock(1)`)
	cmd, stdout, stderr := process(t, d.URL(), "run", "--batch-size", "100")
	d.Eventually(pgtest.Blocked) // while it commits
	s.Kill()
	s.Start()
	for range 100 {
		if _, err := s.Admin.Exec(t.Context(), "SELECT pg_current_xact_id()"); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait()
	d = d.OpenSession()
	d.Exec("DELETE FROM notifications WHERE deleted_at = '2025-01-01Z'")
	expectWholeRun(t, d, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String())
}
