package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var firstNotification = "id = " + key(1)

// changes are what another transaction may do to a doomed notification, and the condition by which it shows in the end.
var changes = map[string]struct{ statement, shows string }{
	"marked unread": {"UPDATE notifications SET status = 'unread'", "status = 'unread' AND deleted_at IS NULL"},
	"moved":         {"UPDATE notifications SET user_id = " + key(bob), "user_id = " + key(bob) + " AND deleted_at IS NULL"},
	"soft-deleted":  {"UPDATE notifications SET deleted_at = '2025-06-01Z'", "deleted_at = '2025-06-01Z'"},
	"postponed":     {"UPDATE notifications SET created_at = 'infinity'", "created_at = 'infinity' AND deleted_at IS NULL"},
	"deleted":       {"DELETE FROM notifications", "false"},
}

func TestSkipsALockedNotification(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.insert(bob, "read", 2001, 3001)
	other := d.openSession()
	other.exec("BEGIN; SELECT FROM notifications WHERE " + firstNotification + " FOR UPDATE")
	d.wantCleanup("", "2-901 2001-2901", counts{OverLimit: 2, Cleaned: 2, Deleted: 1801, Skipped: 1})
}

func TestSkippedOnesMayKeepAUserOverTheLimit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	other := d.openSession()
	other.exec("BEGIN; SELECT FROM notifications FOR UPDATE")
	d.wantCleanup("", "", counts{OverLimit: 1, StillOver: 1, Skipped: 901})
	other.exec("ROLLBACK")
	d.wantCleanup("", "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestSkippedOnesAddUpInOneRun(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 4)
	d.insert(bob, "read", 11, 14)
	other := d.openSession()
	other.exec("BEGIN; SELECT FROM notifications WHERE " + notificationNumber + " IN (1, 11) FOR UPDATE")
	batch := d.openRun("2025-06-01Z", 3, 1)
	d.cleanup(batch + ", " + usersArgument(alice))
	d.wantDeletedBy(d.cleanup(batch+", "+usersArgument(bob)), "2-3 12-13", counts{OverLimit: 2, Cleaned: 2, Deleted: 4, Skipped: 2})
}

// countUpdates counts what is updated, also in vain: a rollback does not set a sequence back. What follows is ROW or STATEMENT
// and the function.
const (
	countUpdates = `
		CREATE SEQUENCE updates;
		CREATE FUNCTION count_updates() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('public.updates'); RETURN NEW; END $$;
		CREATE TRIGGER count_updates BEFORE UPDATE ON notifications FOR EACH `
	updates = "SELECT last_value FROM updates"
)

func TestTooMuchIsNotTriedInVain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		arguments string
		total     int
	}{
		"whole table": {"", 1001},
		"large batch": {usersArgument(alice), 50001},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.insert(alice, "read", 1, test.total)
			d.exec(countUpdates + "ROW EXECUTE FUNCTION count_updates()")
			d.openSession().exec("BEGIN; SELECT FROM notifications WHERE " + firstNotification + " FOR UPDATE")
			deleted := test.total - 100 - 1
			if run := d.cleanup(test.arguments); run.Deleted != int64(deleted) || run.Skipped != 1 {
				t.Errorf("counted %+v", run.counts)
			}
			if n := one[int](d, updates); n != deleted {
				t.Errorf("%d rows were updated, want %d", n, deleted)
			}
		})
	}
}

func TestABatchIsTriedAtOnceOnlyOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.exec(countUpdates + "STATEMENT EXECUTE FUNCTION count_updates()")
	d.openSession().exec("BEGIN; SELECT FROM notifications WHERE " + firstNotification + " FOR UPDATE")
	d.wantCleanup(usersArgument(alice), "2-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 900, Skipped: 1})
	if n := one[int](d, updates); n != 2 {
		t.Errorf("%d attempts, want one at once and one row by row", n)
	}
}

func TestIgnoresLocksOnWhatItKeeps(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.insert(alice, "unread", 1002, 1100)
	other := d.openSession()
	other.exec("BEGIN; SELECT FROM notifications WHERE " + notificationNumber + " > 901 FOR UPDATE")
	d.wantCleanup("", "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestForeignKeysToANotificationDoNotHoldItUp(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.exec("CREATE TABLE replies (notification_id uuid REFERENCES notifications)")
	other := d.openSession()
	other.exec("BEGIN; INSERT INTO replies SELECT id FROM notifications WHERE " + firstNotification)
	d.wantCleanup("", "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

// whilePaused starts a cleanup, lets other work after the cleanup has taken its snapshot and before it locks the first
// row, and returns how the cleanup ended. A BEFORE UPDATE trigger for the statement fires just there. It has all the time it needs,
// so that the cleanup does not begin again.
func (d *database) whilePaused(arguments string, work func(other *database)) (runRecord, error) {
	d.t.Helper()
	d.openSession().exec(`
		CREATE FUNCTION public.pause() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
		BEGIN
			PERFORM pg_advisory_xact_lock_shared(1);
			RETURN NULL;
		END $$;
		CREATE TRIGGER pause BEFORE UPDATE ON notifications FOR EACH STATEMENT EXECUTE FUNCTION public.pause()`)
	return d.whileWaiting(arguments, work)
}

// whileWaiting starts a cleanup that waits for advisory lock 1 somewhere, and lets other work there.
func (d *database) whileWaiting(arguments string, work func(other *database)) (runRecord, error) {
	d.t.Helper()
	other := d.openSession()
	other.exec("SELECT pg_advisory_lock(1)")
	cleanup := d.startCleanup(arguments)
	const paused = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	for one[int](other, paused) == 0 {
		select {
		case <-cleanup.done:
			d.t.Fatalf("the cleanup did not pause: %v", cleanup.err)
		default:
		}
	}
	work(other)
	other.exec("SELECT pg_advisory_unlock(1)")
	return cleanup.wait()
}

func TestLeavesAUserWhoFellToTheLimitSinceTheFindPass(t *testing.T) {
	t.Parallel()
	d := adopt(t, `
		CREATE SCHEMA app;
		CREATE TABLE app.inbox (id uuid, user_id uuid, status text, created_at timestamptz, deleted_at timestamptz);
		CREATE FUNCTION app.gate() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN true; END $$;
		CREATE VIEW notifications AS SELECT * FROM app.inbox WHERE status <> 'gate' OR app.gate()`)
	d.insert(alice, "read", 1, 1001)
	d.insert(bob, "gate", 2001, 2001)
	run, err := d.whileWaiting("", func(other *database) {
		other.exec("UPDATE app.inbox SET deleted_at = '2025-06-01Z' WHERE " + firstNotification)
	})
	if err != nil {
		t.Fatal(err)
	}
	d.wantDeletedBy(run, "", counts{})
}

// interleaving is when another transaction changes a notification, and how it ends.
type interleaving struct {
	afterSnapshot bool // else before it
	held          bool // beyond the end of the cleanup, else only while the cleanup is paused
	ending        string
}

var interleavings = []interleaving{
	{false, true, "COMMIT"},
	{false, true, "ROLLBACK"},
	{true, false, "COMMIT"},
	{true, true, "COMMIT"},
	{true, true, "ROLLBACK"},
}

// run calls the cleanup for a change of the first notification of alice, and tells if the other transaction has the last word on it.
func (i interleaving) run(d *database, arguments, change string) (run runRecord, lastWord bool) {
	d.t.Helper()
	var other *database
	work := func(session *database) {
		other = session
		other.exec("BEGIN; " + changes[change].statement + " WHERE " + firstNotification)
		if !i.held {
			other.exec(i.ending)
		}
	}
	var err error
	if i.afterSnapshot {
		run, err = d.whilePaused(arguments, work)
	} else {
		work(d.openSession())
		run, err = d.startCleanup(arguments).wait()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	shows := changes[change].shows
	if i.held {
		other.exec(i.ending)
	}
	if i.ending == "ROLLBACK" {
		shows = "status = 'read' AND user_id = " + key(alice) + " AND deleted_at IS NULL AND isfinite(created_at)"
	}
	return run, one[bool](d, "SELECT coalesce(bool_and("+shows+"), true) FROM notifications WHERE "+firstNotification)
}

func TestAnotherTransactionHasTheLastWord(t *testing.T) {
	t.Parallel()
	for _, interleaving := range interleavings {
		for change := range changes {
			for _, arguments := range []string{"", usersArgument(alice)} {
				t.Run(fmt.Sprintf("%s %+v %s", change, interleaving, arguments), func(t *testing.T) {
					t.Parallel()
					d := newDatabase(t)
					d.insert(alice, "read", 1, 1001)
					run, lastWord := interleaving.run(d, arguments, change)
					want := counts{OverLimit: 1, Cleaned: 1, Deleted: 900}
					if interleaving.held {
						want.Skipped = 1 // a count of the record, notifications_skipped: the one that is held
					}
					d.wantDeletedBy(run, "2-901", want)
					if !lastWord {
						t.Error("the cleanup has overwritten it")
					}
				})
			}
		}
	}
}

// The statement that comes to mind first looks at the state of a notification in the subquery only. That it fails the test above
// shows what the repeated conditions are for.
func TestTheNaiveStatementOverwritesAnotherTransaction(t *testing.T) {
	t.Parallel()
	const naive = `
		CREATE OR REPLACE FUNCTION cleanup_notifications(max_notifications integer DEFAULT 1000, min_keep integer DEFAULT 100,
			user_ids notification_user_id[] DEFAULT NULL, run_id bigint DEFAULT NULL)
		RETURNS notification_cleanup_runs LANGUAGE plpgsql AS $$
		DECLARE
			run notification_cleanup_runs;
		BEGIN
			INSERT INTO notification_cleanup_runs (max_notifications, min_keep) VALUES (1000, 100) RETURNING * INTO run;
			UPDATE notifications SET deleted_at = run.started_at
			WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (ORDER BY created_at DESC, id DESC) AS newest FROM notifications
				WHERE status = 'read' AND deleted_at IS NULL) AS ranked WHERE newest > 100);
			RETURN run;
		END $$`
	for _, change := range []string{"marked unread", "moved", "soft-deleted", "postponed"} {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.insert(alice, "read", 1, 1001)
			d.exec(naive)
			if _, lastWord := (interleaving{afterSnapshot: true, ending: "COMMIT"}).run(d, "", change); lastWord {
				t.Error("it has not")
			}
		})
	}
}

func TestSkipsNothingOfAUserWhoHasNothingToDeleteAnyMore(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	run, err := d.whilePaused("", func(other *database) {
		other.set("status = 'unread'", 1, 951)
	})
	if err != nil {
		t.Fatal(err)
	}
	d.wantDeletedBy(run, "", counts{OverLimit: 1, StillOver: 1})
}

func TestRepeatableReadFailsRatherThanOverwrite(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.exec("BEGIN ISOLATION LEVEL REPEATABLE READ")
	_, err := d.whilePaused("", func(other *database) {
		other.set("status = 'unread'", 1, 1)
	})
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "40001" {
		t.Fatalf("error %v instead of 40001", err)
	}
	d.exec("ROLLBACK")
	d.wantCleanup("", "2-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 900})
}

func TestEveryIsolationLevel(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.insertInboxes()
			d.exec("BEGIN ISOLATION LEVEL " + level)
			d.wantPreview("", previewRow{bob, 1001, 0, 901}, previewRow{alice, 1090, 50, 830}, previewRow{carol, 1001, 1001, 0})
			d.wantCleanup("", "171-1000 2001-2901", counts{OverLimit: 3, Cleaned: 2, StillOver: 1, Deleted: 1731})
			d.wantPreview("", previewRow{carol, 1001, 1001, 0})
			d.wantStats("", "2361 4 1")
			d.exec("COMMIT")
		})
	}
}

func TestSkipsWhatAnOpenRunHasDeleted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.insert(bob, "read", 2001, 3001)
	other := d.openSession()
	other.exec("BEGIN")
	first := other.cleanup(usersArgument(alice))
	second := d.cleanup("")
	other.exec("COMMIT")
	d.wantDeletedBy(first, "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	d.wantDeletedBy(second, "2001-2901", counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 901, Skipped: 901})
}

// A run that gives way lets go of rows which another run has skipped meanwhile: it has to take them itself, although that
// other run has brought the user below the limit.
func TestTakesWhatAnotherRunSkippedBecauseOfIt(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.exec(`
		CREATE FUNCTION public.give_way() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
		BEGIN
			IF NOT pg_try_advisory_xact_lock_shared(1) THEN
				PERFORM pg_advisory_xact_lock_shared(1);
				RAISE lock_not_available;
			END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER give_way BEFORE UPDATE ON notifications FOR EACH ROW
		WHEN (OLD.id = lpad('450', 32, '0')::uuid) EXECUTE FUNCTION public.give_way()`)
	var other runRecord
	run, err := d.whileWaiting(usersArgument(alice), func(session *database) {
		other = session.cleanup("")
	})
	if err != nil {
		t.Fatal(err)
	}
	if other.Deleted == 0 || other.Skipped == 0 || run.Deleted != other.Skipped {
		t.Errorf("the other run counted %+v, this one %+v", other.counts, run.counts)
	}
}

func TestCountsNothingThatAnotherRunDeleted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.insert(bob, "read", 2001, 3001)
	var first runRecord
	second, err := d.whilePaused("", func(other *database) {
		first = other.cleanup(usersArgument(alice))
	})
	if err != nil {
		t.Fatal(err)
	}
	d.wantDeletedBy(first, "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	second.StillOver = 0 // as of the snapshot
	d.wantDeletedBy(second, "2001-2901", counts{OverLimit: 2, Cleaned: 1, Deleted: 901})
}

func TestWorkersAddToOneRunAtTheSameTime(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	batch := d.openRun("2025-06-01Z", 40, 10)
	var cleanups []*background
	for user := 1; user <= 4; user++ {
		d.insert(user, "read", 100*user, 100*user+50)
	}
	for user := 1; user <= 4; user++ {
		cleanups = append(cleanups, d.openSession().startCleanup(batch+", "+usersArgument(user)))
	}
	for _, cleanup := range cleanups {
		if _, err := cleanup.wait(); err != nil {
			t.Fatal(err)
		}
	}
	run := collect(d, pgx.RowToStructByName[runRecord], "SELECT * FROM notification_cleanup_runs")[0]
	d.wantDeletedBy(run, "100-140 200-240 300-340 400-440", counts{OverLimit: 4, Cleaned: 4, Deleted: 164})
}

// A trigger of the application may wait for what the application holds, while the application waits for a row of the cleanup.
func TestGivesWayBeforeTheApplicationIsChosenAsTheVictimOfADeadlock(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.exec(`CREATE TABLE users (id uuid, changes bigint DEFAULT 0); INSERT INTO users VALUES (` + key(alice) + `);
		CREATE FUNCTION count_changes() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			UPDATE public.users SET changes = changes + 1 WHERE id = NEW.user_id;
			RETURN NEW;
		END $$;
		CREATE TRIGGER count_changes BEFORE UPDATE OF deleted_at ON notifications FOR EACH ROW EXECUTE FUNCTION count_changes()`)
	application := d.openSession()
	application.exec("SET deadlock_timeout = '1min'; BEGIN; UPDATE users SET changes = 0")
	session := d.openSession()
	session.exec("SET deadlock_timeout = '1min'; SET lock_timeout = '100ms'")
	cleanup := session.startCleanup("")
	eventually(t, d, blocked)
	application.set("status = 'unread'", 1, 901) // one of them, at least, is locked
	run, err := cleanup.wait()
	for err != nil && strings.Contains(err.Error(), "55P03") { // the application stood still for all five attempts
		run, err = session.startCleanup("").wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	d.wantDeletedBy(run, "", counts{OverLimit: 1, StillOver: 1, Skipped: 901})
}

func TestKeepsTheLockTimeoutOfTheCaller(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.exec("BEGIN; SET LOCAL lock_timeout = '7s'")
	d.cleanup("")
	if got := one[string](d, "SHOW lock_timeout"); got != "7s" {
		t.Errorf("lock_timeout is %s, want 7s", got)
	}
}

func TestCountsOnlyWhatATriggerLetThrough(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"vetoed": "RETURN NULL;",
		"reset":  "NEW.deleted_at := OLD.deleted_at; RETURN NEW;",
		"moved":  "NEW.deleted_at := '2025-06-01Z'; RETURN NEW;",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.insert(alice, "read", 1, 1001)
			d.insert(bob, "read", 2001, 3001)
			d.exec(`CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN ` + body + ` END$$;
				CREATE TRIGGER keep BEFORE UPDATE ON notifications FOR EACH ROW
				WHEN (OLD.user_id = ` + key(bob) + ` OR OLD.` + firstNotification + `) EXECUTE FUNCTION keep()`)
			run := d.cleanup("")
			d.wantDeletedBy(run, "2-901", counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 900})
		})
	}
}

// A wrong guess of the planner must not make it look through a whole inbox, or all inboxes, for each notification.
func TestIsQuickWithoutPlannerStatistics(t *testing.T) {
	t.Parallel()
	var users []int
	for user := 1; user <= 21; user++ {
		users = append(users, user)
	}
	for _, arguments := range []string{"", usersArgument(users...)} {
		t.Run(arguments, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
			for _, user := range users[:20] {
				d.insert(user, "read", 2000*user, 2000*user+1000)
			}
			d.insert(21, "read", 100001, 110000)
			// Takes half a second; longer than the statement_timeout if its cost is quadratic.
			if run := d.cleanup(arguments); run.Deleted != 20*901+9900 {
				t.Errorf("deleted %d", run.Deleted)
			}
		})
	}
	t.Run("small inboxes", func(t *testing.T) {
		t.Parallel()
		d := newDatabase(t)
		d.exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
		d.exec("INSERT INTO notifications (user_id, status) SELECT md5(u::text)::uuid, 'read' FROM generate_series(1, 200) AS u, generate_series(1, 110)")
		// As above, with inboxes that make reading the table cheaper than the primary key.
		if run := d.cleanup("40, 10"); run.Deleted != 200*100 {
			t.Errorf("deleted %d", run.Deleted)
		}
	})
}
