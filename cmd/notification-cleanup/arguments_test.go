package main

import "testing"

func TestRefusedArgumentsChangeNothing(t *testing.T) {
	t.Parallel()
	for routine, refused := range map[string][]string{
		"cleanup_notifications": {
			"max_notifications => NULL", "max_notifications => 0", "max_notifications => -1",
			"min_keep => NULL", "min_keep => -1", "min_keep => 1001", "max_notifications => 99", "NULL, NULL",
			"0, 0", "10, 11", "-2147483648, -2147483648",
			"run_id => 99", "run_id => 0", "run_id => -1", "NULL, run_id => 1", "min_keep => -1, run_id => 1",
			// Run 1 has 10 and 5.
			"run_id => 1", "10, run_id => 1, min_keep => 4", "11, 5, run_id => 1",
			"0, user_ids => '{}'",
		},
		"preview_notification_cleanup": {
			"max_notifications => NULL", "max_notifications => 0", "max_notifications => -1",
			"min_keep => NULL", "min_keep => -1", "min_keep => 1001", "max_notifications => 99", "NULL, NULL", "0, 0", "10, 11",
		},
		"notification_stats": {"max_notifications => NULL", "max_notifications => 0", "max_notifications => -1"},
	} {
		t.Run(routine, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.insert(alice, "read", 1, 1001)
			d.openRun("2025-06-01Z", 10, 5)
			for _, arguments := range refused {
				call := "SELECT * FROM " + routine + "(" + arguments + ")"
				if err := d.refused(call, "22023"); err.Hint == "" {
					t.Errorf("no hint: %v from\n%s;", err, call)
				}
				// What was written before the refusal must not survive it when the caller goes on.
				d.exec("DO $do$ BEGIN PERFORM * FROM (" + call + ") AS r; EXCEPTION WHEN invalid_parameter_value THEN END $do$")
			}
			if got := d.numbers("deleted_at IS NOT NULL"); got != "" {
				t.Errorf("deleted %q", got)
			}
			const untouched = `SELECT count(*) FROM notification_cleanup_runs WHERE (id, users_over_limit) = (1, 0) AND finished_at IS NULL`
			if one[int](d, untouched) != 1 || one[int](d, "SELECT count(*) FROM notification_cleanup_runs") != 1 {
				t.Error("a run is recorded, or changed")
			}
		})
	}
}

// The refusals above are not the fault of the run: with its own limits it takes more.
func TestRunIDTakesTheLimitsOfTheRun(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 11)
	d.wantCleanup(d.openRun("2025-06-01Z", 10, 5), "1-6", counts{OverLimit: 1, Cleaned: 1, Deleted: 6})
}
