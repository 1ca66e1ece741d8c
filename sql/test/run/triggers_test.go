package run

import (
	"fmt"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// trigger creates a trigger of the application's on notifications that executes body.
func trigger(fires, level, body string) string {
	return fmt.Sprintf(`
		CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			%s
		END $$;
		CREATE TRIGGER change %s ON notifications %s EXECUTE FUNCTION change()`, body, fires, level)
}

var (
	ofTheFirstTen = `
		FOR EACH ROW
		WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL AND NEW.id <= ` + pgtest.Key(10) + ")"
	ofTheStatement = `
		REFERENCING NEW TABLE AS written
		FOR EACH STATEMENT
		WHEN (pg_trigger_depth() = 0)`
	theRow   = " WHERE id = NEW.id; RETURN NULL;"
	firstTen = " WHERE id IN (SELECT id FROM written) AND id <= " + pgtest.Key(10) + "; RETURN NULL;"
)

// What a trigger does when notifications 1 to 10 of 901 are soft-deleted, and which are so then.
var triggers = map[string]struct {
	create, deleted string
	gone            bool // those that are not
}{
	"vetoed": {
		create:  trigger("BEFORE UPDATE", ofTheFirstTen, "RETURN NULL;"),
		deleted: "11-901",
	},
	"reset": {
		create:  trigger("BEFORE UPDATE", ofTheFirstTen, "NEW.deleted_at := NULL; RETURN NEW;"),
		deleted: "11-901",
	},
	"brought back": {
		create: trigger("AFTER UPDATE", ofTheFirstTen,
			"UPDATE notifications SET deleted_at = NULL"+theRow),
		deleted: "11-901",
	},
	"brought back at once": {
		create: trigger("AFTER UPDATE", ofTheStatement,
			"UPDATE notifications SET deleted_at = NULL"+firstTen),
		deleted: "11-901",
	},
	"archived": {
		create:  trigger("AFTER UPDATE", ofTheFirstTen, "DELETE FROM notifications"+theRow),
		deleted: "11-901",
		gone:    true,
	},
	"written once more": {
		create:  trigger("AFTER UPDATE", ofTheFirstTen, "UPDATE notifications SET title = 'x'"+theRow),
		deleted: "1-901",
	},
	"written once more at once": {
		create: trigger("AFTER UPDATE", ofTheStatement,
			"UPDATE notifications SET title = 'x'"+firstTen),
		deleted: "1-901",
	},
	"only looked at": {
		create:  trigger("AFTER UPDATE", ofTheFirstTen, "PERFORM FROM notifications"+theRow),
		deleted: "1-901",
	},
}

// Whether a trigger is about the rows that it gets or about others, the record says what is so when
// it has done its work.
func TestCountsOnlyWhatATriggerLetThrough(t *testing.T) {
	t.Parallel()
	for name, trigger := range triggers {
		for _, kind := range []string{"plain", "hash of the user", "range of time"} {
			for way, clean := range pgtest.Ways {
				t.Run(fmt.Sprint(name, ", ", kind, ", ", way), func(t *testing.T) {
					t.Parallel()
					d := pgtest.NewOf(t, kind)
					d.Insert(pgtest.Alice, "read", 1, 1001)
					d.Exec(trigger.create)
					clean(d)
					deleted := int64(len(pgtest.Numbered(trigger.deleted)))
					d.WantDeletedBy(
						d.Record(pgtest.Run{ID: 1}),
						trigger.deleted,
						pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: deleted, Changed: 901 - deleted},
					)
					left := d.Numbers("deleted_at IS NULL")
					if want := "902-1001"; trigger.gone && left != want {
						t.Errorf("left are %s, want %s", left, want)
					}
					if n := pgtest.One[int64](d, "SELECT restore_notifications(1)"); n != deleted {
						t.Errorf("undo restored %d, want %d", n, deleted)
					}
				})
			}
		}
	}
}

// A batch has to be looked through once more where a trigger may have undone it, and only there.
func TestWhatHasNoTriggerIsNotLookedUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		create string
		calls  int
	}{
		"nothing": {"SELECT", 0},
		"a foreign key": {`
			CREATE TABLE users AS SELECT DISTINCT user_id AS id FROM notifications;
			ALTER TABLE users ADD PRIMARY KEY (id);
			ALTER TABLE notifications ADD FOREIGN KEY (user_id) REFERENCES users`, 0},
		"a disabled trigger": {trigger("AFTER UPDATE", "FOR EACH ROW", "RETURN NULL;") + `;
			ALTER TABLE notifications DISABLE TRIGGER change`, 0},
		"a trigger of another table": {`
			CREATE TABLE others ();
			CREATE TRIGGER change AFTER UPDATE ON others
			FOR EACH STATEMENT EXECUTE FUNCTION suppress_redundant_updates_trigger()`, 0},
		"a trigger": {trigger("AFTER UPDATE", "FOR EACH ROW", "RETURN NULL;"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Insert(pgtest.Alice, "read", 1, 1001)
			d.Exec(test.create)
			d.Exec("SET track_functions = 'all'; BEGIN; SELECT cleanup_notifications()")
			const calls = `
				SELECT coalesce(sum(calls), 0)::integer
				FROM pg_stat_xact_user_functions
				WHERE funcname = 'find_written_notifications'`
			if n := pgtest.One[int](d, calls); n != test.calls {
				t.Errorf("written notifications were looked up %d times, want %d", n, test.calls)
			}
			d.Exec("ROLLBACK")
		})
	}
}

// archived is a table whose soft-deleted notifications lie in a partition of their own.
const archived = `
	CREATE TABLE notifications (
		id bigint,
		user_id bigint NOT NULL,
		status text NOT NULL,
		created_at timestamptz NOT NULL,
		deleted_at timestamptz,
		is_archived boolean NOT NULL DEFAULT false,
		PRIMARY KEY (id, is_archived)
	) PARTITION BY LIST (is_archived);
	CREATE TABLE inbox PARTITION OF notifications FOR VALUES IN (false);
	CREATE TABLE archive PARTITION OF notifications FOR VALUES IN (true);
	CREATE FUNCTION archive() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		NEW.is_archived := NEW.deleted_at IS NOT NULL;
		RETURN NEW;
	END $$;
	CREATE TRIGGER archive BEFORE UPDATE ON notifications
	FOR EACH ROW EXECUTE FUNCTION archive()`

// What moves to another partition fires the triggers of DELETE and INSERT.
func TestCountsOnlyWhatTheTriggersOfAMoveLetThrough(t *testing.T) {
	t.Parallel()
	firstTen := func(fires, row, does string) string {
		return trigger(fires, "FOR EACH ROW WHEN ("+row+".id <= 10)", does)
	}
	for name, move := range map[string]struct{ create, deleted, restored string }{
		"nothing": {
			create:   "SELECT",
			deleted:  "1-901",
			restored: "1-901",
		},
		"kept from leaving": {
			create:   firstTen("BEFORE DELETE", "OLD", "RETURN NULL;"),
			deleted:  "11-901",
			restored: "11-901",
		},
		"brought back": {
			create: firstTen("AFTER INSERT", "NEW.is_archived AND NEW",
				"UPDATE notifications SET deleted_at = NULL"+theRow),
			deleted:  "11-901",
			restored: "11-901",
		},
		"emptied": {
			create: firstTen("AFTER INSERT", "NEW.is_archived AND NEW",
				"DELETE FROM notifications"+theRow),
			deleted:  "11-901",
			restored: "11-901",
		},
		"written once more": {
			create: firstTen("AFTER INSERT", "NEW",
				"UPDATE notifications SET status = status"+theRow),
			deleted:  "1-901",
			restored: "1-901",
		},
		"deleted again": {
			create: firstTen("AFTER INSERT", "NOT NEW.is_archived AND NEW",
				"UPDATE notifications SET deleted_at = '2025-06-01Z'"+theRow),
			deleted:  "1-901",
			restored: "11-901",
		},
	} {
		for way, clean := range pgtest.Ways {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				d := pgtest.Adopt(t, archived)
				d.Insert(pgtest.Alice, "read", 1, 1001)
				d.Exec(move.create)
				clean(d)
				deleted := int64(len(pgtest.Numbered(move.deleted)))
				d.WantDeletedBy(
					d.Record(pgtest.Run{ID: 1}),
					move.deleted,
					pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: deleted, Changed: 901 - deleted},
				)
				restored := len(pgtest.Numbered(move.restored))
				if n := pgtest.One[int](d, "SELECT restore_notifications(1)"); n != restored {
					t.Errorf("undo restored %d, want %d", n, restored)
				}
			})
		}
	}
}

func TestATriggerThatWritesAnotherTimeFailsTheBatch(t *testing.T) {
	t.Parallel()
	for name, create := range map[string]string{
		"before": trigger("BEFORE UPDATE", ofTheFirstTen,
			"NEW.deleted_at := now() - interval '1 day'; RETURN NEW;"),
		"afterwards": trigger("AFTER UPDATE", ofTheFirstTen,
			"UPDATE notifications SET deleted_at = now() - interval '1 day'"+theRow),
		"afterwards, at once": trigger("AFTER UPDATE", ofTheStatement,
			"UPDATE notifications SET deleted_at = now() - interval '1 day'"+firstTen),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Insert(pgtest.Alice, "read", 1, 1001)
			d.Exec(create)
			for _, call := range []string{
				"SELECT cleanup_notifications()",
				"CALL cleanup_notifications_in_batches()",
			} {
				if err := d.Refused(call, "27000"); err.Hint == "" || err.Detail == "" {
					t.Errorf("%s says %+v", call, err)
				}
			}
			if got := d.Numbers("deleted_at IS NOT NULL"); got != "" {
				t.Errorf("deleted are %s", got)
			}
		})
	}
}

// What our statements need the planner to do is not what those of a trigger need: one that joins
// two tables would read both of them, once for each row.
func TestTheStatementsOfATriggerArePlannedAsEverywhere(t *testing.T) {
	t.Parallel()
	for _, calls := range [][]string{
		{"SELECT cleanup_notifications(50, 10)", "SELECT restore_notifications(1)"},
		{"CALL cleanup_notifications_in_batches(50, 10)", "SELECT restore_next_batch(1)"},
		{"SELECT cleanup_notifications(50, 10)", "SELECT purge_notifications('1 microsecond')"},
	} {
		for _, fires := range []string{"BEFORE UPDATE OR DELETE", "AFTER UPDATE OR DELETE"} {
			t.Run(fires+", "+strings.Join(calls, ", "), func(t *testing.T) {
				t.Parallel()
				d := pgtest.New(t)
				d.Insert(pgtest.Alice, "read", 1, 60)
				d.Exec("CREATE TABLE planned (differently text[])")
				d.Exec(trigger(fires, "FOR EACH ROW", `
					INSERT INTO planned
					SELECT array_agg(name::text)
					FROM pg_settings
					WHERE category LIKE 'Query Tuning%' AND setting IS DISTINCT FROM reset_val;
					RETURN coalesce(NEW, OLD);`))
				for i, call := range calls {
					d.Exec(call)
					const planned = "SELECT format('%s, %s', count(*), max(differently)) FROM planned"
					want := fmt.Sprintf("%d, ", 50*(i+1))
					if got := pgtest.One[string](d, planned); got != want {
						t.Errorf("after %s the triggers were planned by %q, want %q", call, got, want)
					}
				}
			})
		}
	}
}

// What the caller has set for their own statements is theirs, also inside of their transaction.
func TestThePlannerSettingsOfTheCallerStay(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 60)
	d.Exec("SET enable_sort = off; SET enable_gathermerge = off; SET seq_page_cost = 7; BEGIN")
	const settings = `
		SELECT string_agg(name, ' ' ORDER BY name)
		FROM pg_settings
		WHERE category LIKE 'Query Tuning%' AND setting IS DISTINCT FROM reset_val`
	before := pgtest.One[string](d, settings)
	for _, call := range []string{
		"SELECT cleanup_notifications(50, 10)",
		"SELECT restore_notifications(1)",
		"SELECT cleanup_notifications(50, 10)",
		"SELECT purge_notifications('1 microsecond')",
	} {
		d.Exec(call)
		if after := pgtest.One[string](d, settings); after != before {
			t.Errorf("after %s there are %s, and were %s", call, after, before)
		}
	}
}
