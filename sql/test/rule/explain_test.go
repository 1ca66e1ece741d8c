package rule

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// explained is what explain_notification_cleanup says of some notifications in a row.
type explained struct {
	Numbers string
	Fate    string
	Reason  string
	Run     int64
}

// explain calls explain_notification_cleanup, and joins what it says alike.
func explain(d *pgtest.Database, user int, limits string) (all []explained) {
	d.T.Helper()
	type row struct {
		Number int
		Newest *int64
		Fate   string
		Reason string
		Run    int64
	}
	rows := pgtest.Collect(d, pgx.RowToStructByPos[row], fmt.Sprintf(`
		SELECT %s, newest, fate, reason, coalesce(run_id, 0)
		FROM explain_notification_cleanup(%s, %s)`,
		pgtest.NotificationNumber, pgtest.Key(user), limits))
	var numbers []int
	for i, r := range rows {
		numbers = append(numbers, r.Number)
		if i+1 == len(rows) || rows[i+1].Fate != r.Fate || rows[i+1].Reason != r.Reason {
			slices.Sort(numbers)
			all = append(all, explained{pgtest.Ranges(numbers), r.Fate, r.Reason, r.Run})
			numbers = nil
		}
	}
	return all
}

func wantExplained(d *pgtest.Database, user int, limits string, want ...explained) {
	d.T.Helper()
	if got := explain(d, user, limits); !slices.Equal(got, want) {
		d.T.Errorf("of %s it says\n%+v, want\n%+v", limits, got, want)
	}
}

func TestExplainsEachFate(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, pgtest.NullableTable)
	d.Insert(pgtest.Alice, "read", 1, 30)
	d.Insert(pgtest.Bob, "read", 101, 130)
	d.Set("status = 'unread'", 30, 30)
	d.Set("status = 'archived'", 29, 29)
	d.Set("status = NULL", 28, 28)
	d.Set("created_at = 'infinity'", 27, 27)
	d.Set("created_at = NULL", 26, 26)
	d.Set("deleted_at = '2025-06-01Z'", 25, 25)
	const over = "the user has 29 live ones, more than 20, and it is not one of the 4 newest read ones"
	others := []explained{
		{"27", "stays", "its created_at is in the future", 0},
		{"30", "stays", "it is unread", 0},
		{"29", "stays", "it is archived", 0},
		{"28", "stays", "it has no status", 0},
		{"25", "deleted", "somebody else deleted it: no run has this deleted_at", 0},
	}
	last := explained{"26", "stays", "it has no created_at", 0}
	want := func(limits string, read ...explained) {
		t.Helper()
		wantExplained(d, pgtest.Alice, limits, append(append(slices.Clone(others), read...), last)...)
	}
	kept := explained{"21-24", "stays", "it is one of the 4 newest read ones", 0}
	want("20, 4", kept, explained{"1-20", "would go", over, 0})
	want("29, 4", explained{"1-24", "stays", "the user has 29 live ones, and may have 29", 0})

	d.Cleanup("1000")
	run := d.Cleanup("20, 4, " + pgtest.UserIDs(pgtest.Alice))
	kept.Reason = "the user has 9 live ones, and may have 20"
	want("20, 4", kept, explained{"1-20", "went", fmt.Sprintf("run %d deleted it", run.ID), run.ID})
	d.Exec(fmt.Sprintf("SELECT restore_notifications(%d)", run.ID))
	kept.Reason = "it is one of the 4 newest read ones"
	want("20, 4", kept, explained{"1-20", "would go", over, 0})
}

func TestExplainsWhatIsNotOfTheUserAsNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 30)
	wantExplained(d, pgtest.Bob, "20, 4")
	for _, arguments := range []string{"NULL", pgtest.Key(1) + ", 0", pgtest.Key(1) + ", 10, 11"} {
		call := "SELECT * FROM explain_notification_cleanup(" + arguments + ")"
		if err := d.Refused(call, "22023"); err.Hint == "" {
			t.Errorf("no hint for %s", call)
		}
	}
}

// What it says would go is what goes, on each shape of table. An id stands in several partitions.
func TestWhatItExplainsToGoGoes(t *testing.T) {
	t.Parallel()
	const columns = `
		id bigint NOT NULL,
		user_id text NOT NULL,
		status text,
		created_at timestamptz NOT NULL,
		deleted_at timestamptz`
	const into = `INSERT INTO notifications (id, user_id, status, created_at) `
	const rows = `
		SELECT %s, %s, 'read', timestamptz '2025-01-01Z' + i * interval '1 minute'
		FROM generate_series(1, 60) AS i`
	for name, table := range map[string]struct {
		create     []string
		id, insert string
	}{
		"plain": {
			[]string{"CREATE TABLE notifications (" + columns + ", PRIMARY KEY (id))"},
			"i",
			into + rows,
		},
		"a view": {
			pgtest.InboxView,
			"i",
			"INSERT INTO messages (message, recipient, read_at, sent_at)" +
				strings.Replace(rows, "'read'", "timestamptz '2025-02-01Z'", 1),
		},
		"partitions": {
			[]string{"CREATE TABLE notifications (" + columns + `, PRIMARY KEY (id, created_at))
				PARTITION BY RANGE (created_at);
				CREATE TABLE early PARTITION OF notifications
					FOR VALUES FROM (MINVALUE) TO ('2025-01-01 00:30Z');
				CREATE TABLE late PARTITION OF notifications DEFAULT`},
			"i % 30",
			into + rows,
		},
		"children": {
			[]string{"CREATE TABLE notifications (" + columns + `, PRIMARY KEY (id));
				CREATE TABLE child () INHERITS (notifications)`},
			"i % 30",
			strings.Replace(into, "notifications", "child", 1) + rows,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, user := pgtest.Adopt(t, table.create...), pgtest.Key(pgtest.Alice)
			d.Exec(fmt.Sprintf(table.insert, table.id, user))
			const fates = `
				SELECT string_agg(e.created_at::text, ' ' ORDER BY e.created_at)
				FROM explain_notification_cleanup(%s, 20, 5) AS e
				WHERE e.fate = '%s'`
			would := pgtest.One[string](d, fmt.Sprintf(fates, user, "would go"))
			d.Cleanup("20, 5")
			went := pgtest.One[string](d, fmt.Sprintf(fates, user, "went"))
			if would != went || strings.Count(went, "+") != 55 {
				t.Errorf("to go were %s, went %s", would, went)
			}
		})
	}
}
