package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// kindsOfTables are what undo and purge must be quick on; their indexes are the owner's to make where a migration does not.
var kindsOfTables = func() map[string][]string {
	const columns = `(id bigint NOT NULL, user_id bigint, status text, created_at timestamptz, deleted_at timestamptz, PRIMARY KEY `
	const indexes = `CREATE INDEX ON %[1]s (user_id) WHERE deleted_at IS NULL; CREATE INDEX ON %[1]s (deleted_at) WHERE deleted_at IS NOT NULL`
	partitions := func(bounds string) string {
		return `DO $$ BEGIN FOR i IN 0..15 LOOP EXECUTE format('CREATE TABLE p%s PARTITION OF notifications FOR VALUES ` + bounds + `; END LOOP; END $$`
	}
	return map[string][]string{
		"a table": {`CREATE TABLE notifications ` + columns + `(id))`},
		"hash partitions": {`CREATE TABLE notifications ` + columns + `(id, user_id)) PARTITION BY HASH (user_id)`,
			partitions(`WITH (MODULUS 16, REMAINDER %s)', i, i)`), fmt.Sprintf(indexes, "notifications")},
		"time partitions": {`CREATE TABLE notifications ` + columns + `(id, created_at)) PARTITION BY RANGE (created_at)`,
			partitions(`FROM (%L) TO (%L)', i, timestamptz '2025-01-01Z' + i * interval '2 days', timestamptz '2025-01-01Z' + (i + 1) * interval '2 days')`),
			fmt.Sprintf(indexes, "notifications")},
		"a view": {`CREATE TABLE messages ` + columns + `(id))`, fmt.Sprintf(indexes, "messages"),
			`CREATE SCHEMA cleanup; CREATE VIEW cleanup.notifications AS SELECT ctid, tableoid, * FROM messages`, setSearchPath("cleanup, public")},
	}
}()

// restoreAll calls restore_next_batch until it is NULL, and returns what it returned.
func (d *database) restoreAll(size int) (batches []int) {
	d.t.Helper()
	call := fmt.Sprintf("SELECT restore_next_batch(1, %d)", size)
	for {
		d.note(call)
		n := one[*int](d, call)
		if n == nil {
			return batches
		}
		batches = append(batches, *n)
	}
}

// wantRestored compares the numbers of what is still deleted, and the count of run 1.
func (d *database) wantRestored(want int, left string) {
	d.t.Helper()
	if got := d.numbers("deleted_at IS NOT NULL"); got != left {
		d.t.Errorf("still deleted are %q, want %q", got, left)
	}
	if got := one[int](d, "SELECT notifications_restored FROM notification_cleanup_runs WHERE id = 1"); got != want {
		d.t.Errorf("the record says %d restored, want %d", got, want)
	}
}

func TestUndoInBatchesRestoresWhatTheRunDeletedAndNothingElse(t *testing.T) {
	t.Parallel()
	for kind, statements := range kindsOfTables {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := adopt(t, statements...)
			d.insert(alice, "read", 1, 1001)
			d.insert(bob, "read", 2001, 3001)
			d.set("deleted_at = '2025-06-01Z'", 1, 1) // by herself
			d.insert(alice, "read", 1002, 1002)
			d.cleanup(usersArgument(alice))
			d.cleanup("")
			if kind != "time partitions" {
				d.set("created_at = NULL", 5, 5)
			}
			if kind != "hash partitions" {
				d.set("user_id = NULL", 6, 6)
			}
			d.exec("DELETE FROM notifications WHERE " + notificationNumber + " = 7")
			if got, want := d.restoreAll(400), []int{400, 400, 100}; !slices.Equal(got, want) {
				t.Errorf("restored %d, want %d", got, want)
			}
			d.wantRestored(900, "1 2001-2901")
		})
	}
}

func TestUndoInBatchesGoesThroughTheTableInItsOrder(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.cleanup("")
	d.exec("CREATE TABLE before AS SELECT id, ctid AS place FROM notifications WHERE deleted_at IS NOT NULL")
	d.restoreAll(100)
	const batches = `SELECT count(*) = 10 AND bool_and(lower > previous) IS NOT FALSE FROM (
		SELECT lower, lag(upper) OVER (ORDER BY lower) AS previous FROM (
			SELECT min(place) AS lower, max(place) AS upper FROM before JOIN notifications AS n USING (id) GROUP BY n.xmin::text) AS batch) AS batch`
	if !one[bool](d, batches) {
		t.Error("the batches overlap, or they are not 10")
	}
}

// hold locks these notifications in another session.
func (d *database) hold(condition string) (other *database) {
	d.t.Helper()
	other = d.openSession()
	other.exec("BEGIN; SELECT FROM notifications WHERE " + condition + " FOR UPDATE")
	return other
}

// restoreInBackground executes a query of one number in a session of its own.
func (d *database) restoreInBackground(call string) (result func() *int) {
	d.t.Helper()
	session, done := d.openSession(), make(chan *int, 1)
	session.note("/* in the background */ " + call)
	go func() {
		var n *int
		if err := session.conn.QueryRow(context.Background(), call).Scan(&n); err != nil {
			d.t.Error(err)
		}
		done <- n
	}()
	return func() *int { return <-done }
}

const restoreWaits = `SELECT EXISTS (SELECT FROM pg_stat_activity
	WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'SELECT %restore_%')`

func TestUndoSkipsWhatIsHeldAndWaitsForItLastWithNothingInHand(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.cleanup("")
	other := d.hold(notificationNumber + " IN (1, 500, 901)")
	if got := one[int](d, "SELECT restore_next_batch(1)"); got != 898 {
		t.Errorf("restored %d, want 898", got)
	}
	d.exec("SET lock_timeout = '20ms'")
	d.refused("SELECT restore_next_batch(1)", "55P03")
	result := d.restoreInBackground("SELECT restore_next_batch(1)")
	eventually(t, d, restoreWaits)
	d.exec("SELECT FROM notifications WHERE " + notificationNumber + " NOT IN (1, 500, 901) FOR UPDATE NOWAIT")
	d.exec("SELECT FROM notification_cleanup_runs FOR UPDATE NOWAIT")
	other.exec("COMMIT")
	if n := result(); n == nil || *n != 3 || d.restoreAll(10) != nil {
		t.Errorf("restored %v, want 3 and then none", n)
	}
	d.wantRestored(901, "")
}

func TestUndoInOneTransactionRestoresWhatWasHeldToo(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.cleanup("")
	other := d.hold(notificationNumber + " IN (1, 500, 901)")
	result := d.restoreInBackground("SELECT restore_notifications(1)")
	eventually(t, d, restoreWaits)
	other.exec("UPDATE notifications SET message = 'later' WHERE " + notificationNumber + " = 500")
	other.exec("DELETE FROM notifications WHERE " + notificationNumber + " = 901; COMMIT")
	if n := result(); n == nil || *n != 900 {
		t.Errorf("restored %v, want 900", n)
	}
	d.wantRestored(900, "")
}

// What was waited for is not of this run any more, but its lock is got all the same. Somebody else may hold the next and wait for that.
func TestUndoDoesNotWaitForASecondOneWithTheFirstInHand(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.cleanup("")
	var first, second int
	for _, n := range all[int](d, "SELECT "+notificationNumber+" FROM notifications WHERE deleted_at IS NOT NULL ORDER BY ctid LIMIT 2") {
		first, second = second, n
	}
	former, latter := d.hold(fmt.Sprint(notificationNumber, " = ", first)), d.hold(fmt.Sprint(notificationNumber, " = ", second))
	if n := one[int](d, "SELECT restore_next_batch(1)"); n != 899 {
		t.Errorf("restored %d, want 899", n)
	}
	result := d.restoreInBackground("SELECT restore_next_batch(1)")
	eventually(t, d, restoreWaits)
	former.exec(fmt.Sprintf("UPDATE notifications SET deleted_at = '2025-06-01Z' WHERE %s = %d; COMMIT", notificationNumber, first))
	if n := result(); n == nil || *n != 0 {
		t.Errorf("the call returned %v, want 0", n)
	}
	latter.exec("ROLLBACK")
	d.restoreAll(10)
	d.wantRestored(900, fmt.Sprint(first))
}

// The application locks what is soft-deleted in any order, as a purge of its own might.
func TestUndoHasNoDeadlockWithTheApplication(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.cleanup("")
	application, done := d.openSession(), make(chan error, 1)
	stop, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for stop.Err() == nil {
			batch := "BEGIN"
			for range 5 {
				batch += fmt.Sprintf("; UPDATE notifications SET message = 'x' WHERE id = lpad('%d', 32, '0')::uuid", 1+rand.IntN(901))
			}
			if _, err := application.conn.Exec(context.Background(), batch+"; COMMIT"); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	undo := []*database{d.openSession(), d.openSession()}
	restored := make(chan int, 2)
	for _, session := range undo {
		go func() {
			total := 0
			for _, n := range session.restoreAll(7) {
				total += n
			}
			restored <- total
		}()
	}
	total := <-restored + <-restored
	cancel()
	if err := <-done; err != nil || total != 901 {
		t.Errorf("restored %d, want 901; the application: %v", total, err)
	}
	d.wantRestored(901, "")
}

func TestTheFirstBatchOfAnUndoGivesTheRunUp(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wide(alice, 1, 1001, 0)
	run := d.plan("batch_size => 100")
	d.batch(run)
	goOn := d.pauseAt(150)
	deleted := d.inBackground(t, run)
	result := d.restoreInBackground("SELECT restore_next_batch(1)")
	eventually(t, d, restoreWaits)
	goOn()
	if n := result(); n == nil || *n != 200 || deleted() != 100 {
		t.Errorf("restored %v, want 200: one batch was done, and one in flight", n)
	}
	if d.batch(run) != -1 || d.restoreAll(10) != nil {
		t.Error("the run goes on, or there is more to undo")
	}
	d.wantRestored(200, "")
	d.wantQueue("0 0")
}

func TestUndoRestoresWhatAPurgeLeaves(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.cleanup("")
	purge := d.openSession()
	purge.exec("BEGIN; SELECT purge_notifications('1 microsecond', 300)")
	if n := one[int](d, "SELECT restore_next_batch(1)"); n != 601 {
		t.Errorf("restored %d, want 601", n)
	}
	result := d.restoreInBackground("SELECT restore_next_batch(1)")
	eventually(t, d, restoreWaits)
	purge.exec("COMMIT")
	if n := result(); n == nil || *n != 0 {
		t.Errorf("after the purge it is %v, want 0", n)
	}
	if got := d.restoreAll(10); got != nil {
		t.Errorf("and then %d, want none", got)
	}
	d.wantRestored(601, "")
}

func TestPurgeLeavesWhatAnUndoIsAt(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.cleanup("")
	undo := d.openSession()
	undo.exec("BEGIN; SELECT restore_next_batch(1, 300)")
	if n := one[int](d, "SELECT purge_notifications('1 microsecond')"); n != 601 {
		t.Errorf("purged %d, want 601", n)
	}
	undo.exec("COMMIT")
	d.wantRestored(300, "")
}

// The undo has taken its snapshot, but locked nothing yet.
func TestUndoTakesWhatMovesUnderIt(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.cleanup("")
	d.pause()
	other := d.openSession()
	other.exec("SELECT pg_advisory_lock(1)")
	result := d.restoreInBackground("SELECT restore_next_batch(1)")
	eventually(t, d, restoreWaits)
	other.exec("UPDATE notifications SET user_id = " + key(bob) + ", created_at = now() WHERE deleted_at IS NOT NULL")
	other.exec("SELECT pg_advisory_unlock(1)")
	if n := result(); n == nil || *n != 901 {
		t.Errorf("restored %v, want 901", n)
	}
	d.wantRestored(901, "")
}

// More of them than a batch lie before all others.
func TestATriggerThatKeepsSomeDeletedDoesNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"vetoed": "RETURN NULL;", "reset": "NEW.deleted_at := OLD.deleted_at; RETURN NEW;"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.insert(bob, "read", 2001, 3001)
			d.insert(alice, "read", 1, 1001)
			d.cleanup("")
			d.exec(`CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN ` + body + ` END$$;
				CREATE TRIGGER keep BEFORE UPDATE ON notifications FOR EACH ROW WHEN (OLD.user_id = ` + key(bob) + `) EXECUTE FUNCTION keep()`)
			other := d.hold(firstNotification)
			result := d.restoreInBackground("SELECT sum(restore_next_batch(1, 300)) FROM generate_series(1, 8)")
			eventually(t, d, restoreWaits)
			other.exec("COMMIT")
			if n := result(); n == nil || *n != 901 {
				t.Errorf("restored %v, want 901", n)
			}
			if got := d.restoreAll(100); got != nil {
				t.Errorf("and then %d, want none", got)
			}
			d.wantRestored(901, "2001-2901")
		})
	}
}

// twins are tables in which each id from 1 to 10 stands twice, in the same place of two relations:
// once in the table or partition that is read first, and once in the relation called second.
// Run 1 has deleted all of them.
var twins = func() map[string][]string {
	const columns = `(id bigint NOT NULL, user_id bigint, status text, created_at timestamptz, deleted_at timestamptz, PRIMARY KEY `
	const fill = `INSERT INTO notification_cleanup_runs (max_notifications, min_keep, started_at) VALUES (1, 1, '2025-05-01Z');
		INSERT INTO %s SELECT i, 1, 'read', '2025-01-01Z', '2025-05-01Z' FROM generate_series(1, 10) AS i;
		INSERT INTO second SELECT i, 1, 'read', '%s', '2025-05-01Z' FROM generate_series(1, 10) AS i`
	return map[string][]string{
		"partitions": {
			`CREATE TABLE notifications ` + columns + `(id, created_at)) PARTITION BY RANGE (created_at);
			CREATE TABLE first PARTITION OF notifications FOR VALUES FROM ('2025-01-01Z') TO ('2025-02-01Z');
			CREATE TABLE second PARTITION OF notifications FOR VALUES FROM ('2025-02-01Z') TO ('2025-03-01Z')`,
			fmt.Sprintf(fill, "first", "2025-02-01Z"), "first"},
		"a child by INHERITS": {
			`CREATE TABLE notifications ` + columns + `(id)); CREATE TABLE second (PRIMARY KEY (id)) INHERITS (notifications)`,
			fmt.Sprintf(fill, "notifications", "2025-01-01Z"), "notifications"},
	}
}()

// eachTwins runs a test on each kind of twins; first is the relation that is read first.
func eachTwins(t *testing.T, test func(t *testing.T, d *database, first string)) {
	t.Parallel()
	for kind, twins := range twins {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := adopt(t, twins[0])
			d.exec(twins[1])
			test(t, d, twins[2])
		})
	}
}

func TestUndoRestoresTheRowThatItLockedAndNoOtherOfItsID(t *testing.T) {
	eachTwins(t, func(t *testing.T, d *database, first string) {
		d.exec("UPDATE second SET deleted_at = '2025-06-01Z' WHERE id = 9; UPDATE second SET deleted_at = NULL WHERE id = 10")
		if got := d.restoreAll(1); len(got) != 18 || slices.Max(got) != 1 {
			t.Errorf("restored %d, want one at a time, 18 times", got)
		}
		d.wantRestored(18, "9")
	})
}

func TestUndoWaitsForOneRowOfAnIDAndNotForTheOther(t *testing.T) {
	eachTwins(t, func(t *testing.T, d *database, first string) {
		former, latter := d.openSession(), d.openSession()
		former.exec("BEGIN; SELECT FROM ONLY " + first + " WHERE id = 5 FOR UPDATE")
		latter.exec("BEGIN; SELECT FROM second WHERE id = 5 FOR UPDATE")
		if n := one[int](d, "SELECT restore_next_batch(1)"); n != 18 {
			t.Errorf("restored %d, want 18", n)
		}
		result := d.restoreInBackground("SELECT restore_next_batch(1)")
		eventually(t, d, restoreWaits)
		former.exec("COMMIT")
		if n := result(); n == nil || *n != 1 {
			t.Errorf("restored %v, want 1, while another session holds its twin", n)
		}
		latter.exec("COMMIT")
		if got := d.restoreAll(10); !slices.Equal(got, []int{1}) {
			t.Errorf("and then %d, want the twin", got)
		}
		d.wantRestored(20, "")
	})
}

func TestATriggerThatKeepsARowDeletedDoesNotKeepTheOtherOfItsID(t *testing.T) {
	for name, body := range map[string]string{"vetoed": "RETURN NULL;", "reset": "NEW.deleted_at := OLD.deleted_at; RETURN NEW;"} {
		t.Run(name, func(t *testing.T) {
			eachTwins(t, func(t *testing.T, d *database, first string) {
				d.exec(`CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN ` + body + ` END$$;
					CREATE TRIGGER keep BEFORE UPDATE ON ` + first + ` FOR EACH ROW EXECUTE FUNCTION keep()`)
				d.restoreAll(3)
				if n := one[int](d, "SELECT count(*) FROM second WHERE deleted_at IS NULL"); n != 10 {
					t.Errorf("restored %d where no trigger is, want 10", n)
				}
				d.wantRestored(10, "1-10")
			})
		})
	}
}

func TestPurgeDeletesTheRowThatItLockedAndNoOtherOfItsID(t *testing.T) {
	eachTwins(t, func(t *testing.T, d *database, first string) {
		d.exec("DELETE FROM notifications WHERE id > 2; UPDATE second SET deleted_at = NULL WHERE id = 2")
		other := d.openSession()
		other.exec("BEGIN; SELECT FROM second WHERE id = 1 FOR UPDATE")
		for _, want := range []int{1, 1, 0} {
			if n := one[int](d, "SELECT purge_notifications('1 day', 1)"); n != want {
				t.Errorf("purged %d, want %d, while another session holds a twin", n, want)
			}
		}
		other.exec("COMMIT")
		if n := one[int](d, "SELECT purge_notifications('1 day')"); n != 1 {
			t.Errorf("purged %d, want the twin", n)
		}
		if got := d.numbers("deleted_at IS NULL"); got != "2" || d.numbers("true") != "2" {
			t.Errorf("%s are left, want the live 2", d.numbers("true"))
		}
	})
}

func TestABadBatchSizeLeavesTheRunAlone(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	run := d.plan("batch_size => 500")
	for _, size := range []string{"0", "-1", "NULL"} {
		if err := d.refused("SELECT restore_next_batch(1, "+size+")", "22023"); err.Hint == "" {
			t.Errorf("no hint for %s", size)
		}
	}
	d.drain(run)
	d.wantDeletedBy(d.record(run), "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

// beliefs are what the planner may take to be true of 12,000 notifications, of which kept is a copy.
var beliefs = map[string]string{
	"statistics":    "ANALYZE notifications",
	"no statistics": "SELECT",
	"all live":      "UPDATE notifications SET deleted_at = NULL; ANALYZE; UPDATE notifications AS n SET deleted_at = k.deleted_at FROM kept AS k WHERE k.id = n.id",
	"all deleted":   "UPDATE notifications SET deleted_at = '2025-05-01Z'; ANALYZE; UPDATE notifications AS n SET deleted_at = k.deleted_at FROM kept AS k WHERE k.id = n.id",
	"hardly any":    "DELETE FROM notifications WHERE id > 100; ANALYZE; INSERT INTO notifications (id, user_id, status, created_at, deleted_at) SELECT * FROM kept WHERE id > 100",
}

// A call reads neither the table, nor a run to its end, nor each partition for each notification.
func TestUndoAndPurgeReadTheirBatchAndNoMore(t *testing.T) {
	t.Parallel()
	for kind, statements := range kindsOfTables {
		for name, believe := range beliefs {
			t.Run(kind+", "+name, func(t *testing.T) {
				t.Parallel()
				d := adopt(t, statements...)
				d.exec(`DO $$ DECLARE r regclass; BEGIN FOR r IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
					LOOP EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', r); END LOOP; END $$;
					CREATE INDEX ON ` + map[bool]string{false: "notifications", true: "messages"}[kind == "a view"] + ` (user_id, deleted_at);
					CREATE TABLE kept AS SELECT i::bigint AS id, i % 150 AS user_id, 'read' AS status, timestamptz '2025-01-01Z' + i * interval '3 minutes' AS created_at,
						CASE WHEN i % 2 = 0 THEN timestamptz '2025-05-01Z' WHEN i % 10 = 1 THEN '2025-06-01Z' END AS deleted_at FROM generate_series(1, 12000) AS i;
					INSERT INTO notifications (id, user_id, status, created_at, deleted_at) SELECT * FROM kept;
					INSERT INTO notification_cleanup_runs (max_notifications, min_keep, started_at) VALUES (1, 1, '2025-05-01Z')`)
				d.exec(believe)
				if !strings.HasPrefix(name, "no") {
					d.exec("VACUUM")
				}
				for _, call := range []string{"SELECT restore_next_batch(1, 1000)", "SELECT purge_notifications('1 day', 1000)"} {
					for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
						session := d.openSession()                                                                                  // which has no other statistics
						session.exec("SET plan_cache_mode = " + mode + "; BEGIN; SAVEPOINT first; " + call + "; ROLLBACK TO first") // so that catalogs are known
						const read = `SELECT sum(pg_stat_get_xact_numscans(oid) + pg_stat_get_xact_tuples_returned(oid))::integer FROM pg_class
							WHERE relkind IN ('r', 'i') AND relname !~ '^notification_cleanup|^pg_'`
						if n := one[int](session, read); n > 3000 {
							t.Errorf("with %s %s made %d scans and read that many rows, for 1000 notifications", mode, call, n)
						}
						plan := decode[[]struct {
							Plan struct {
								Hit  int `json:"Shared Hit Blocks"`
								Read int `json:"Shared Read Blocks"`
							}
						}](t, one[string](session, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+call))
						if n := plan[0].Plan.Hit + plan[0].Plan.Read; n > 16000 {
							t.Errorf("with %s %s read %d pages, for 1000 notifications", mode, call, n)
						}
						session.exec("ROLLBACK")
					}
				}
			})
		}
	}
}

// Killed at any moment, an undo has counted what it restored, holds nothing, and goes on with the rest.
func TestUndoGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := s.migrated()
	const undo = "DO $$ BEGIN WHILE restore_next_batch(1, 30) IS NOT NULL LOOP COMMIT; END LOOP; END $$"
	prepare := func() {
		d.exec(crowd)
		d.cleanup("40, 10")
	}
	prepare()
	start := time.Now()
	d.exec(undo)
	duration := time.Since(start)
	for _, victim := range []string{"a backend", "the server"} {
		for range *rounds {
			prepare()
			session, ended := d.connect(), make(chan error, 1)
			go func() { _, err := session.Exec(context.Background(), undo); ended <- err }()
			delay := time.Duration(rand.Int64N(int64(duration)))
			time.Sleep(delay)
			kills[victim](s, d, nil)
			s.start()
			<-ended
			d = d.openSession()
			eventually(t, d, alone)
			after := fmt.Sprintf("killing %s %s into an undo of %s", victim, delay, duration)
			const untrue = "SELECT r::text FROM notification_cleanup_runs AS r WHERE notifications_deleted - notifications_restored <> (SELECT count(deleted_at) FROM notifications)"
			d.wantNone(after, "the record is not what was committed", untrue)
			d.wantNothingLocked()
			d.exec(undo)
			d.wantNone(after, "the record is not what was restored", untrue)
			d.wantNone(after, "something is still deleted", "SELECT n::text FROM notifications AS n WHERE deleted_at IS NOT NULL")
		}
	}
}

func TestTheProgramUndoesBatchByBatch(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	d.cleanup("")
	stdout, stderr, status := command(t, d, nil, "restore", "1", "-batch-size", "500")
	if status != 0 || stdout != `{"notifications_restored":1950}`+"\n" {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	for _, says := range []string{`msg="started restoring" notifications_expected=1950`, `msg=restored notifications_restored=1950`} {
		if !strings.Contains(stderr, says) {
			t.Errorf("no %s in %s", says, stderr)
		}
	}
	if n := one[int](d, `SELECT count(DISTINCT xmin::text) FROM notifications WHERE status = 'read'`); n != 5 {
		t.Errorf("%d transactions, want 4 and that of those which were kept", n)
	}
}

func TestAnUndoThatIsStoppedReportsWhatItRestoredAndGoesOn(t *testing.T) {
	t.Parallel()
	for name, arguments := range map[string][]string{"signal": nil, "TIMEOUT": {"-timeout", "5s"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(inboxes)
			d.cleanup("")
			release := blockUser2(d)
			cmd, stdout, stderr := process(t, d.url(), append([]string{"restore", "1", "-batch-size", "500"}, arguments...)...)
			if name == "signal" {
				eventually(t, d, blocked)
				_ = cmd.Process.Signal(os.Interrupt)
			}
			_ = cmd.Wait()
			if status := cmd.ProcessState.ExitCode(); status != 3 || stdout.String() != `{"notifications_restored":1000}`+"\n" || !strings.Contains(stderr.String(), "stopped early by") {
				t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
			}
			release()
			eventually(t, d, alone)
			if stdout, stderr, status := command(t, d, nil, "restore", "1"); status != 0 || stdout != `{"notifications_restored":950}`+"\n" {
				t.Errorf("the next one: exit status %d, stdout %s, stderr %s", status, stdout, stderr)
			}
			if n := one[int](d, "SELECT notifications_restored FROM notification_cleanup_runs"); n != 1950 {
				t.Errorf("the record says %d restored, want 1950", n)
			}
		})
	}
}

func TestTheProgramRetriesAnUndoThatWaitsTooLong(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.cleanup("")
	d.exec(setForDatabase("lock_timeout = '20ms'"))
	other := d.hold(firstNotification)
	cmd, stdout, stderr := process(t, d.url(), "restore", "1")
	for !strings.Contains(stderr.String(), "retrying") { // at least once
		time.Sleep(time.Millisecond)
	}
	other.exec("COMMIT")
	_ = cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 0 || stdout.String() != `{"notifications_restored":901}`+"\n" {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
}

func TestUndoOfARunThatIsNoneIsAMistakeOfTheCaller(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	stdout, stderr, status := command(t, d, nil, "restore", "7")
	if status != 2 || stdout != "" || !strings.Contains(stderr, "notification_cleanup_runs") {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
}
