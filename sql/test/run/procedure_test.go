package run

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestTheProcedureEqualsTheFunction(t *testing.T) {
	t.Parallel()
	results := map[string]string{}
	for way, clean := range pgtest.Ways {
		d := pgtest.New(t)
		d.Exec(pgtest.Inboxes)
		clean(d)
		results[way] = pgtest.One[string](d, pgtest.LiveChecksum) + pgtest.One[string](d, `
			SELECT row(max_notifications, min_keep, users_over_limit, users_cleaned, users_still_over_limit,
			notifications_deleted, notifications_skipped, finished_at >= started_at,
			(SELECT array_agg(DISTINCT deleted_at) FROM notifications
				WHERE deleted_at IS NOT NULL) = ARRAY[started_at])::text FROM notification_cleanup_runs`)
	}
	if results["procedure"] != results["function"] || results["program"] != results["function"] {
		t.Errorf("results differ: %q", results)
	}
}

func TestTheProcedureSaysHowToCallItWhenItCannotCommit(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(`
		CREATE FUNCTION wrapper() RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			CALL cleanup_notifications_in_batches();
		END $$`)
	for _, call := range []string{
		`BEGIN; CALL cleanup_notifications_in_batches()`,
		`SELECT 1; CALL cleanup_notifications_in_batches()`,
		`SELECT wrapper()`,
	} {
		if err := d.Refused(call, "2D000"); err.Hint == "" {
			t.Errorf("no hint for %s", call)
		}
		d.Exec(`ROLLBACK`)
	}
	// Another procedure, or a DO block, may call it.
	d.Exec(`DO $$ BEGIN COMMIT; CALL cleanup_notifications_in_batches(); END $$`)
	if n := pgtest.One[int](d, `SELECT count(*) FROM notification_cleanup_runs`); n != 1 {
		t.Errorf("%d runs, want 1", n)
	}
}

func TestTheProcedureIgnoresTheCallersSearchPath(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	d.Exec(`
		CREATE SCHEMA evil;
		CREATE TABLE evil.notification_cleanup_runs AS TABLE notification_cleanup_runs;
		CREATE FUNCTION evil.plan_notification_cleanup(integer, integer,
			integer) RETURNS public.notification_cleanup_runs
			LANGUAGE plpgsql AS $$ BEGIN RAISE 'shadowed'; END $$;
		CREATE FUNCTION evil.cleanup_next_batch(bigint) RETURNS bigint LANGUAGE plpgsql AS $$
		BEGIN
			RAISE 'shadowed';
		END $$;
		CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$
		BEGIN
			RAISE 'shadowed';
		END $$;
		CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS $$
		BEGIN
			RAISE 'shadowed';
		END $$;
		CREATE TEMPORARY TABLE notifications (id integer)`)
	d.Exec(`SET search_path = evil, pg_temp, public, pg_catalog`)
	d.Exec(`CALL public.cleanup_notifications_in_batches(batch_size => 100)`)
	if n := pgtest.One[int](d, `
		SELECT notifications_deleted FROM public.notification_cleanup_runs`); n != 1950 {
		t.Errorf("deleted %d, want 1950", n)
	}
}

func TestTheProcedureStopsAfterTheBatchThatCrossesTheTimeLimit(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	const call = `
		CALL cleanup_notifications_in_batches(batch_size => 90, time_limit => '1 microsecond')`
	d.Exec(call)
	d.WantRuns("(1,1950,90,0,t)")
	d.Exec(call) // goes on
	d.WantRuns("(1,1950,180,0,t)")
	d.Exec(`CALL cleanup_notifications_in_batches(time_limit => '1 day')`)
	d.WantRuns("(1,1950,1950,2,f)", "(2,0,0,0,f)")
	d.WantEnded("the last call")
}

func TestTheProcedureTellsItsProgress(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	out := callInPsql(t, d, "batch_size => 1000")
	for _, says := range []string{
		"run 1: 3 users over the limit, 1950 notifications to delete",
		"run 1: 1000 of 1950 notifications deleted, 0 skipped, 0 changed, 00:",
		"run 1: 1950 of 1950 notifications deleted, 0 skipped, 0 changed, 00:",
	} {
		if !strings.Contains(out, says) {
			t.Errorf("no %q in %s", says, out)
		}
	}
	if n := strings.Count(out, "NOTICE"); n != 3 {
		t.Errorf("%d notices, want 3: %s", n, out)
	}
}

// callInPsql returns what psql says to a CALL of cleanup_notifications_in_batches.
func callInPsql(t *testing.T, d *pgtest.Database, arguments string) string {
	t.Helper()
	d.Note("CALL cleanup_notifications_in_batches(" + arguments + ")")
	out, err := exec.Command(
		"psql",
		"-X",
		d.URL(),
		"-c",
		"CALL cleanup_notifications_in_batches("+arguments+")",
	).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestEachTransactionDeletesBatchSize(t *testing.T) {
	t.Parallel()
	for size, want := range map[int][]int{
		1:    slices.Repeat([]int{1}, 100),
		10:   slices.Repeat([]int{10}, 10),
		30:   {10, 30, 30, 30},
		1000: {100},
	} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.RowsPerPage(10)
			d.Insert(pgtest.Alice, "read", 1, 70)
			d.Insert(pgtest.Bob, "read", 101, 130)
			out := callInPsql(t, d, fmt.Sprintf("20, 0, batch_size => %d", size))
			if got := pgtest.All[int](d, `
				SELECT count(*)
				FROM notifications
				WHERE deleted_at IS NOT NULL
				GROUP BY xmin::text
				ORDER BY 1`); !slices.Equal(got, want) {
				t.Errorf("%d notifications a transaction, want %d: %s", got, want, out)
			}
		})
	}
}

func TestUsersWithNothingToDeleteCostNoBatch(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	for user := 1; user <= 3; user++ {
		d.Insert(user, "unread", 10*user, 10*user+4)
	}
	d.Insert(4, "read", 40, 44)
	out := callInPsql(t, d, "4, 1, batch_size => 4")
	const record = `
		SELECT row(users_over_limit, users_cleaned, users_still_over_limit)::text
		FROM notification_cleanup_runs`
	if got := pgtest.One[string](d, record); got != "(4,1,3)" ||
		!strings.Contains(out, "4 of 4 notifications") ||
		strings.Count(out, "NOTICE") != 2 {
		t.Errorf("the record is %s, want (4,1,3) in one batch: %s", got, out)
	}
	if out := callInPsql(t, d, "4, 1, batch_size => 1"); !strings.Contains(
		out,
		"3 users over the limit, 0 notifications to delete",
	) ||
		strings.Count(out, "NOTICE") != 1 {
		t.Errorf("with nothing to delete it says %s", out)
	}
}
