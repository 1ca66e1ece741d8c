package undo

import (
	"fmt"
	"slices"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// restoreAll calls restore_next_batch until it is NULL, and returns what it returned.
func restoreAll(d *pgtest.Database, size int) (batches []int) {
	d.T.Helper()
	return untilNone(d, fmt.Sprintf("SELECT restore_next_batch(1, %d)", size))
}

// untilNone repeats a call until it returns NULL, and returns what it returned before.
func untilNone(d *pgtest.Database, call string) (batches []int) {
	d.T.Helper()
	for range 100 {
		d.Note(call)
		n := pgtest.One[*int](d, call)
		if n == nil {
			return batches
		}
		batches = append(batches, *n)
	}
	d.T.Fatalf("%s has no end", call)
	return nil
}

// wantRestored compares the numbers of what is still deleted, and the count of run 1.
func wantRestored(d *pgtest.Database, want int, left string) {
	d.T.Helper()
	if got := d.Numbers("deleted_at IS NOT NULL"); got != left {
		d.T.Errorf("still deleted are %q, want %q", got, left)
	}
	if got := pgtest.One[int](d, `
		SELECT notifications_restored FROM notification_cleanup_runs WHERE id = 1`); got != want {
		d.T.Errorf("the record says %d restored, want %d", got, want)
	}
}

func TestUndoInBatchesRestoresWhatTheRunDeletedAndNothingElse(t *testing.T) {
	t.Parallel()
	for kind, statements := range kindsOfTables {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			wantUndoneInBatches(t, kind, statements)
		})
		t.Run(kind+", with a trigger", func(t *testing.T) {
			t.Parallel()
			table, _ := behind(kind)
			wantUndoneInBatches(t, kind, append(slices.Clip(statements), `
				CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
				CREATE TRIGGER look AFTER UPDATE ON `+table+`
				FOR EACH ROW EXECUTE FUNCTION look()`))
		})
	}
}

// wantUndoneInBatches undoes one of two runs, of which some rows have lost what they had.
func wantUndoneInBatches(t *testing.T, kind string, statements []string) {
	t.Helper()
	d := pgtest.Adopt(t, statements...)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Insert(pgtest.Bob, "read", 2001, 3001)
	d.Set("deleted_at = '2025-06-01Z'", 1, 1) // by herself
	d.Insert(pgtest.Alice, "read", 1002, 1002)
	d.Cleanup(pgtest.UserIDs(pgtest.Alice))
	d.Cleanup("")
	if kind != "time partitions" {
		d.Set("created_at = NULL", 5, 5)
	}
	if kind != "hash partitions" {
		d.Set("user_id = NULL", 6, 6)
	}
	d.Exec("DELETE FROM notifications WHERE " + pgtest.NotificationNumber + " = 7")
	if got, want := restoreAll(d, 400), []int{400, 400, 100}; !slices.Equal(got, want) {
		t.Errorf("restored %d, want %d", got, want)
	}
	wantRestored(d, 900, "1 2001-2901")
}

func TestUndoInBatchesGoesThroughTheTableInItsOrder(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	d.Exec(`
		CREATE TABLE before AS SELECT id, ctid AS place FROM notifications WHERE deleted_at IS NOT NULL`)
	restoreAll(d, 100)
	const batches = `SELECT count(*) = 10 AND bool_and(lower > previous) IS NOT FALSE FROM (
		SELECT lower, lag(upper) OVER (ORDER BY lower) AS previous FROM (
			SELECT min(place) AS lower, max(place) AS upper
			FROM before
			JOIN notifications AS n USING (id)
			GROUP BY n.xmin::text) AS batch) AS batch`
	if !pgtest.One[bool](d, batches) {
		t.Error("the batches overlap, or they are not 10")
	}
}

func TestUndoAfterEachWayOfRunning(t *testing.T) {
	t.Parallel()
	for way, clean := range pgtest.Ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(pgtest.Inboxes)
			// An earlier run and a user have deleted some.
			d.Exec(`SELECT cleanup_notifications(max_notifications => 1060)`)
			d.Exec(`
				UPDATE notifications
				SET deleted_at = now()
				WHERE id IN (SELECT id FROM notifications WHERE user_id = md5('2')::uuid ORDER BY created_at
					LIMIT 10)`)
			clean(d)
			run := pgtest.One[int64](d, `SELECT max(id) FROM notification_cleanup_runs`)
			d.Exec(fmt.Sprintf(`
				DELETE FROM notifications
				WHERE id = (SELECT n.id FROM notifications AS n
					JOIN notification_cleanup_runs AS r ON n.deleted_at = r.started_at
					WHERE r.id = %d
					LIMIT 1)`, run))
			if n := pgtest.One[int](d, `SELECT restore_notifications(1)`); n != 1000 {
				t.Errorf("restored %d of the earlier run, want 1000", n)
			}
			if n := pgtest.One[int](d, `SELECT restore_notifications($1)`, run); n != 939 {
				t.Errorf("restored %d, want 939: 1040 - 100 - 1 gone for good", n)
			}
			if n := pgtest.One[int](d, `SELECT restore_notifications($1)`, run); n != 0 {
				t.Errorf("restored %d more the second time", n)
			}
			if n := pgtest.One[int](d, `
				SELECT count(*) FILTER (WHERE deleted_at IS NOT NULL) FROM notifications`); n != 10 {
				t.Errorf("%d are deleted, want the 10 of the user", n)
			}
			if restored := pgtest.One[string](d, `
				SELECT string_agg(id || ': ' || notifications_restored, ', ' ORDER BY id)
				FROM notification_cleanup_runs`); restored != fmt.Sprintf("1: 1000, %d: 939", run) {
				t.Errorf("the records say %s restored", restored)
			}
		})
	}
}

func TestRestoredNotificationsGoAgainWithTheNextRun(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	before := pgtest.One[string](d, pgtest.LiveChecksum)
	d.Exec(`SELECT cleanup_notifications()`)
	after := pgtest.One[string](d, pgtest.LiveChecksum)
	stdout, _, _ := d.Program(nil, "restore", "1")
	if stdout != `{"notifications_restored":1950}`+"\n" ||
		pgtest.One[string](d, pgtest.LiveChecksum) != before {
		t.Errorf("stdout %s, or other notifications are live than before", stdout)
	}
	d.Exec(`SELECT cleanup_notifications(max_notifications => 1200)`)
	if pgtest.One[string](d, pgtest.LiveChecksum) != before {
		t.Error("a run with a raised limit deleted restored notifications")
	}
	d.Exec(`SELECT cleanup_notifications()`)
	if pgtest.One[string](d, pgtest.LiveChecksum) != after {
		t.Error("the next run with the old limit left other notifications than the first")
	}
}

func TestRestoreCountsOnlyWhatATriggerLetThrough(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	d.Exec(`
		CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			NEW.deleted_at := OLD.deleted_at;
			RETURN NEW;
		END $$;
		CREATE TRIGGER keep BEFORE UPDATE ON notifications
		FOR EACH ROW WHEN (OLD.` + pgtest.FirstNotification + `) EXECUTE FUNCTION keep()`)
	if n := pgtest.One[int](d, `SELECT restore_notifications(1)`); n != 900 ||
		d.Numbers("deleted_at IS NOT NULL") != "1" {
		t.Errorf("restored %d, want 900: still deleted are %q", n, d.Numbers("deleted_at IS NOT NULL"))
	}
}

// More of them than a batch lie before all others.
func TestATriggerThatKeepsSomeDeletedDoesNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"vetoed": "RETURN NULL;",
		"reset":  "NEW.deleted_at := OLD.deleted_at; RETURN NEW;",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Insert(pgtest.Bob, "read", 2001, 3001)
			d.Insert(pgtest.Alice, "read", 1, 1001)
			d.Cleanup("")
			d.Exec(`CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN ` + body + ` END$$;
				CREATE TRIGGER keep BEFORE UPDATE ON notifications
				FOR EACH ROW WHEN (OLD.user_id = ` + pgtest.Key(pgtest.Bob) + `) EXECUTE FUNCTION keep()`)
			other := d.Hold(pgtest.FirstNotification)
			result := inBackground(d,
				"SELECT sum(restore_next_batch(1, 300)) FROM generate_series(1, 8)")
			d.Eventually(waits("restore_"))
			other.Exec("COMMIT")
			if n := result(); n == nil || *n != 901 {
				t.Errorf("restored %v, want 901", n)
			}
			if got := restoreAll(d, 100); got != nil {
				t.Errorf("and then %d, want none", got)
			}
			wantRestored(d, 901, "2001-2901")
		})
	}
}

func TestABadBatchSizeLeavesTheRunAlone(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	run := d.Plan("batch_size => 500")
	for _, size := range []string{"0", "-1", "NULL"} {
		if err := d.Refused("SELECT restore_next_batch(1, "+size+")", "22023"); err.Hint == "" {
			t.Errorf("no hint for %s", size)
		}
	}
	d.Drain(run)
	d.WantDeletedBy(d.Record(run), "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}
