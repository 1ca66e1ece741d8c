package undo

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// answers lets notifications refer to others that go with them. {table} is the table that has the
// rows, {key} its primary key, and {answered} are columns that refer to that.
const answers = `
	ALTER TABLE {table}
		ADD answered_id bigint,
		ADD answered_user_id bigint,
		ADD answered_created_at timestamptz,
		ADD FOREIGN KEY ({answered}) REFERENCES {table} ({key}) ON DELETE CASCADE;
	CREATE FUNCTION answer(child bigint, parent bigint) RETURNS void LANGUAGE sql AS $$
		UPDATE {table} AS n
		SET
			answered_id = p.id,
			answered_user_id = p.user_id,
			answered_created_at = p.created_at
		FROM {table} AS p
		WHERE p.id = parent AND n.id = child
	$$`

// threads does the same by way of another table, whose rows go with their first notification.
const threads = `
	CREATE TABLE threads AS
	SELECT {key}, id::integer AS thread FROM {table} WHERE false;
	ALTER TABLE threads
		ADD PRIMARY KEY (thread),
		ADD FOREIGN KEY ({key}) REFERENCES {table} ({key}) ON DELETE CASCADE;
	ALTER TABLE {table}
		ADD thread integer REFERENCES threads ON DELETE CASCADE;
	CREATE FUNCTION answer(child bigint, parent bigint) RETURNS void LANGUAGE sql AS $$
		INSERT INTO threads SELECT {key}, id FROM {table} WHERE id = parent
		ON CONFLICT DO NOTHING;
		UPDATE {table} SET thread = parent WHERE id = child
	$$`

// A trigger does it, too.
const triggered = `
	CREATE TABLE public.answers (child bigint, parent bigint);
	CREATE FUNCTION answer(child bigint, parent bigint) RETURNS void LANGUAGE sql AS $$
		INSERT INTO public.answers VALUES (child, parent)
	$$;
	CREATE FUNCTION take_along() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		DELETE FROM {table} WHERE id IN (SELECT child FROM public.answers WHERE parent = OLD.id);
		RETURN NULL;
	END $$;
	CREATE TRIGGER take_along AFTER DELETE ON {table}
	FOR EACH ROW EXECUTE FUNCTION take_along()`

// Notifications 1 to 91 of 101 are to be purged, but not with what is to stay.
func TestPurgeTakesNothingAlongThatIsToStay(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		refers  [][2]int // the second takes the first along
		kept    []int    // what is not purged, though it is old
		younger int      // is soft-deleted too late
	}{
		"a live one":           {refers: [][2]int{{95, 5}}, kept: []int{5}},
		"live ones":            {refers: [][2]int{{95, 5}, {96, 5}, {97, 6}}, kept: []int{5, 6}},
		"what goes itself":     {refers: [][2]int{{6, 5}, {80, 5}, {5, 90}}},
		"a live one behind it": {refers: [][2]int{{95, 80}, {80, 5}}, kept: []int{5, 80}},
		"itself":               {refers: [][2]int{{5, 5}}},
		"each other":           {refers: [][2]int{{5, 80}, {80, 5}}},
		"a live one and back":  {refers: [][2]int{{5, 95}, {95, 5}}, kept: []int{5}},
		"a younger one":        {refers: [][2]int{{91, 5}}, kept: []int{5}, younger: 91},
	} {
		for by, statements := range map[string]string{
			"a key":     answers,
			"a thread":  threads,
			"a trigger": triggered,
		} {
			for kind := range kindsOfTables {
				t.Run(strings.Join([]string{name, by, kind}, ", "), func(t *testing.T) {
					t.Parallel()
					d := answered(t, kind, statements)
					for _, r := range test.refers {
						d.Exec(fmt.Sprintf("SELECT answer(%d, %d)", r[0], r[1]))
					}
					left := slices.Clone(test.kept)
					if test.younger > 0 {
						d.Set("deleted_at = '2025-08-01Z'", test.younger, test.younger)
						left = append(left, test.younger)
					}
					purgeOld(d, 1000)
					wantLeft(d, left, test.kept)
				})
			}
		}
	}
}

// wantLeft compares what is left, beside what is live, and of that what was refused.
func wantLeft(d *pgtest.Database, left, refused []int) {
	d.T.Helper()
	for id := 92; id <= 101; id++ {
		left = append(left, id)
	}
	if got, want := d.Numbers("true"), pgtest.Ranges(left); got != want {
		d.T.Errorf("left are %s, want %s", got, want)
	}
	var noted []int
	for _, n := range notes(d) {
		noted = append(noted, n.ID)
		if n.Code != "23000" || !strings.Contains(n.Detail, "would delete other notifications") {
			d.T.Errorf("noted is %+v", n)
		}
	}
	slices.Sort(noted)
	if !slices.Equal(noted, refused) {
		d.T.Errorf("noted are %d, want %d", noted, refused)
	}
}

// Where it is in another batch, what would go along has to go first.
func TestPurgeTakesNothingAlongFromAnotherBatch(t *testing.T) {
	t.Parallel()
	d := answered(t, "a table", answers)
	d.Exec("SELECT answer(n, n - 45) FROM generate_series(46::bigint, 90) AS n")
	d.Set("deleted_at = '2025-06-02Z'", 46, 91)
	purgeOld(d, 45)
	var questions []int
	for id := 1; id <= 45; id++ {
		questions = append(questions, id)
	}
	wantLeft(d, slices.Clone(questions), questions)
	d.Exec("UPDATE notification_cleanup_refused SET refused_at = now() - interval '25 hours'")
	purgeOld(d, 45)
	wantLeft(d, nil, nil)
}

// An undo has restored what would go along, and is not committed yet.
func TestPurgeTakesNothingAlongThatComesBackMeanwhile(t *testing.T) {
	t.Parallel()
	d := answered(t, "a table", answers)
	d.Exec("SELECT answer(80, 5)")
	undo := d.OpenSession()
	undo.Exec("BEGIN")
	undo.Set("deleted_at = NULL", 80, 80)
	purged := inBackground(d, "SELECT purge_next_batch(now() - timestamptz '2025-07-01Z')")
	d.Eventually(waits("purge_"))
	undo.Exec("COMMIT")
	purged()
	wantLeft(d, []int{5, 80}, []int{5})
}

// A trigger that fails for one alone, though not for all of them together, refuses for itself.
func TestPurgeTakesNothingAlongWhereATriggerAssertsMore(t *testing.T) {
	t.Parallel()
	d := answered(t, "a table", answers)
	d.Exec("SELECT answer(95, 5)")
	d.Exec(`
		CREATE FUNCTION two() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			ASSERT (SELECT count(*) FROM gone) <> 1 OR pg_trigger_depth() > 1, 'one alone';
			RETURN NULL;
		END $$;
		CREATE TRIGGER two AFTER DELETE ON notifications REFERENCING OLD TABLE AS gone
		FOR EACH STATEMENT EXECUTE FUNCTION two()`)
	purgeOld(d, 1000)
	if got := d.Numbers("id = 5 OR id > 91"); got != "5 92-101" {
		t.Errorf("left are %s", got)
	}
}

// Wherever the application's foreign keys lead through.
func TestPurgeTakesNothingAlongThatIsToStayFarAway(t *testing.T) {
	t.Parallel()
	const rows = `
		INSERT INTO notifications (id, user_id, status, created_at, deleted_at) VALUES
			(1, 1, 'read', '2025-01-01Z', '2025-06-01Z'),
			(2, 2, 'unread', '2025-01-02Z', NULL);`
	table := tableWith("notifications", "(id)")
	for name, test := range map[string]struct{ before, after string }{
		"comments on comments": {
			table + `; CREATE TABLE comments (
				id integer PRIMARY KEY,
				notification bigint REFERENCES notifications ON DELETE CASCADE,
				parent integer REFERENCES comments ON DELETE CASCADE
			);
			ALTER TABLE notifications ADD comment integer REFERENCES comments ON DELETE CASCADE`,
			rows + `
			INSERT INTO comments VALUES (1, 1, NULL), (2, NULL, 1), (3, NULL, 2);
			UPDATE notifications SET comment = 3 WHERE id = 2`,
		},
		"other types": {
			strings.Replace(table, "id bigint", "id char(4)", 1) + `;
			ALTER TABLE notifications ADD parent text REFERENCES notifications ON DELETE CASCADE`,
			rows + "UPDATE notifications SET parent = '1   ' WHERE id = '2'",
		},
		"a partition beside the view": {
			tableWith("messages", "(id, user_id)") + ` PARTITION BY LIST (user_id);
			CREATE TABLE m1 PARTITION OF messages FOR VALUES IN (1);
			CREATE TABLE m2 PARTITION OF messages FOR VALUES IN (2);
			ALTER TABLE messages ADD parent bigint, ADD parent_user bigint, ADD
				FOREIGN KEY (parent, parent_user) REFERENCES messages ON DELETE CASCADE;` +
				indexesOf("m1") + `;
			CREATE VIEW notifications AS SELECT ctid, tableoid, * FROM m1`,
			strings.Replace(rows, "INTO notifications", "INTO messages", 1) +
				"UPDATE messages SET (parent, parent_user) = (1, 1) WHERE id = 2",
		},
		"a partition of a larger table": {
			tableWith("messages", "(id, user_id)") + ` PARTITION BY LIST (user_id);
			CREATE TABLE notifications PARTITION OF messages FOR VALUES IN (1);
			CREATE TABLE m2 PARTITION OF messages FOR VALUES IN (2);
			ALTER TABLE messages ADD parent bigint, ADD parent_user bigint, ADD
				FOREIGN KEY (parent, parent_user) REFERENCES messages ON DELETE CASCADE`,
			strings.Replace(rows, "INTO notifications", "INTO messages", 1) +
				"UPDATE messages SET (parent, parent_user) = (1, 1) WHERE id = 2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, strings.Split(test.before, ";")...)
			d.Exec(test.after)
			purgeOld(d, 1000)
			left := "notifications"
			if strings.Contains(test.before, "messages") {
				left = "messages"
			}
			if n := pgtest.One[int](d, "SELECT count(*) FROM "+left); n != 2 {
				t.Errorf("%d are left, want both", n)
			}
			if noted := notes(d); len(noted) != 1 || noted[0].Code != "23000" {
				t.Errorf("noted is %+v", noted)
			}
		})
	}
}

func TestPurgeWithoutCountsIsRefused(t *testing.T) {
	t.Parallel()
	d := answered(t, "a table", answers)
	d.Exec("SET track_counts = off")
	if err := d.Refused("SELECT purge_notifications()", "55000"); err.Hint == "" {
		t.Error("it gives no hint")
	}
}

// answered is a table of a kind with 101 notifications, of which 1 to 91 were deleted long ago.
func answered(t *testing.T, kind, statements string) *pgtest.Database {
	t.Helper()
	d := pgtest.Adopt(t, kindsOfTables[kind]...)
	d.Insert(pgtest.Alice, "read", 1, 101)
	d.Set("deleted_at = '2025-06-01Z'", 1, 91)
	table, key := behind(kind)
	d.Exec(strings.NewReplacer(
		"{table}", "public."+table,
		"{key}", key,
		"{answered}", "answered_"+strings.ReplaceAll(key, ", ", ", answered_"),
	).Replace(statements))
	return d
}

// purgeOld purges what was deleted before July, in batches.
func purgeOld(d *pgtest.Database, size int) {
	d.T.Helper()
	untilNone(d, fmt.Sprintf("SELECT purge_next_batch(now() - timestamptz '2025-07-01Z', %d)", size))
}

// A foreign key that does not cascade, or leads elsewhere, has the server's own rules.
func TestPurgeHeedsNoOtherForeignKey(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ statements, left string }{
		"SET NULL": {
			strings.ReplaceAll(answers, "ON DELETE CASCADE", "ON DELETE SET NULL"),
			"92-101",
		},
		"NO ACTION": {
			strings.ReplaceAll(answers, "ON DELETE CASCADE", ""),
			"5 92-101",
		},
		"receipts": {
			`CREATE TABLE receipts (id bigint REFERENCES {table} ({key}) ON DELETE CASCADE);
			INSERT INTO receipts SELECT id FROM {table};
			CREATE FUNCTION answer(bigint, bigint) RETURNS void LANGUAGE sql AS ''`,
			"92-101",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := answered(t, "a table", test.statements)
			d.Exec("SELECT answer(95, 5)")
			purgeOld(d, 1000)
			if got := d.Numbers("true"); got != test.left {
				t.Errorf("left are %s, want %s", got, test.left)
			}
		})
	}
}
