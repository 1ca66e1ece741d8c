package adoption

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestAnyTypeOfUserID(t *testing.T) {
	t.Parallel()
	for _, userType := range []string{"uuid", "bigint", "integer", "text", "character varying(40)"} {
		t.Run(userType, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, fmt.Sprintf(`CREATE TABLE notifications
				(id %[1]s PRIMARY KEY, user_id %[1]s NOT NULL, status text,
					created_at timestamptz NOT NULL)`, userType))
			d.Insert(pgtest.Alice, "read", 1, 6)
			d.Insert(pgtest.Bob, "read", 11, 16)
			d.Insert(pgtest.Carol, "read", 21, 26)
			d.WantPreview(
				"5, 4",
				pgtest.PreviewOf(pgtest.Alice, 6, 0, 2),
				pgtest.PreviewOf(pgtest.Bob, 6, 0, 2),
				pgtest.PreviewOf(pgtest.Carol, 6, 0, 2),
			)

			const fromClient = `
				SELECT * FROM cleanup_notifications(5, 4, $1::text[]::notification_user_id[])`
			run := pgtest.Collect(
				d, pgx.RowToStructByName[pgtest.Run], fromClient,
				[]string{strings.Trim(pgtest.Key(pgtest.Alice), "'")},
			)[0]
			d.WantDeletedBy(run, "1-2", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 2})
			d.WantCleanup(
				fmt.Sprintf("5, 4, ARRAY[%s::%s]", pgtest.Key(pgtest.Bob), userType),
				"11-12",
				pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 2},
			)
			d.WantCleanup("5, 4", "21-22", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 2})
		})
	}
}

func TestStatusMayBeAnEnumAndCreatedAtWithoutTimeZone(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, `CREATE TYPE state AS ENUM ('unread', 'archived', 'read')`,
		`
			CREATE TABLE notifications (id serial PRIMARY KEY, user_id integer, status state,
				created_at timestamp)`)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Set("status = 'archived'", 1, 100)
	d.WantPreview("", pgtest.PreviewOf(pgtest.Alice, 1001, 0, 801))
	d.WantCleanup("", "101-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 801})
}

func TestPartitionedTable(t *testing.T) {
	t.Parallel()
	for by, test := range map[string]struct{ key, partitions string }{
		"RANGE (created_at)": {"id, created_at", `
			CREATE TABLE early PARTITION OF notifications
			FOR VALUES FROM (MINVALUE) TO ('2025-01-01 10:00Z');
			CREATE TABLE late PARTITION OF notifications
			FOR VALUES FROM ('2025-01-01 10:00Z') TO (MAXVALUE)`},
		"HASH (id)": {"id", `
			CREATE TABLE even PARTITION OF notifications FOR VALUES WITH (MODULUS 2, REMAINDER 0);
			CREATE TABLE odd PARTITION OF notifications FOR VALUES WITH (MODULUS 2, REMAINDER 1)`},
	} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, `
				CREATE TABLE notifications (
					id bigint,
					user_id bigint,
					status text,
					created_at timestamptz,
					PRIMARY KEY (`+test.key+`)
				) PARTITION BY `+by, test.partitions)
			d.Insert(pgtest.Alice, "read", 1, 1001)
			d.Insert(pgtest.Bob, "unread", 2001, 3001)
			want := pgtest.Counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 901}
			d.WantCleanup("", "1-901", want)
			d.Exec(`
				SELECT restore_notifications(1);
				TRUNCATE notification_cleanup_runs RESTART IDENTITY CASCADE`)
			run, err := d.StartProcedure("batch_size => 10").Wait()
			if err != nil {
				t.Fatal(err)
			}
			d.WantDeletedBy(run, "1-901", want)
		})
	}
}

func TestViewInASchemaOfItsOwn(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, pgtest.InboxView...)
	d.Exec(`INSERT INTO messages
		SELECT i, 'alice', CASE WHEN i > 200 THEN timestamptz '2025-03-01Z' END,
			timestamptz '2025-01-01 00:00Z' + i * interval '1 minute'
		FROM generate_series(1, 1001) AS i`)
	d.WantCleanup("", "201-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 701})
	d.WantStats("", "300 1 0")
	d.Exec(`
		SELECT restore_notifications(1);
		TRUNCATE notification_cleanup_runs RESTART IDENTITY CASCADE`)
	run, err := d.StartProcedure("batch_size => 10").Wait()
	if err != nil {
		t.Fatal(err)
	}
	d.WantDeletedBy(run, "201-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 701})
	if got := pgtest.One[int](d, `
		SELECT count(*) FROM messages WHERE removed_at IS NOT NULL`); got != 701 {
		t.Errorf("%d messages removed, want 701", got)
	}
}
