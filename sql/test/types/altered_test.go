package types

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

const alterable = `
	CREATE TABLE notifications (
		id varchar(4) PRIMARY KEY,
		user_id varchar(5),
		status varchar(10),
		created_at timestamptz(0),
		deleted_at timestamptz
	);
	INSERT INTO notifications
	SELECT i, 'aaaaa', 'read', timestamptz '2025-01-01 00:00Z' + i * interval '1 minute'
	FROM generate_series(1, 500) AS i`

// A longer name must not be taken for the one that it begins with.
const moreOfAnother = `
	INSERT INTO notifications
	SELECT
		(10000 + i)::text,
		'aaaaab',
		'read',
		timestamptz '2025-01-01 00:00Z' + i * interval '200 microseconds'
	FROM generate_series(1, 1500) AS i`

const allRows = `
	SELECT md5(string_agg(n::text, ' ' ORDER BY id)) FROM notifications AS n`

const widen = `
	ALTER TABLE notifications
		ALTER id TYPE varchar(10),
		ALTER user_id TYPE varchar(10),
		ALTER created_at TYPE timestamptz`

func TestAColumnMayBecomeWider(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, alterable)
	d.Exec(widen)
	d.Exec(moreOfAnother)
	d.WantJob("10001-11400")
}

func TestAColumnMayBecomeWiderInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, alterable)
	run := d.Plan("400, 10, 100")
	d.Batch(run)
	d.Exec(widen)
	d.Exec(moreOfAnother)
	d.Exec("CALL cleanup_notifications_in_batches(400, 10)")
	if got := d.Numbers("deleted_at IS NOT NULL"); got != "1-490 10001-11490" {
		t.Errorf("deleted are %s", got)
	}
}

func TestNothingIsDoneOnAColumnOfAnotherType(t *testing.T) {
	t.Parallel()
	const wasText = ", and was character varying"
	for alter, says := range map[string]string{
		"user_id TYPE text":                           "column user_id is text COLLATE",
		`user_id TYPE varchar(5) COLLATE "C"`:         "column user_id is character varying(5) COLLATE",
		"id TYPE bigint USING id::bigint":             "column id is bigint" + wasText,
		"created_at TYPE timestamp":                   "column created_at is timestamp without time zone",
		"deleted_at TYPE timestamptz(0)":              "column deleted_at is timestamp(0) with time zone",
		"status TYPE boolean USING status = 'read'":   "column status is boolean",
		"status TYPE smallint USING length(status)":   "column status is smallint",
		"deleted_at TYPE timestamp":                   "column deleted_at is timestamp without",
		"user_id TYPE bytea USING user_id::bytea":     "column user_id is bytea" + wasText,
		"id TYPE integer USING id::integer":           "column id is integer" + wasText,
		"user_id TYPE uuid USING md5(user_id)::uuid":  "column user_id is uuid" + wasText,
		"created_at TYPE date USING created_at::date": "column created_at is date",
		"created_at TYPE timestamp(3)":                "column created_at is timestamp(3) without",
		"status TYPE integer USING length(status)":    "column status is integer",
	} {
		t.Run(alter, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, alterable)
			d.Exec("SELECT cleanup_notifications(400, 10); SELECT restore_next_batch(1, 100)")
			d.Exec("SELECT plan_notification_cleanup(100, 10, 50)")
			d.Exec("ALTER TABLE notifications ALTER " + alter)
			before := pgtest.One[string](d, allRows)
			wantRefused(d, says)
			if after := pgtest.One[string](d, allRows); after != before {
				t.Error("something was written")
			}
		})
	}
}

// wantRefused is for a table with run 1, a run 2 that is planned for the limits 100 and 10, and a
// column that is not what it was.
func wantRefused(d *pgtest.Database, says string) {
	d.T.Helper()
	for _, call := range []string{
		"SELECT * FROM preview_notification_cleanup()",
		"SELECT * FROM preview_notification_limits()",
		"SELECT * FROM notification_stats()",
		"SELECT * FROM cleanup_notifications()",
		"SELECT * FROM plan_notification_cleanup()",
		"SELECT * FROM plan_notification_cleanup(100, 10)", // which is planned already
		"CALL cleanup_notifications_in_batches()",
		"SELECT cleanup_next_batch(2)",
		"SELECT restore_next_batch(1)",
		"SELECT restore_notifications(1)",
		"SELECT purge_notifications('1 microsecond')",
	} {
		err := d.Refused(call, "42804")
		if !strings.Contains(err.Message, says) || !strings.Contains(err.Hint, "migrate adopt") {
			d.T.Errorf("%s says %s, hint %s", call, err.Message, err.Hint)
		}
	}
}

func TestNothingIsDoneWithoutAColumnAsItHasToBe(t *testing.T) {
	t.Parallel()
	const alter = "ALTER TABLE notifications ALTER "
	for _, test := range []struct{ statements, says string }{
		{
			"ALTER TABLE notifications DROP status",
			"column status is missing",
		},
		{
			"ALTER TABLE notifications RENAME created_at TO made_at",
			"column created_at is missing",
		},
		{
			"DELETE FROM notifications; " + alter + "deleted_at SET NOT NULL",
			"column deleted_at is timestamp with time zone, and has to be a nullable",
		},
		{
			"DELETE FROM notifications; CREATE DOMAIN always AS timestamptz NOT NULL; " +
				alter + "deleted_at TYPE always",
			"column deleted_at is always, and has to be a nullable",
		},
		{
			alter + "deleted_at SET DEFAULT 'infinity'",
			"column deleted_at begins as 'infinity'",
		},
		{
			"CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); " +
				alter + "status TYPE text COLLATE ci",
			"column status is text, and has to be case-sensitive",
		},
		{
			"CREATE TYPE mood AS ENUM ('read', 'new'); " + alter + "status TYPE mood USING 'read'",
			"column status is mood, and has to be",
		},
		{
			"CREATE DOMAIN person AS text; " + alter + "user_id TYPE person",
			"column user_id is person COLLATE",
		},
	} {
		t.Run(test.statements, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, alterable)
			d.Exec("SELECT cleanup_notifications(400, 10); SELECT restore_next_batch(1, 100)")
			d.Exec("SELECT plan_notification_cleanup(100, 10, 50)")
			d.Exec(test.statements)
			wantRefused(d, test.says)
		})
	}
}

func TestAColumnMayBecomeWhatStoresTheSame(t *testing.T) {
	t.Parallel()
	const alter = "ALTER TABLE notifications ALTER "
	for _, statements := range []string{
		alter + "deleted_at TYPE timestamptz(6)",
		alter + "deleted_at TYPE timestamptz(6), ALTER deleted_at SET DEFAULT NULL::timestamptz(6)",
		"CREATE DOMAIN d AS timestamptz DEFAULT 'infinity';" +
			alter + "deleted_at TYPE d, ALTER deleted_at SET DEFAULT NULL",
		alter + "status TYPE text",
		"CREATE DOMAIN person AS varchar(9) CHECK (VALUE <> ''); " + alter + "user_id TYPE person",
		"CREATE TYPE mood AS ENUM ('unread', 'read', 'new'); " + alter + "status TYPE mood USING 'read'",
	} {
		t.Run(statements, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, alterable)
			d.Exec(statements)
			run := d.Cleanup("400, 10")
			if run.Deleted != 490 {
				t.Errorf("%d are deleted, want 490", run.Deleted)
			}
		})
	}
}
