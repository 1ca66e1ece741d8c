package concurrency

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// An application's trigger waits for a row of users, which application holds.
func changesAreCounted(d *pgtest.Database) (application *pgtest.Database) {
	d.T.Helper()
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Exec(
		`CREATE TABLE users (id uuid, changes bigint DEFAULT 0); INSERT INTO users VALUES (` + pgtest.Key(
			pgtest.Alice,
		) + `);
		CREATE FUNCTION count_changes() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			UPDATE public.users SET changes = changes + 1 WHERE id = NEW.user_id;
			RETURN NEW;
		END $$;
		CREATE TRIGGER count_changes BEFORE UPDATE OF deleted_at ON notifications
		FOR EACH ROW
		EXECUTE FUNCTION count_changes()`,
	)
	application = d.OpenSession()
	application.Exec("SET deadlock_timeout = '1min'; BEGIN; UPDATE users SET changes = 0")
	return application
}

// A trigger of the application may wait for what the application holds, while the application waits
// for a row of the cleanup.
func TestGivesWayBeforeTheApplicationIsChosenAsTheVictimOfADeadlock(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	application := changesAreCounted(d)
	session := d.OpenSession()
	session.Exec("SET deadlock_timeout = '1min'; SET lock_timeout = '100ms'")
	cleanup := session.StartCleanup("")
	d.Eventually(pgtest.Blocked)
	application.Set("status = 'unread'", 1, 901) // one of them, at least, is locked
	run, err := cleanup.Wait()
	// It fails where the application stood still for all five attempts.
	for err != nil && strings.Contains(err.Error(), "55P03") {
		run, err = session.StartCleanup("").Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	d.WantDeletedBy(run, "", pgtest.Counts{OverLimit: 1, StillOver: 1, Skipped: 901})
}

// wantAttempts is for a batch that gave way so often, or waits in another session: until then it
// holds nothing.
func wantAttempts(d *pgtest.Database, want int) {
	d.T.Helper()
	if got := pgtest.One[int](d, "SELECT attempts FROM notification_cleanup_batches"); got != want {
		d.T.Errorf("the batch was tried %d times, want %d", got, want)
	}
}

func TestABatchThatGivesWayComesAgain(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	application := changesAreCounted(d)
	d.Plan("")
	session := d.OpenSession()
	session.Exec("SET deadlock_timeout = '1min'; SET lock_timeout = '1h'")
	session.Exec("SET statement_timeout = '10s'") // long before it
	for attempt := 1; attempt <= 2; attempt++ {
		if n := session.Batch(pgtest.FirstRun); n != 0 {
			t.Errorf("deleted %d in attempt %d", n, attempt)
		}
		wantAttempts(d, attempt)
		d.WantNothingLocked()
	}
	if got := pgtest.One[string](session, "SHOW lock_timeout"); got != "1h" {
		t.Errorf("lock_timeout is %s, want 1h", got)
	}
	application.Exec("COMMIT")
	for _, want := range []int{901, -1} {
		if n := session.Batch(pgtest.FirstRun); n != want {
			t.Errorf("the next batch is %d, want %d", n, want)
		}
	}
	d.WantDeletedBy(
		pgtest.Collect(
			d, pgx.RowToStructByName[pgtest.Run], "SELECT * FROM notification_cleanup_runs",
		)[0],
		"1-901",
		pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901},
	)
	d.WantEnded("the batch")
}

func TestABatchThatGaveWayFiveTimesWaitsAsLongAsItsCallerDoes(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	application := changesAreCounted(d)
	d.Plan("")
	session := d.OpenSession()
	session.Exec("SET deadlock_timeout = '1min'; SET lock_timeout = '200ms'")
	for attempt := 1; attempt <= 5; attempt++ {
		if n := session.Batch(pgtest.FirstRun); n != 0 {
			t.Errorf("deleted %d in attempt %d", n, attempt)
		}
	}
	session.Refused("SELECT cleanup_next_batch(1)", "55P03")
	wantAttempts(d, 5)
	d.WantNothingLocked()

	session.Exec("SET lock_timeout = 0")
	cleanup := session.StartBatches()
	d.Eventually(waitedFor("500 ms", "'tuple', 'transactionid'"))
	application.Exec("COMMIT")
	run, err := cleanup.Wait()
	if err != nil {
		t.Fatal(err)
	}
	d.WantDeletedBy(run, "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

// waitedFor is true when a session has waited so long for a lock of one of these kinds.
func waitedFor(interval, kinds string) string {
	return `SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE datname = current_database()
			AND NOT granted
			AND locktype IN (` + kinds + `) AND waitstart < clock_timestamp() - interval '` + interval + `')`
}

// ALTER TABLE or CREATE INDEX of the application may take a while: the patience of a batch is for
// rows only.
func TestABatchWaitsForTheTableAndUsesUpNoAttempt(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"SHARE", "ACCESS EXCLUSIVE"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.RowsPerPage(20)
			d.Insert(pgtest.Alice, "read", 1, 1001)
			d.Plan("batch_size => 500")
			d.WantBatches(500, 401)
			session := d.OpenSession()
			if n := session.Batch(pgtest.FirstRun); n == 0 { // after which it has a plan of the statement
				t.Error("the first batch deleted nothing")
			}
			other := d.OpenSession()
			other.Exec("BEGIN; LOCK TABLE notifications IN " + mode + " MODE")
			cleanup := session.StartBatches()
			d.Eventually(waitedFor("500 ms", "'relation'"))
			const attempts = "SELECT max(attempts) FROM notification_cleanup_batches"
			if n := pgtest.One[int](d, attempts); n != 0 {
				t.Errorf("%d attempts are used up", n)
			}
			other.Exec("COMMIT")
			run, err := cleanup.Wait()
			if err != nil {
				t.Fatal(err)
			}
			d.WantDeletedBy(run, "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
		})
	}
}

func TestKeepsTheLockTimeoutOfTheCaller(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Exec("BEGIN; SET LOCAL lock_timeout = '7s'")
	d.Cleanup("")
	if got := pgtest.One[string](d, "SHOW lock_timeout"); got != "7s" {
		t.Errorf("lock_timeout is %s, want 7s", got)
	}
}
