package concurrency

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// countUpdates counts what is updated, also in vain: a rollback does not set a sequence back. What
// follows is ROW or STATEMENT and the function.
const (
	countUpdates = `
		CREATE SEQUENCE updates;
		CREATE FUNCTION count_updates() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM nextval('public.updates');
			RETURN NEW;
		END $$;
		CREATE TRIGGER count_updates BEFORE UPDATE ON notifications FOR EACH `
	updates = "SELECT last_value FROM updates"
)

func TestAHeldOneCostsOnlyItself(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]int{"ROW": 900, "STATEMENT": 1} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Insert(pgtest.Alice, "read", 1, 1001)
			d.Exec(countUpdates + level + " EXECUTE FUNCTION count_updates()")
			d.Hold(pgtest.FirstNotification)
			d.WantCleanup("", "2-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 900, Skipped: 1})
			if n := pgtest.One[int](d, updates); n != want {
				t.Errorf("updated %d times for each %s, want %d", n, level, want)
			}
		})
	}
}

func TestForeignKeysToANotificationDoNotHoldItUp(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Exec("CREATE TABLE replies (notification_id uuid REFERENCES notifications)")
	other := d.OpenSession()
	other.Exec(
		"BEGIN; INSERT INTO replies SELECT id FROM notifications WHERE " + pgtest.FirstNotification,
	)
	d.WantCleanup("", "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}
