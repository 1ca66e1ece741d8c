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
	for alter, says := range map[string]string{
		"user_id TYPE text":                           "column user_id is text COLLATE",
		`user_id TYPE varchar(5) COLLATE "C"`:         "column user_id is character varying(5) COLLATE",
		"id TYPE bigint USING id::bigint":             "column id is bigint, and was character varying",
		"created_at TYPE timestamp":                   "column created_at is timestamp without time zone",
		"deleted_at TYPE timestamptz(0)":              "column deleted_at is timestamp(0) with time zone",
		"status TYPE boolean USING status = 'read'":   "column status is boolean",
		"status TYPE smallint USING length(status)":   "column status is smallint",
		"deleted_at TYPE timestamp":                   "column deleted_at is timestamp without",
		"user_id TYPE bytea USING user_id::bytea":     "column user_id is bytea, and was character varying",
		"id TYPE integer USING id::integer":           "column id is integer, and was character varying",
		"user_id TYPE uuid USING md5(user_id)::uuid":  "column user_id is uuid, and was character varying",
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
			for _, call := range []string{
				"SELECT * FROM preview_notification_cleanup()",
				"SELECT * FROM preview_notification_limits()",
				"SELECT * FROM notification_stats()",
				"SELECT * FROM cleanup_notifications()",
				"SELECT * FROM plan_notification_cleanup()",
				"CALL cleanup_notifications_in_batches()",
				"SELECT cleanup_next_batch(2)",
				"SELECT restore_next_batch(1)",
				"SELECT restore_notifications(1)",
				"SELECT purge_notifications('1 microsecond')",
			} {
				err := d.Refused(call, "42804")
				if !strings.Contains(err.Message, says) ||
					!strings.Contains(err.Hint, "migrate adopt") {
					t.Errorf("%s says %s, hint %s", call, err.Message, err.Hint)
				}
			}
			if after := pgtest.One[string](d, allRows); after != before {
				t.Error("something was written")
			}
		})
	}
}
