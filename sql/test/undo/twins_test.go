package undo

import (
	"fmt"
	"slices"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// twins are tables in which each id from 1 to 10 stands twice, in the same place of two relations:
// once in the table or partition that is read first, and once in the relation called second.
// Run 1 has deleted all of them.
var twins = func() map[string][]string {
	const columns = `(
		id bigint NOT NULL,
		user_id bigint,
		status text,
		created_at timestamptz,
		deleted_at timestamptz,
		PRIMARY KEY `
	const fill = `
		INSERT INTO notification_cleanup_runs (max_notifications, min_keep, started_at)
		VALUES (1, 1, '2025-05-01Z');
		INSERT INTO %s
		SELECT i, 1, 'read', '2025-01-01Z', '2025-05-01Z' FROM generate_series(1, 10) AS i;
		INSERT INTO second
		SELECT i, 1, 'read', '%s', '2025-05-01Z' FROM generate_series(1, 10) AS i`
	return map[string][]string{
		"partitions": {
			`CREATE TABLE notifications ` + columns + `(id, created_at)) PARTITION BY RANGE (created_at);
			CREATE TABLE first PARTITION OF notifications
			FOR VALUES FROM ('2025-01-01Z') TO ('2025-02-01Z');
			CREATE TABLE second PARTITION OF notifications
			FOR VALUES FROM ('2025-02-01Z') TO ('2025-03-01Z')`,
			fmt.Sprintf(fill, "first", "2025-02-01Z"), "first"},
		"a child by INHERITS": {
			`CREATE TABLE notifications ` + columns + `(id));
			CREATE TABLE second (PRIMARY KEY (id)) INHERITS (notifications)`,
			fmt.Sprintf(fill, "notifications", "2025-01-01Z"), "notifications"},
	}
}()

// eachTwins runs a test on each kind of twins; first is the relation that is read first.
func eachTwins(t *testing.T, test func(t *testing.T, d *pgtest.Database, first string)) {
	t.Parallel()
	for kind, twins := range twins {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, twins[0])
			d.Exec(twins[1])
			test(t, d, twins[2])
		})
	}
}

func TestUndoRestoresTheRowThatItLockedAndNoOtherOfItsID(t *testing.T) {
	eachTwins(t, func(t *testing.T, d *pgtest.Database, first string) {
		d.Exec(`
			UPDATE second SET deleted_at = '2025-06-01Z' WHERE id = 9;
			UPDATE second SET deleted_at = NULL WHERE id = 10`)
		if got := restoreAll(d, 1); len(got) != 18 || slices.Max(got) != 1 {
			t.Errorf("restored %d, want one at a time, 18 times", got)
		}
		wantRestored(d, 18, "9")
	})
}

func TestUndoWaitsForOneRowOfAnIDAndNotForTheOther(t *testing.T) {
	eachTwins(t, func(t *testing.T, d *pgtest.Database, first string) {
		former, latter := d.OpenSession(), d.OpenSession()
		former.Exec("BEGIN; SELECT FROM ONLY " + first + " WHERE id = 5 FOR UPDATE")
		latter.Exec("BEGIN; SELECT FROM second WHERE id = 5 FOR UPDATE")
		if n := pgtest.One[int](d, "SELECT restore_next_batch(1)"); n != 18 {
			t.Errorf("restored %d, want 18", n)
		}
		result := inBackground(d, "SELECT restore_next_batch(1)")
		d.Eventually(waits("restore_"))
		former.Exec("COMMIT")
		if n := result(); n == nil || *n != 1 {
			t.Errorf("restored %v, want 1, while another session holds its twin", n)
		}
		latter.Exec("COMMIT")
		if got := restoreAll(d, 10); !slices.Equal(got, []int{1}) {
			t.Errorf("and then %d, want the twin", got)
		}
		wantRestored(d, 20, "")
	})
}

func TestATriggerThatKeepsARowDeletedDoesNotKeepTheOtherOfItsID(t *testing.T) {
	for name, trigger := range map[string][2]string{
		"vetoed": {"BEFORE", "RETURN NULL;"},
		"reset":  {"BEFORE", "NEW.deleted_at := OLD.deleted_at; RETURN NEW;"},
		"deleted again": {"AFTER", `
			EXECUTE format(
				'UPDATE ONLY %s SET deleted_at = $1 WHERE id = $2 AND deleted_at IS NULL',
				TG_RELID::regclass
			) USING OLD.deleted_at, OLD.id;
			RETURN NULL;`},
	} {
		for _, size := range []int{3, 20} { // of 20
			t.Run(fmt.Sprintf("%s, batches of %d", name, size), func(t *testing.T) {
				eachTwins(t, func(t *testing.T, d *pgtest.Database, first string) {
					d.Exec(`
						CREATE FUNCTION keep() RETURNS trigger
						LANGUAGE plpgsql AS $$BEGIN ` + trigger[1] + ` END$$;
						CREATE TRIGGER keep ` + trigger[0] + ` UPDATE ON ` + first + `
						FOR EACH ROW EXECUTE FUNCTION keep()`)
					restoreAll(d, size)
					const live = "SELECT count(*) FROM second WHERE deleted_at IS NULL"
					if n := pgtest.One[int](d, live); n != 10 {
						t.Errorf("restored %d where no trigger is, want 10", n)
					}
					wantRestored(d, 10, "1-10")
				})
			})
		}
	}
}

func TestPurgeDeletesTheRowThatItLockedAndNoOtherOfItsID(t *testing.T) {
	eachTwins(t, func(t *testing.T, d *pgtest.Database, first string) {
		d.Exec(`
			DELETE FROM notifications WHERE id > 2;
			UPDATE second SET deleted_at = NULL WHERE id = 2`)
		other := d.OpenSession()
		other.Exec("BEGIN; SELECT FROM second WHERE id = 1 FOR UPDATE")
		for _, want := range []int{1, 1, 0} {
			if n := pgtest.One[int](d, "SELECT purge_notifications('1 day', 1)"); n != want {
				t.Errorf("purged %d, want %d, while another session holds a twin", n, want)
			}
		}
		other.Exec("COMMIT")
		if n := pgtest.One[int](d, "SELECT purge_notifications('1 day')"); n != 1 {
			t.Errorf("purged %d, want the twin", n)
		}
		if got := d.Numbers("deleted_at IS NULL"); got != "2" || d.Numbers("true") != "2" {
			t.Errorf("%s are left, want the live 2", d.Numbers("true"))
		}
	})
}
