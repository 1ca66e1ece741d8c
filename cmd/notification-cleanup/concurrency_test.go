package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

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
	other.lock(firstNotification)
	d.wantCleanup("", "2-901 2001-2901", counts{OverLimit: 2, Cleaned: 2, Deleted: 1801, Skipped: 1})
}

func TestSkippedOnesMayKeepAUserOverTheLimit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	other := d.openSession()
	other.lock("true")
	d.wantCleanup("", "", counts{OverLimit: 1, StillOver: 1, Skipped: 901})
	other.exec("ROLLBACK")
	d.wantCleanup("", "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestSkippedOnesAddUpInOneRun(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.rowsPerPage(2)
	d.insert(alice, "read", 1, 40)
	d.insert(bob, "read", 101, 140)
	other := d.openSession()
	other.lock(notificationNumber + " IN (1, 2, 101)")
	run, err := d.startProcedure("30, 0, batch_size => 1").wait()
	if err != nil {
		t.Fatal(err)
	}
	d.wantDeletedBy(run, "3-40 102-140", counts{OverLimit: 2, Cleaned: 2, Deleted: 77, Skipped: 3})
}

// Some of the held ones are one user's, some another's; some pages are held as a whole.
func TestAThousandHeldOnesAreAllThatIsLeft(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(d *database) *background{
		"function":  func(d *database) *background { return d.startCleanup("") },
		"procedure": func(d *database) *background { return d.startProcedure("batch_size => 100") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.insert(alice, "read", 1, 2000)
			d.insert(bob, "read", 3001, 4500)
			other := d.openSession()
			other.lock(notificationNumber + " BETWEEN 901 AND 1400 OR " + notificationNumber + " BETWEEN 3001 AND 3500")
			run, err := start(d).wait()
			if err != nil {
				t.Fatal(err)
			}
			d.wantDeletedBy(run, "1-900 1401-1900 3501-4400", counts{OverLimit: 2, Cleaned: 2, Deleted: 2300, Skipped: 1000})
			other.exec("ROLLBACK")
			d.wantCleanup("", "", counts{}) // each has 600 left
			d.wantCleanup("500", "901-1400 3001-3500", counts{OverLimit: 2, Cleaned: 2, Deleted: 1000})
		})
	}
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

func TestAHeldOneCostsOnlyItself(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]int{"ROW": 900, "STATEMENT": 1} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.insert(alice, "read", 1, 1001)
			d.exec(countUpdates + level + " EXECUTE FUNCTION count_updates()")
			d.openSession().exec("BEGIN; SELECT FROM notifications WHERE " + firstNotification + " FOR UPDATE")
			d.wantCleanup("", "2-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 900, Skipped: 1})
			if n := one[int](d, updates); n != want {
				t.Errorf("updated %d times for each %s, want %d", n, level, want)
			}
		})
	}
}

func TestIgnoresLocksOnWhatItKeeps(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.insert(alice, "unread", 1002, 1100)
	other := d.openSession()
	other.lock(notificationNumber + " > 901")
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

// whilePaused starts a cleanup, lets other work after a batch has taken its snapshot and before it locks the first
// row, and returns how the cleanup ended. A BEFORE UPDATE trigger for the statement fires just there. It has all the time it needs,
// so that the cleanup does not begin again.
func (d *database) whilePaused(arguments string, work func(other *database)) (runRecord, error) {
	d.t.Helper()
	d.pause()
	return d.whileWaiting(func() *background { return d.startCleanup(arguments) }, work)
}

// pause makes each batch wait for advisory lock 1 there.
func (d *database) pause() {
	d.t.Helper()
	for _, session := range d.atWorkers() {
		session.exec(`CREATE FUNCTION public.pause() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
			BEGIN
				IF current_query() !~* '^(begin; )?update' THEN  -- which is another's
					PERFORM pg_advisory_xact_lock_shared(1);
				END IF;
				RETURN NULL;
			END $$`)
		for _, table := range session.tables() {
			session.exec("CREATE TRIGGER pause BEFORE UPDATE ON " + table + " FOR EACH STATEMENT EXECUTE FUNCTION public.pause()")
		}
	}
}

// whileWaiting starts a cleanup that waits for advisory lock 1 somewhere, and lets other work there.
func (d *database) whileWaiting(start func() *background, work func(other *database)) (runRecord, error) {
	d.t.Helper()
	gates := d.atWorkers()
	for _, gate := range gates {
		gate.exec("SELECT pg_advisory_lock(1)")
	}
	cleanup := start()
	const paused = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	for !slices.ContainsFunc(gates, func(gate *database) bool { return one[int](gate, paused) > 0 }) {
		select {
		case <-cleanup.done:
			d.t.Fatalf("the cleanup did not pause: %v", cleanup.err)
		case <-time.After(time.Millisecond):
		}
	}
	if server.workers == nil {
		work(gates[0]) // whose own updates do not wait
	} else {
		work(d.openSession())
	}
	for _, gate := range gates {
		gate.exec("SELECT pg_advisory_unlock(1)")
	}
	return cleanup.wait()
}

// What is found and what is ranked are of one moment, so what a run plans is true of it.
func TestThePlanIsOfOneMoment(t *testing.T) {
	t.Parallel()
	d := adopt(t, `
		CREATE SCHEMA app;
		CREATE TABLE app.inbox (id uuid, user_id uuid, status text, created_at timestamptz, deleted_at timestamptz);
		CREATE FUNCTION app.gate() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN true; END $$;
		CREATE VIEW notifications AS SELECT ctid, tableoid, * FROM app.inbox WHERE status <> 'gate' OR app.gate()`)
	d.insert(alice, "read", 1, 1001)
	d.insert(bob, "gate", 2001, 2001)
	run, err := d.whileWaiting(func() *background { return d.startCleanup("") }, func(other *database) {
		other.exec("UPDATE app.inbox SET deleted_at = '2025-06-01Z' WHERE " + firstNotification)
		other.insert(carol, "read", 3001, 4001)
	})
	if err != nil {
		t.Fatal(err)
	}
	if run.Planned != 901 {
		t.Errorf("planned %d, want 901", run.Planned)
	}
	d.wantDeletedBy(run, "2-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 900})
}

// interleaving is when another transaction changes a notification, and how it ends.
type interleaving struct {
	afterSnapshot bool // of the batch, else before it
	held          bool // beyond the end of the cleanup, else only while the cleanup is paused
	ending        string
}

var interleavings = []interleaving{
	{false, false, "COMMIT"}, // between plan and batch
	{false, true, "COMMIT"},
	{false, true, "ROLLBACK"},
	{true, false, "COMMIT"},
	{true, true, "COMMIT"},
	{true, true, "ROLLBACK"},
}

// run starts a cleanup for a change of the first notification of alice, and tells if the other transaction has the last word on it.
func (i interleaving) run(d *database, start func() *background, change string) (run runRecord, lastWord bool) {
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
		d.pause()
		run, err = d.whileWaiting(start, work)
	} else {
		work(d.openSession())
		run, err = start().wait()
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
	const size, limits = 60, "50, 10" // and 50 to delete
	kinds := []string{"plain", "hash of the user", "range of time"}
	if server.workers != nil {
		kinds = kinds[:1] // which is distributed
	}
	for i, interleaving := range interleavings {
		for j, change := range slices.Sorted(maps.Keys(changes)) {
			for k, caller := range []string{"function", "procedure: pages", "procedure: users"} {
				if caller == "function" && !interleaving.afterSnapshot && !interleaving.held || change == "moved" && server.workers != nil {
					continue // it has nothing between its plan and its batch, or Citus refuses the change
				}
				kind := kinds[(i+j+k)%len(kinds)] // each meets each caller, interleaving and change
				t.Run(fmt.Sprintf("%s %+v %s %s", change, interleaving, caller, kind), func(t *testing.T) {
					t.Parallel()
					d := databaseOf(t, kind)
					if caller == "procedure: users" {
						d.rowsPerPage(1)
					}
					d.insert(alice, "read", 1, size)
					start := func() *background { return d.startCleanup(limits) }
					if caller != "function" {
						d.plan(limits)
						d.wantBatches(1, caller == "procedure: users")
						start = func() *background { return d.startProcedure(limits) }
					}
					run, lastWord := interleaving.run(d, start, change)
					want := counts{OverLimit: 1, Cleaned: 1, Deleted: 49}
					if interleaving.held {
						want.Skipped = 1 // a count of the record, notifications_skipped: the one that is held
					}
					d.wantDeletedBy(run, "2-50", want)
					if !lastWord {
						t.Error("the cleanup has overwritten it")
					}
					d.wantEnded("the call")
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
			user_ids notification_user_id[] DEFAULT NULL)
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
			if _, lastWord := (interleaving{afterSnapshot: true, ending: "COMMIT"}).run(d, func() *background { return d.startCleanup("") }, change); lastWord {
				t.Error("it has not")
			}
		})
	}
}

// heapPage is where a notification lies.
const heapPage = "(ctid::text::point)[0]"

// sixPages gives alice 60 notifications on six full pages, of which 50 are to go.
func sixPages(t *testing.T) (d *database, limits string) {
	d = newDatabase(t)
	d.exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
	d.rowsPerPage(10)
	d.insert(alice, "read", 1, 60)
	return d, "50, 10"
}

// move makes a new version of the notifications that satisfy the condition, on another page: theirs are full.
func (d *database) move(condition string) {
	d.t.Helper()
	d.exec("UPDATE notifications SET title = 'moved' WHERE " + condition)
}

// A range of pages has an end, and each page is swept once. What the application moves out of it meanwhile is left, and not counted as skipped.
func TestWhatMovesFromItsRangeIsLeft(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		move  func(t *testing.T, d *database)
		moved string // where to, when the run has ended
	}{
		"to a page already swept": {func(t *testing.T, d *database) {
			if n := d.nextBatch(); n < 1 {
				t.Errorf("the first batch is %d", n)
			}
			d.vacuum("notifications")
			d.openSession().move(heapPage + " = 5")
		}, heapPage + " = 0"},
		"to a new page": {func(_ *testing.T, d *database) { d.move(heapPage + " = 0") }, heapPage + " > 5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, limits := sixPages(t)
			d.plan(limits + ", batch_size => 1")
			d.wantBatches(6, false)
			test.move(t, d)
			if d.numbers("title = 'moved' AND deleted_at IS NULL AND "+test.moved) == "" {
				t.Fatal("none has moved there")
			}
			run, err := d.startBatches().wait()
			if err != nil {
				t.Fatal(err)
			}
			left := d.numbers("title = 'moved' AND " + notificationNumber + " <= 50")
			stay := d.numbers("title IS NULL AND " + notificationNumber + " <= 50")
			n := one[int64](d, "SELECT count(*) FROM notifications WHERE title IS NULL AND "+notificationNumber+" <= 50")
			d.wantDeletedBy(run, stay, counts{OverLimit: 1, Cleaned: 1, Deleted: n})
			if got := d.numbers("deleted_at IS NULL AND " + notificationNumber + " <= 50"); got != left {
				t.Errorf("left are %q, want those that moved: %q", got, left)
			}
			d.wantEnded("the run")
			// The next run takes them, if the user is over its limit.
			d.wantCleanup("10, 10", left, counts{OverLimit: 1, Cleaned: 1, Deleted: 50 - n})
		})
	}
}

func TestWhatMovesToAPageThatIsSweptLaterGoesWithThat(t *testing.T) {
	t.Parallel()
	d, limits := sixPages(t)
	d.plan(limits + ", batch_size => 1")
	d.exec("DELETE FROM notifications WHERE " + heapPage + " = 3")
	d.vacuum("notifications")
	d.openSession().move(heapPage + " = 0")
	if d.numbers("title = 'moved' AND "+notificationNumber+" <= 50 AND "+heapPage+" = 3") == "" {
		t.Fatal("none has moved there")
	}
	want := d.numbers(notificationNumber + " <= 50 AND " + heapPage + " < 6")
	n := one[int64](d, "SELECT count(*) FROM notifications WHERE "+notificationNumber+" <= 50 AND "+heapPage+" < 6")
	run, err := d.startBatches().wait()
	if err != nil {
		t.Fatal(err)
	}
	d.wantDeletedBy(run, want, counts{OverLimit: 1, Cleaned: 1, Deleted: n})
}

// PostgreSQL may or may not look again where such a one is. Either way it is counted as what it becomes.
func TestWhatMovesUnderABatchIsCountedAsItBecomes(t *testing.T) {
	t.Parallel()
	for _, held := range []bool{false, true} {
		t.Run(fmt.Sprint("held ", held), func(t *testing.T) {
			t.Parallel()
			d, limits := sixPages(t)
			d.plan(limits)
			d.wantBatches(1, false)
			d.pause()
			var other *database
			run, err := d.whileWaiting(d.startBatches, func(session *database) {
				other = session
				other.exec("BEGIN")
				other.move(heapPage + " = 0")
				if !held {
					other.exec("COMMIT")
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			other.exec("COMMIT")
			moved := one[int64](d, "SELECT count(*) FROM notifications WHERE title = 'moved' AND "+notificationNumber+" <= 50")
			taken := one[int64](d, "SELECT count(deleted_at) FROM notifications WHERE title = 'moved'")
			if moved == 0 || held && taken > 0 {
				t.Fatalf("%d have moved, and %d of them were taken", moved, taken)
			}
			want := counts{OverLimit: 1, Cleaned: 1, Deleted: 50 - moved + taken}
			if held {
				want.Skipped = moved
			}
			left := d.numbers(notificationNumber + " <= 50 AND (title IS NULL OR deleted_at IS NOT NULL)")
			d.wantDeletedBy(run, left, want)
			d.wantEnded("the run")
		})
	}
}

// A batch of some users looks at all pages.
func TestABatchOfSomeUsersTakesWhatMoves(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.rowsPerPage(1)
	d.insert(alice, "read", 1, 60)
	d.plan("50, 10")
	d.wantBatches(1, true)
	d.pause()
	run, err := d.whileWaiting(d.startBatches, func(other *database) { other.move("true") })
	if err != nil {
		t.Fatal(err)
	}
	d.wantDeletedBy(run, "1-50", counts{OverLimit: 1, Cleaned: 1, Deleted: 50})
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
	run, err := d.whileWaiting(func() *background { return d.startCleanup(usersArgument(alice)) }, func(session *database) {
		other = session.cleanup("")
	})
	if err != nil {
		t.Fatal(err)
	}
	if other.Skipped == 0 || run.Deleted != other.Skipped || run.Deleted+other.Deleted != 901 {
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
	d.wantDeletedBy(second, "2001-2901", counts{OverLimit: 2, Cleaned: 1, Deleted: 901})
}

func TestWorkersAddToOneRunAtTheSameTime(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.rowsPerPage(10)
	for user := 1; user <= 4; user++ {
		d.insert(user, "read", 100*user, 100*user+50)
	}
	d.plan("40, 10, batch_size => 1")
	var cleanups []*background
	for range 4 {
		cleanups = append(cleanups, d.openSession().startBatches())
	}
	for _, cleanup := range cleanups {
		run, err := cleanup.wait()
		if err != nil {
			t.Fatal(err)
		}
		d.wantDeletedBy(run, "100-140 200-240 300-340 400-440", counts{OverLimit: 4, Cleaned: 4, Deleted: 164})
	}
	d.wantEnded("four workers")
}

// An application's trigger waits for a row of users, which application holds.
func changesAreCounted(d *database) (application *database) {
	d.t.Helper()
	d.insert(alice, "read", 1, 1001)
	d.exec(`CREATE TABLE users (id uuid, changes bigint DEFAULT 0); INSERT INTO users VALUES (` + key(alice) + `);
		CREATE FUNCTION count_changes() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			UPDATE public.users SET changes = changes + 1 WHERE id = NEW.user_id;
			RETURN NEW;
		END $$;
		CREATE TRIGGER count_changes BEFORE UPDATE OF deleted_at ON notifications FOR EACH ROW EXECUTE FUNCTION count_changes()`)
	application = d.openSession()
	application.exec("SET deadlock_timeout = '1min'; BEGIN; UPDATE users SET changes = 0")
	return application
}

// A trigger of the application may wait for what the application holds, while the application waits for a row of the cleanup.
func TestGivesWayBeforeTheApplicationIsChosenAsTheVictimOfADeadlock(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	application := changesAreCounted(d)
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

// wantAttempts is for a batch that gave way so often, or waits in another session: until then it holds nothing.
func (d *database) wantAttempts(want int) {
	d.t.Helper()
	if got := one[int](d, "SELECT attempts FROM notification_cleanup_batches"); got != want {
		d.t.Errorf("the batch was tried %d times, want %d", got, want)
	}
}

// wantNothingLocked fails with 55P03 where something is.
func (d *database) wantNothingLocked() {
	d.t.Helper()
	for _, session := range d.atWorkers() {
		for _, table := range session.tables() {
			session.exec("SELECT FROM " + table + " FOR UPDATE NOWAIT")
		}
	}
	d.exec("SELECT FROM notification_cleanup_runs FOR UPDATE NOWAIT")
	d.exec("SELECT FROM notification_cleanup_batches FOR UPDATE NOWAIT")
	d.exec("SELECT FROM notification_cleanup_cutoffs FOR UPDATE NOWAIT")
}

func TestABatchThatGivesWayComesAgain(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	application := changesAreCounted(d)
	d.plan("")
	session := d.openSession()
	session.exec("SET deadlock_timeout = '1min'; SET lock_timeout = '7s'")
	for attempt := 1; attempt <= 2; attempt++ {
		if n := session.nextBatch(); n != 0 {
			t.Errorf("deleted %d in attempt %d", n, attempt)
		}
		d.wantAttempts(attempt)
		d.wantNothingLocked()
	}
	if got := one[string](session, "SHOW lock_timeout"); got != "7s" {
		t.Errorf("lock_timeout is %s, want 7s", got)
	}
	application.exec("COMMIT")
	for _, want := range []int{901, -1} {
		if n := session.nextBatch(); n != want {
			t.Errorf("the next batch is %d, want %d", n, want)
		}
	}
	d.wantDeletedBy(collect(d, pgx.RowToStructByName[runRecord], "SELECT * FROM notification_cleanup_runs")[0], "1-901",
		counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	d.wantEnded("the batch")
}

func TestABatchThatGaveWayFiveTimesWaitsAsLongAsItsCallerDoes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	application := changesAreCounted(d)
	d.plan("")
	session := d.openSession()
	session.exec("SET deadlock_timeout = '1min'; SET lock_timeout = '200ms'")
	for attempt := 1; attempt <= 5; attempt++ {
		if n := session.nextBatch(); n != 0 {
			t.Errorf("deleted %d in attempt %d", n, attempt)
		}
	}
	session.refused("SELECT cleanup_next_batch(1)", "55P03")
	d.wantAttempts(5)
	d.wantNothingLocked()

	session.exec("SET lock_timeout = 0")
	cleanup := session.startBatches()
	eventually(t, d, waitedFor("500 ms", "'tuple', 'transactionid'"))
	application.exec("COMMIT")
	run, err := cleanup.wait()
	if err != nil {
		t.Fatal(err)
	}
	d.wantDeletedBy(run, "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

// waitedFor is true when a session has waited so long for a lock of one of these kinds.
func waitedFor(interval, kinds string) string {
	return `SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE datname = current_database() AND NOT granted AND locktype IN (` + kinds + `) AND waitstart < clock_timestamp() - interval '` + interval + `')`
}

// ALTER TABLE or CREATE INDEX of the application may take a while: the patience of a batch is for rows only.
func TestABatchWaitsForTheTableAndUsesUpNoAttempt(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"SHARE", "ACCESS EXCLUSIVE"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.rowsPerPage(20)
			d.insert(alice, "read", 1, 1001)
			d.plan("batch_size => 500")
			d.wantBatches(2, false)
			session := d.openSession()
			if n := session.nextBatch(); n == 0 { // after which it has a plan of the statement
				t.Error("the first batch deleted nothing")
			}
			other := d.openSession()
			other.exec("BEGIN; LOCK TABLE notifications IN " + mode + " MODE")
			cleanup := session.startBatches()
			eventually(t, d, waitedFor("500 ms", "'relation'"))
			const attempts = "SELECT max(attempts) FROM notification_cleanup_batches"
			if n := one[int](d, attempts); n != 0 {
				t.Errorf("%d attempts are used up", n)
			}
			other.exec("COMMIT")
			run, err := cleanup.wait()
			if err != nil {
				t.Fatal(err)
			}
			d.wantDeletedBy(run, "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
		})
	}
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
			want := counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 900}
			if name == "moved" {
				want.StillOver = 0 // bob's are not live any more
			}
			d.wantDeletedBy(d.cleanup(""), "2-901", want)
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
