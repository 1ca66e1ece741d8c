package undo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// inBackground executes a query of one number in a session of its own.
func inBackground(d *pgtest.Database, call string) (result func() *int) {
	d.T.Helper()
	session, done := d.OpenSession(), make(chan *int, 1)
	session.Exec("SET lock_timeout = '20s'")
	session.Note("/* in the background */ " + call)
	go func() {
		var n *int
		if err := session.Conn.QueryRow(context.Background(), call).Scan(&n); err != nil {
			d.T.Error(err)
		}
		done <- n
	}()
	return func() *int { return <-done }
}

// waits tells if a call of such a routine waits for a lock.
func waits(routine string) string {
	return `
		SELECT EXISTS (
			SELECT
			FROM pg_stat_activity
			WHERE datname = current_database()
				AND wait_event_type = 'Lock'
				AND query LIKE 'SELECT %` + routine + `%'
		)`
}

func TestUndoSkipsWhatIsHeldAndWaitsForItLastWithNothingInHand(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	other := d.Hold(pgtest.NotificationNumber + " IN (1, 500, 901)")
	if got := pgtest.One[int](d, "SELECT restore_next_batch(1)"); got != 898 {
		t.Errorf("restored %d, want 898", got)
	}
	d.Exec("SET lock_timeout = '20ms'")
	d.Refused("SELECT restore_next_batch(1)", "55P03")
	result := inBackground(d, "SELECT restore_next_batch(1)")
	d.Eventually(waits("restore_"))
	d.Exec(
		"SELECT FROM notifications WHERE " + pgtest.NotificationNumber +
			" NOT IN (1, 500, 901) FOR UPDATE NOWAIT",
	)
	d.Exec("SELECT FROM notification_cleanup_runs FOR UPDATE NOWAIT")
	other.Exec("COMMIT")
	if n := result(); n == nil || *n != 3 || restoreAll(d, 10) != nil {
		t.Errorf("restored %v, want 3 and then none", n)
	}
	wantRestored(d, 901, "")
}

func TestUndoInOneTransactionRestoresWhatWasHeldToo(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	d.Exec(`
		CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER keep BEFORE UPDATE ON notifications
		FOR EACH ROW WHEN (OLD.id = ` + pgtest.Key(2) + `) EXECUTE FUNCTION keep()`)
	other := d.Hold(pgtest.NotificationNumber + " IN (1, 500, 901)")
	result := inBackground(d, "SELECT restore_notifications(1)")
	d.Eventually(waits("restore_"))
	other.Exec(
		"UPDATE notifications SET message = 'later' WHERE " + pgtest.NotificationNumber + " = 500",
	)
	other.Exec("DELETE FROM notifications WHERE " + pgtest.NotificationNumber + " = 901; COMMIT")
	if n := result(); n == nil || *n != 899 {
		t.Errorf("restored %v, want 899", n)
	}
	wantRestored(d, 899, "2")
}

// What was waited for is not of this run any more, but its lock is got all the same. Somebody else
// may hold the next and wait for that.
func TestUndoDoesNotWaitForASecondOneWithTheFirstInHand(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	d.Set("created_at = '2025-01-01Z'", 1, 901) // only the id tells one from another
	var first, second int
	for _, n := range pgtest.All[int](
		d,
		"SELECT "+pgtest.NotificationNumber+" FROM notifications WHERE deleted_at IS NOT NULL ORDER"+
			" BY ctid LIMIT 2",
	) {
		first, second = second, n
	}
	former, latter := d.Hold(
		fmt.Sprint(pgtest.NotificationNumber, " = ", first),
	), d.Hold(
		fmt.Sprint(pgtest.NotificationNumber, " = ", second),
	)
	if n := pgtest.One[int](d, "SELECT restore_next_batch(1)"); n != 899 {
		t.Errorf("restored %d, want 899", n)
	}
	result := inBackground(d, "SELECT restore_next_batch(1)")
	d.Eventually(waits("restore_"))
	former.Exec(fmt.Sprintf(`
		UPDATE notifications
		SET deleted_at = '2025-06-01Z'
		WHERE %s = %d;
		COMMIT`, pgtest.NotificationNumber, first))
	if n := result(); n == nil || *n != 0 {
		t.Errorf("the call returned %v, want 0", n)
	}
	latter.Exec("ROLLBACK")
	restoreAll(d, 10)
	wantRestored(d, 900, fmt.Sprint(first))
}

// The application locks what is soft-deleted in any order, as a purge of its own might.
func TestUndoHasNoDeadlockWithTheApplication(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	application, done := d.OpenSession(), make(chan error, 1)
	stop, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for stop.Err() == nil {
			batch := "BEGIN"
			for range 5 {
				batch += fmt.Sprintf(
					"; UPDATE notifications SET message = 'x' WHERE id = lpad('%d', 32, '0')::uuid",
					1+rand.IntN(901),
				)
			}
			if _, err := application.Conn.Exec(context.Background(), batch+"; COMMIT"); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	undo := []*pgtest.Database{d.OpenSession(), d.OpenSession()}
	restored := make(chan int, 2)
	for _, session := range undo {
		go func() {
			total := 0
			for _, n := range restoreAll(session, 7) {
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
	wantRestored(d, 901, "")
}

// The undo has taken its snapshot, but locked nothing yet: the view waits there.
func TestUndoTakesWhatMovesUnderIt(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, tableWith("messages", "(id)"), indexesOf("messages"), `
		CREATE FUNCTION pause() RETURNS boolean LANGUAGE plpgsql AS $$
		BEGIN
			IF current_query() LIKE '%restore_next_batch%' THEN
				PERFORM pg_advisory_xact_lock_shared(1);
			END IF;
			RETURN true;
		END $$;
		CREATE VIEW notifications AS SELECT ctid, tableoid, * FROM messages WHERE pause()`)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	other := d.OpenSession()
	other.Exec("SELECT pg_advisory_lock(1)")
	result := inBackground(d, "SELECT restore_next_batch(1)")
	d.Eventually(waits("restore_"))
	other.Exec(
		"UPDATE messages SET user_id = " + pgtest.Key(pgtest.Bob) +
			", created_at = now() WHERE deleted_at IS NOT NULL",
	)
	other.Exec("SELECT pg_advisory_unlock(1)")
	if n := result(); n == nil || *n != 901 {
		t.Errorf("restored %v, want 901", n)
	}
	wantRestored(d, 901, "")
}
