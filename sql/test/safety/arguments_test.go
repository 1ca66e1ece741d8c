package safety

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestRefusedArgumentsChangeNothing(t *testing.T) {
	t.Parallel()
	for routine, refused := range map[string][]string{
		"cleanup_notifications": {
			"max_notifications => NULL", "max_notifications => 0", "max_notifications => -1",
			"min_keep => NULL", "min_keep => -1", "min_keep => 1001",
			"max_notifications => 99", "NULL, NULL",
			"0, 0", "10, 11", "-2147483648, -2147483648",
			"0, user_ids => '{}'", "NULL, user_ids => '{}'",
			"max_deletions => -1", "max_deletions => -9223372036854775808",
		},
		"plan_notification_cleanup": {
			"max_notifications => NULL", "max_notifications => 0", "max_notifications => -1",
			"min_keep => NULL", "min_keep => -1", "min_keep => 1001",
			"max_notifications => 99", "NULL, NULL",
			"0, 0", "10, 11", "-2147483648, -2147483648",
			"batch_size => NULL", "batch_size => 0", "batch_size => -1", "batch_size => -2147483648",
			"batch_size => 1000001", "batch_size => 2147483647",
			"pause_factor => NULL", "pause_factor => -0.1", "pause_factor => 1001", "pause_factor => 'NaN'",
			"max_replica_lag => '0'", "max_replica_lag => '-1 second'",
			"max_deletions => -1",
		},
		"cleanup_next_batch": {"NULL", "0", "-1", "99", "9223372036854775807", "-9223372036854775808"},
		"preview_notification_cleanup": {
			"max_notifications => NULL", "max_notifications => 0", "max_notifications => -1",
			"min_keep => NULL", "min_keep => -1", "min_keep => 1001",
			"max_notifications => 99", "NULL, NULL", "0, 0", "10, 11",
		},
		"stop_notification_cleanup": {"NULL", "0", "-1", "99"},
		"notification_stats": {
			"max_notifications => NULL",
			"max_notifications => 0",
			"max_notifications => -1",
		},
	} {
		t.Run(routine, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Insert(pgtest.Alice, "read", 1, 1001)
			d.Exec("INSERT INTO notification_cleanup_runs (max_notifications, min_keep) VALUES (10, 5)")
			for _, arguments := range refused {
				call := "SELECT * FROM " + routine + "(" + arguments + ")"
				if err := d.Refused(call, "22023"); err.Hint == "" {
					t.Errorf("no hint: %v from\n%s;", err, call)
				}
				// What was written before the refusal must not survive it when the caller goes on.
				d.Exec(
					"DO $do$ BEGIN PERFORM * FROM (" + call +
						") AS r; EXCEPTION WHEN invalid_parameter_value THEN END $do$",
				)
			}
			if got := d.Numbers("deleted_at IS NOT NULL"); got != "" {
				t.Errorf("deleted %q", got)
			}
			const untouched = `
				SELECT count(*)
				FROM notification_cleanup_runs
				WHERE (id, users_over_limit) = (1, 0) AND finished_at IS NULL`
			if pgtest.One[int](d, untouched) != 1 ||
				pgtest.One[int](d, "SELECT count(*) FROM notification_cleanup_runs") != 1 {
				t.Error("a run is recorded, or changed")
			}
		})
	}
}

func TestTakesTheEdgesOfEveryType(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	for _, call := range []string{
		"SELECT cleanup_notifications(2147483647, 2147483647)",
		"SELECT cleanup_notifications(2147483647, 0)",
		"SELECT cleanup_notifications(1, 1)",
		"SELECT cleanup_notifications(1, 0)",
		"SELECT cleanup_notifications(user_ids => '{}')",
		"SELECT cleanup_notifications(user_ids => '{NULL, NULL}')",
		"SELECT cleanup_notifications(user_ids => ARRAY[[md5('1'), md5('2')], [md5('3'), NULL]]::uuid[])",
		`
			SELECT cleanup_notifications(user_ids => ARRAY(SELECT md5(i::text)::uuid
				FROM generate_series(1, 100000) AS i))`,
		"SELECT plan_notification_cleanup(2147483647, 2147483647, 1000000)",
		"SELECT cleanup_next_batch(id) FROM plan_notification_cleanup(1, 0, 1)",
		"SELECT cleanup_next_batch(id) FROM plan_notification_cleanup(1, 0, 1000000)",
		"SELECT preview_notification_cleanup(2147483647, 2147483647)",
		"SELECT preview_notification_cleanup(1, 0)",
		"SELECT notification_stats(2147483647)",
		"SELECT notification_stats(1)",
		"CALL cleanup_notifications_in_batches(2147483647, 2147483647, 1000000, '178000000 years')",
		"CALL cleanup_notifications_in_batches(1, 0, 1, '1 microsecond')",
		"SELECT purge_notifications('1 microsecond', 2147483647)",
		"SELECT purge_notifications('6000 years', 1)",
	} {
		// One inbox with two read, and one with an unread notification.
		d.Exec("TRUNCATE notifications")
		d.Insert(pgtest.Alice, "read", 1, 2)
		d.Insert(pgtest.Bob, "unread", 3, 3)
		d.Exec(call)
	}
	for _, call := range []string{
		"SELECT restore_notifications(9223372036854775807)",
		"SELECT restore_notifications(-9223372036854775808)",
		"SELECT restore_next_batch(9223372036854775807, 2147483647)",
	} {
		d.Refused(call, "22023")
	}
	d.Refused("SELECT purge_notifications('178000000 years')", "22008") // before the first timestamp
}

func TestOperationsRefuseBadArguments(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	d.Exec(`UPDATE notifications SET deleted_at = '2025-02-01' WHERE user_id = md5('2')::uuid`)
	before := pgtest.One[string](d, pgtest.LiveChecksum)
	for _, call := range []string{
		`SELECT restore_notifications(1)`,
		`SELECT restore_notifications(NULL)`,
		`SELECT restore_next_batch(1)`,
		`SELECT restore_next_batch(NULL)`,
		`SELECT purge_notifications(NULL)`,
		`SELECT purge_notifications('0')`,
		`SELECT purge_notifications('-1 day')`,
		`SELECT purge_notifications('1 month -30 days -1 second')`,
		// More than 0 as intervals compare, but it leads into the future.
		`SELECT purge_notifications('361 days -1 year')`,
		`SELECT purge_notifications(max_rows => 0)`,
		`SELECT purge_notifications(max_rows => NULL)`,
		`CALL cleanup_notifications_in_batches(max_notifications => 0)`,
		`CALL cleanup_notifications_in_batches(min_keep => 1001)`,
		`CALL cleanup_notifications_in_batches(batch_size => 0)`,
		`CALL cleanup_notifications_in_batches(batch_size => NULL)`,
		`CALL cleanup_notifications_in_batches(max_deletions => -1)`,
		`CALL cleanup_notifications_in_batches(time_limit => '0')`,
		`CALL cleanup_notifications_in_batches(time_limit => '-1 second')`,
	} {
		if err := d.Refused(call, "22023"); err.Hint == "" {
			t.Errorf("no hint for %s", call)
		}
	}
	if pgtest.One[string](d, pgtest.LiveChecksum) != before ||
		pgtest.One[int](d, `SELECT count(*) FROM notification_cleanup_runs`) != 0 {
		t.Error("something was written")
	}
}
