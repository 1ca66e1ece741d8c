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
	CREATE TABLE "100% threads" AS
	SELECT {key}, id::integer AS thread FROM {table} WHERE false;
	ALTER TABLE "100% threads"
		ADD PRIMARY KEY (thread),
		ADD FOREIGN KEY ({key}) REFERENCES {table} ({key}) ON DELETE CASCADE;
	ALTER TABLE {table}
		ADD "of 100% threads" integer REFERENCES "100% threads" ON DELETE CASCADE;
	CREATE FUNCTION answer(child bigint, parent bigint) RETURNS void LANGUAGE sql AS $$
		INSERT INTO "100% threads" SELECT {key}, id FROM {table} WHERE id = parent
		ON CONFLICT DO NOTHING;
		UPDATE {table} SET "of 100% threads" = parent WHERE id = child
	$$`

// Notifications 1 to 91 of 101 are to be purged. Those that others refer to go with them or, if the
// others are to stay, not at all.
func TestPurgeTakesNothingAlongThatIsToStay(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		refers  [][2]int // the second goes with the first, by the foreign key
		kept    []int    // what is not purged
		younger int      // is soft-deleted later than all others
	}{
		"a live one":           {refers: [][2]int{{95, 5}}, kept: []int{5}},
		"live ones":            {refers: [][2]int{{95, 5}, {96, 5}, {97, 6}}, kept: []int{5, 6}},
		"what goes itself":     {refers: [][2]int{{6, 5}, {80, 5}, {5, 90}}},
		"a live one behind it": {refers: [][2]int{{95, 80}, {80, 5}}, kept: []int{5, 80}},
		"itself":               {refers: [][2]int{{5, 5}}},
		"each other":           {refers: [][2]int{{5, 80}, {80, 5}}},
		"a live one and back":  {refers: [][2]int{{5, 95}, {95, 5}}, kept: []int{5}},
		"one that is deleted later": {
			refers:  [][2]int{{91, 5}},
			kept:    []int{5, 91},
			younger: 91,
		},
	} {
		for by, statements := range map[string]string{"itself": answers, "a thread": threads} {
			for kind := range kindsOfTables {
				sizes := []int{1000}
				if kind == "a table" {
					sizes = []int{1, 1000}
				}
				for _, size := range sizes {
					t.Run(fmt.Sprint(name, ", by ", by, ", ", kind, ", ", size), func(t *testing.T) {
						t.Parallel()
						d := answered(t, kind, statements)
						for _, r := range test.refers {
							d.Exec(fmt.Sprintf("SELECT answer(%d, %d)", r[0], r[1]))
						}
						if test.younger > 0 {
							d.Set("deleted_at = '2025-08-01Z'", test.younger, test.younger)
						}
						purgeOld(d, size)
						kept := slices.Clone(test.kept)
						for id := 92; id <= 101; id++ {
							kept = append(kept, id)
						}
						if got, want := d.Numbers("true"), pgtest.Ranges(kept); got != want {
							t.Errorf("left are %s, want %s", got, want)
						}
						for _, noted := range notes(d) {
							if noted.Code != "23503" || !slices.Contains(test.kept, noted.ID) ||
								!strings.Contains(noted.Detail, "would delete other notifications") {
								t.Errorf("noted is %+v", noted)
							}
						}
					})
				}
			}
		}
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
		"{table}", table,
		"{key}", key,
		"{answered}", "answered_"+strings.ReplaceAll(key, ", ", ", answered_"),
	).Replace(statements))
	return d
}

// purgeOld purges what was deleted before July, in batches.
func purgeOld(d *pgtest.Database, size int) {
	d.T.Helper()
	call := fmt.Sprintf("SELECT purge_next_batch(now() - timestamptz '2025-07-01Z', %d)", size)
	for range 200 {
		d.Note(call)
		if pgtest.One[*int](d, call) == nil {
			return
		}
	}
	d.T.Fatal("purge has no end")
}

// What goes in the same batch does not go along.
func TestPurgeTakesTogetherWhatIsDeletedLater(t *testing.T) {
	t.Parallel()
	for kind := range kindsOfTables {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := answered(t, kind, answers)
			d.Exec("SELECT answer(n::integer, n::integer - 1) FROM generate_series(2, 91) AS n")
			d.Set("deleted_at = deleted_at + id * interval '1 second'", 1, 91)
			purgeOld(d, 1000)
			if got := d.Numbers("true"); got != "92-101" {
				t.Errorf("left are %s", got)
			}
			if noted := notes(d); len(noted) > 0 {
				t.Errorf("noted are %+v", noted)
			}
		})
	}
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
