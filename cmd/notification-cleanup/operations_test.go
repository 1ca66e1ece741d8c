package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// live is a checksum of the notifications and of which are live.
const live = `SELECT md5(string_agg(id || ' ' || (deleted_at IS NULL), ' ' ORDER BY id)) FROM notifications`

// ways are the ways to run the cleanup, in batches of one page where there are batches.
var ways = map[string]func(t *testing.T, d *database){
	"function":  func(_ *testing.T, d *database) { d.exec(`SELECT cleanup_notifications()`) },
	"procedure": func(_ *testing.T, d *database) { d.exec(`CALL cleanup_notifications_in_batches(batch_size => 1)`) },
	"program": func(t *testing.T, d *database) {
		if _, stderr, status := command(t, d, nil, "-workers", "2", "-batch-size", "1"); status != 0 {
			t.Fatalf("exit status %d: %s", status, stderr)
		}
	},
}

func TestTheProcedureEqualsTheFunction(t *testing.T) {
	t.Parallel()
	results := map[string]string{}
	for way, clean := range ways {
		d := newDatabase(t)
		d.exec(inboxes)
		clean(t, d)
		results[way] = one[string](d, live) + one[string](d, `SELECT row(max_notifications, min_keep, users_over_limit, users_cleaned, users_still_over_limit,
			notifications_deleted, notifications_skipped, finished_at >= started_at,
			(SELECT array_agg(DISTINCT deleted_at) FROM notifications WHERE deleted_at IS NOT NULL) = ARRAY[started_at])::text FROM notification_cleanup_runs`)
	}
	if results["procedure"] != results["function"] || results["program"] != results["function"] {
		t.Errorf("results differ: %q", results)
	}
}

func TestUndoAfterEachWayOfRunning(t *testing.T) {
	t.Parallel()
	for way, clean := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(inboxes)
			// An earlier run and a user have deleted some.
			d.exec(`SELECT cleanup_notifications(max_notifications => 1060)`)
			d.exec(`UPDATE notifications SET deleted_at = now() WHERE id IN (SELECT id FROM notifications WHERE user_id = md5('2')::uuid ORDER BY created_at LIMIT 10)`)
			clean(t, d)
			run := one[int64](d, `SELECT max(id) FROM notification_cleanup_runs`)
			d.exec(fmt.Sprintf(`DELETE FROM notifications WHERE id = (SELECT n.id FROM notifications AS n JOIN notification_cleanup_runs AS r ON n.deleted_at = r.started_at WHERE r.id = %d LIMIT 1)`, run))
			if n := one[int](d, `SELECT restore_notifications(1)`); n != 1000 {
				t.Errorf("restored %d of the earlier run, want 1000", n)
			}
			if n := one[int](d, `SELECT restore_notifications($1)`, run); n != 939 {
				t.Errorf("restored %d, want 939: 1040 - 100 - 1 gone for good", n)
			}
			if n := one[int](d, `SELECT restore_notifications($1)`, run); n != 0 {
				t.Errorf("restored %d more the second time", n)
			}
			if n := one[int](d, `SELECT count(*) FILTER (WHERE deleted_at IS NOT NULL) FROM notifications`); n != 10 {
				t.Errorf("%d are deleted, want the 10 of the user", n)
			}
			if restored := one[string](d, `SELECT string_agg(id || ': ' || notifications_restored, ', ' ORDER BY id) FROM notification_cleanup_runs`); restored != fmt.Sprintf("1: 1000, %d: 939", run) {
				t.Errorf("the records say %s restored", restored)
			}
		})
	}
}

func TestRestoredNotificationsGoAgainWithTheNextRun(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	before := one[string](d, live)
	d.exec(`SELECT cleanup_notifications()`)
	after := one[string](d, live)
	stdout, _, _ := command(t, d, nil, "restore", "1")
	if stdout != `{"notifications_restored":1950}`+"\n" || one[string](d, live) != before {
		t.Errorf("stdout %s, or other notifications are live than before", stdout)
	}
	d.exec(`SELECT cleanup_notifications(max_notifications => 1200)`)
	if one[string](d, live) != before {
		t.Error("a run with a raised limit deleted restored notifications")
	}
	d.exec(`SELECT cleanup_notifications()`)
	if one[string](d, live) != after {
		t.Error("the next run with the old limit left other notifications than the first")
	}
}

func TestRestoreCountsOnlyWhatATriggerLetThrough(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.cleanup("")
	d.exec(`CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.deleted_at := OLD.deleted_at; RETURN NEW; END$$;
		CREATE TRIGGER keep BEFORE UPDATE ON notifications FOR EACH ROW WHEN (OLD.` + firstNotification + `) EXECUTE FUNCTION keep()`)
	if n := one[int](d, `SELECT restore_notifications(1)`); n != 900 || d.numbers("deleted_at IS NOT NULL") != "1" {
		t.Errorf("restored %d, want 900: still deleted are %q", n, d.numbers("deleted_at IS NOT NULL"))
	}
}

func TestOperationsRefuseBadArguments(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	d.exec(`UPDATE notifications SET deleted_at = '2025-02-01' WHERE user_id = md5('2')::uuid`)
	before := one[string](d, live)
	for _, call := range []string{
		`SELECT restore_notifications(1)`,
		`SELECT restore_notifications(NULL)`,
		`SELECT restore_next_batch(1)`,
		`SELECT restore_next_batch(NULL)`,
		`SELECT purge_notifications(NULL)`,
		`SELECT purge_notifications('0')`,
		`SELECT purge_notifications('-1 day')`,
		`SELECT purge_notifications('1 month -30 days -1 second')`,
		`SELECT purge_notifications('361 days -1 year')`, // more than 0 as intervals compare, but it leads into the future
		`SELECT purge_notifications(max_rows => 0)`,
		`SELECT purge_notifications(max_rows => NULL)`,
		`CALL cleanup_notifications_in_batches(max_notifications => 0)`,
		`CALL cleanup_notifications_in_batches(min_keep => 1001)`,
		`CALL cleanup_notifications_in_batches(batch_size => 0)`,
		`CALL cleanup_notifications_in_batches(batch_size => NULL)`,
		`CALL cleanup_notifications_in_batches(time_limit => '0')`,
		`CALL cleanup_notifications_in_batches(time_limit => '-1 second')`,
	} {
		if err := d.refused(call, "22023"); err.Hint == "" {
			t.Errorf("no hint for %s", call)
		}
	}
	if one[string](d, live) != before || one[int](d, `SELECT count(*) FROM notification_cleanup_runs`) != 0 {
		t.Error("something was written")
	}
}

func TestTheProcedureSaysHowToCallItWhenItCannotCommit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE FUNCTION wrapper() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL cleanup_notifications_in_batches(); END $$`)
	for _, call := range []string{
		`BEGIN; CALL cleanup_notifications_in_batches()`,
		`SELECT 1; CALL cleanup_notifications_in_batches()`,
		`SELECT wrapper()`,
	} {
		if err := d.refused(call, "2D000"); err.Hint == "" {
			t.Errorf("no hint for %s", call)
		}
		d.exec(`ROLLBACK`)
	}
	// Another procedure, or a DO block, may call it.
	d.exec(`DO $$ BEGIN COMMIT; CALL cleanup_notifications_in_batches(); END $$`)
	if n := one[int](d, `SELECT count(*) FROM notification_cleanup_runs`); n != 1 {
		t.Errorf("%d runs, want 1", n)
	}
}

func TestTheProcedureIgnoresTheCallersSearchPath(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	d.exec(`CREATE SCHEMA evil; CREATE TABLE evil.notification_cleanup_runs AS TABLE notification_cleanup_runs;
		CREATE FUNCTION evil.plan_notification_cleanup(integer, integer, integer) RETURNS public.notification_cleanup_runs
			LANGUAGE plpgsql AS $$ BEGIN RAISE 'shadowed'; END $$;
		CREATE FUNCTION evil.cleanup_next_batch(bigint) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'shadowed'; END $$;
		CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'shadowed'; END $$;
		CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'shadowed'; END $$;
		CREATE TEMPORARY TABLE notifications (id integer)`)
	d.exec(`SET search_path = evil, pg_temp, public, pg_catalog`)
	d.exec(`CALL public.cleanup_notifications_in_batches(batch_size => 1)`)
	if n := one[int](d, `SELECT notifications_deleted FROM public.notification_cleanup_runs`); n != 1950 {
		t.Errorf("deleted %d, want 1950", n)
	}
}

func TestTheProcedureStopsAfterTheBatchThatCrossesTheTimeLimit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	// The first pages hold nothing but what goes of user 1.
	pages := all[int](d, `SELECT count(*) FROM notifications GROUP BY (ctid::text::point)[0] ORDER BY (ctid::text::point)[0] LIMIT 2`)
	const call = `CALL cleanup_notifications_in_batches(batch_size => 1, time_limit => '1 microsecond')`
	d.exec(call)
	d.wantRuns(fmt.Sprintf("(1,1950,%d,0,t)", pages[0]))
	d.exec(call) // goes on
	d.wantRuns(fmt.Sprintf("(1,1950,%d,0,t)", pages[0]+pages[1]))
	d.exec(`CALL cleanup_notifications_in_batches(time_limit => '1 day')`)
	d.wantRuns("(1,1950,1950,2,f)", "(2,0,0,0,f)")
	d.wantEnded("the last call")
}

func TestTheProcedureTellsItsProgress(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	out := callInPsql(t, d, "batch_size => 1000")
	for _, says := range []string{
		"run 1: 3 users over the limit, 1950 notifications to delete",
		"run 1: 1000 of 1950 notifications deleted, 0 skipped, 00:",
		"run 1: 1950 of 1950 notifications deleted, 0 skipped, 00:",
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
func callInPsql(t *testing.T, d *database, arguments string) string {
	t.Helper()
	d.note("CALL cleanup_notifications_in_batches(" + arguments + ")")
	out, err := exec.Command("psql", "-X", d.url(), "-c", "CALL cleanup_notifications_in_batches("+arguments+")").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestABatchIsAboutBatchSize(t *testing.T) {
	t.Parallel()
	for size, want := range map[int][]int{
		1:    {10, 10, 10, 10, 10, 10, 10, 10, 10, 10}, // a page at least
		10:   {10, 10, 10, 10, 10, 10, 10, 10, 10, 10},
		25:   {20, 20, 30, 30},
		1000: {100},
	} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.rowsPerPage(10)
			d.insert(alice, "read", 1, 70)
			d.insert(bob, "read", 101, 130)
			out := callInPsql(t, d, fmt.Sprintf("20, 0, batch_size => %d", size))
			if got := all[int](d, `SELECT count(*) FROM notifications WHERE deleted_at IS NOT NULL GROUP BY xmin::text ORDER BY 1`); !slices.Equal(got, want) {
				t.Errorf("%d notifications a transaction, want %d: %s", got, want, out)
			}
		})
	}
}

func TestUsersWithNothingToDeleteCostNoBatch(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for user := 1; user <= 3; user++ {
		d.insert(user, "unread", 10*user, 10*user+4)
	}
	d.insert(4, "read", 40, 44)
	out := callInPsql(t, d, "4, 1, batch_size => 1")
	const record = `SELECT row(users_over_limit, users_cleaned, users_still_over_limit)::text FROM notification_cleanup_runs`
	if got := one[string](d, record); got != "(4,1,3)" || !strings.Contains(out, "4 of 4 notifications") || strings.Count(out, "NOTICE") != 2 {
		t.Errorf("the record is %s, want (4,1,3) in one batch: %s", got, out)
	}
	if out := callInPsql(t, d, "4, 1, batch_size => 1"); !strings.Contains(out, "3 users over the limit, 0 notifications to delete") || strings.Count(out, "NOTICE") != 1 {
		t.Errorf("with nothing to delete it says %s", out)
	}
}

// expired deletes 40 notifications, one a day: the newest 35 days ago.
const expired = `
	INSERT INTO notifications (id, user_id, status, created_at, deleted_at)
	SELECT md5(i::text)::uuid, md5('u')::uuid, 'read', '2025-01-01', now() - interval '34 days' - i * interval '1 day' FROM generate_series(1, 40) AS i`

func TestPurgesTheOldestFirstAndNoMoreThanMaxRows(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(expired)
	if n := one[int](d, `SELECT purge_notifications(max_rows => 15)`); n != 15 {
		t.Errorf("purged %d, want 15", n)
	}
	if days := one[int](d, `SELECT extract(day FROM now() - min(deleted_at))::integer FROM notifications`); days != 59 {
		t.Errorf("the oldest left is %d days old, want 59", days)
	}
}

func TestPurgesNeitherLiveNorYoungNorLockedNotifications(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(expired)
	d.exec(`UPDATE notifications SET deleted_at = NULL WHERE id = md5('40')::uuid`)
	d.exec(`UPDATE notifications SET deleted_at = now() - interval '40 days' + interval '1 minute' WHERE id = md5('39')::uuid`)
	d.openSession().exec(`BEGIN; SELECT FROM notifications WHERE id = md5('38')::uuid FOR KEY SHARE`)
	if n := one[int](d, `SELECT purge_notifications('40 days')`); n != 32 {
		t.Errorf("purged %d, want 32", n)
	}
	if n := one[int](d, `SELECT count(*) FROM notifications WHERE id IN (md5('40')::uuid, md5('39')::uuid, md5('38')::uuid)`); n != 3 {
		t.Errorf("%d of live, young and locked are left, want 3", n)
	}
}

func TestPurgesWhatHasNoUserOrNoTime(t *testing.T) {
	t.Parallel()
	d := adopt(t, nullable)
	d.exec("INSERT INTO notifications (id, user_id, created_at, deleted_at) VALUES (1, NULL, now(), '2025-01-01Z'), (2, 'alice', NULL, '2025-01-01Z')")
	if n := one[int](d, "SELECT purge_notifications()"); n != 2 {
		t.Errorf("purged %d, want 2", n)
	}
}

func TestTheProgramPurgesUntilNoneIsLeft(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(expired)
	stdout, stderr, status := command(t, d, nil, "purge", "-batch-size", "7", "-retention", "960h")
	if status != 0 || stdout != `{"notifications_purged":35}`+"\n" {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
}

func TestPurgeReadsItsIndexAndNotTheTable(t *testing.T) {
	t.Parallel()
	for name, analyze := range map[string]string{"with planner statistics": "VACUUM ANALYZE notifications", "without": "SELECT"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(`ALTER TABLE notifications SET (autovacuum_enabled = off)`)
			d.exec(`INSERT INTO notifications (user_id, status, deleted_at) SELECT md5('u')::uuid, 'read', CASE WHEN i % 100 = 0 THEN timestamptz '2025-01-01' END FROM generate_series(1, 60000) AS i`)
			d.exec(analyze)
			d.exec(`SELECT pg_stat_reset()`)
			if n := one[int](d, `SELECT purge_notifications(max_rows => 500)`); n != 500 {
				t.Fatalf("purged %d, want 500", n)
			}
			eventually(t, d, `SELECT n_tup_del = 500 FROM pg_stat_user_tables WHERE relname = 'notifications'`)
			if got := one[string](d, `SELECT row(seq_scan, idx_tup_fetch <= 1500)::text FROM pg_stat_user_tables WHERE relname = 'notifications'`); got != "(0,t)" {
				t.Errorf("scans of the table, and few rows read: %s, want (0,t)", got)
			}
		})
	}
}

func TestHealthIsOneRow(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	health := func() string {
		return one[string](d, `SELECT row(last_outcome, minutes_since_last_finished, users_still_over_limit, runs_unfinished)::text FROM notification_cleanup_health`)
	}
	expect := func(want string) {
		t.Helper()
		if got := health(); got != want {
			t.Errorf("health is %s, want %s", got, want)
		}
	}
	expect(`("never ran",,,0)`)
	d.exec(`SELECT cleanup_notifications()`)
	expect(`("nothing to delete",0,0,0)`)
	d.exec(inboxes)
	d.exec(`SELECT cleanup_notifications()`)
	expect(`(deleted,0,1,0)`)
	d.exec(`INSERT INTO notification_cleanup_runs (max_notifications, min_keep) VALUES (1000, 100)`)
	d.exec(`UPDATE notification_cleanup_runs SET finished_at = finished_at - interval '27 hours', started_at = started_at - interval '27 hours'`)
	expect(`(deleted,1620,1,1)`)
}

func TestHealthSaysWhatAwaitsAVacuumBehindAnyTable(t *testing.T) {
	t.Parallel()
	const columns = `(id bigint NOT NULL, user_id bigint NOT NULL, status text, created_at timestamptz, deleted_at timestamptz, PRIMARY KEY (id, user_id))`
	for name, create := range map[string]string{
		"a view":              `CREATE TABLE rows ` + columns + `; CREATE VIEW notifications AS SELECT ctid, tableoid, * FROM rows`,
		"a child by INHERITS": `CREATE TABLE notifications ` + columns + `; CREATE TABLE rows () INHERITS (notifications)`,
		"a partition": `CREATE TABLE notifications ` + columns + ` PARTITION BY HASH (user_id);
			CREATE TABLE rows PARTITION OF notifications FOR VALUES WITH (MODULUS 1, REMAINDER 0)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := adopt(t, create)
			d.exec("ALTER TABLE rows SET (autovacuum_enabled = off)")
			d.exec("INSERT INTO rows SELECT i, 1, 'read', timestamptz '2025-01-01Z' + i * interval '1 minute' FROM generate_series(1, 1001) AS i")
			d.exec("VACUUM rows")
			d.cleanup("")
			eventually(t, d, "SELECT notifications_to_vacuum = 901 FROM notification_cleanup_health")
			d.exec("VACUUM rows")
			eventually(t, d, "SELECT notifications_to_vacuum = 0 FROM notification_cleanup_health")
		})
	}
}

// TestPgCron runs the real extension: the job fires within a minute, which the other tests spend in parallel.
func TestPgCron(t *testing.T) {
	t.Parallel()
	cron := &database{t: t, name: strings.TrimPrefix(server.url.Path, "/"), script: &script{}}
	cron = cron.openSession()
	if !one[bool](cron, `SELECT coalesce(current_setting('cron.database_name', true) = current_database(), false)`) {
		t.Fatal("no pg_cron on this server: apt-get install postgresql-15-cron and run make test, or set shared_preload_libraries = 'pg_cron' and cron.database_name")
	}
	d := newDatabase(t)
	d.exec(inboxes)
	psql := func(file string, variables ...string) (string, error) {
		args := []string{"-X", cron.url(), "-f", "../../sql/pg_cron/" + file, "-v", "job=" + d.name}
		for _, variable := range variables {
			args = append(args, "-v", variable)
		}
		out, err := exec.Command("psql", args...).CombinedOutput()
		return string(out), err
	}
	jobs := `SELECT coalesce(string_agg(jobname || ': ' || schedule || ' ' || database || ' ' || command, '; ' ORDER BY jobname), '') FROM cron.job WHERE jobname LIKE '` + d.name + `%'`

	cron.exec(`CREATE EXTENSION IF NOT EXISTS pg_cron`)
	t.Cleanup(func() {
		out, err := psql("unschedule.sql")
		if left := one[string](cron, jobs); err != nil || left != "" {
			t.Errorf("unschedule: %v %s; left %s", err, out, left)
		}
	})
	// Scheduled three times, it is one job; retention comes and goes.
	for _, variables := range [][]string{
		{"database=" + d.name},
		{"database=" + d.name, "schedule=0 4 * * *", "retention=30 days"},
		{"database=" + d.name, "keep=100 days"},
	} {
		if out, err := psql("schedule.sql", variables...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		hasPurge := strings.Contains(one[string](cron, jobs), "purge_notifications('30 days')")
		if n := strings.Count(one[string](cron, jobs), "CALL"); n != 1 || hasPurge != slices.Contains(variables, "retention=30 days") {
			t.Errorf("after %q the jobs are %s", variables, one[string](cron, jobs))
		}
	}
	for variable, says := range map[string]string{"retention=0 days": "positive", "keep=-1 day": "positive", "retention=soon": "invalid input syntax"} {
		if out, err := psql("schedule.sql", variable); err == nil || !strings.Contains(out, says) || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %v %s", variable, err, out)
		}
	}

	// The housekeeping commands, as scheduled: old runs go, also those without an end; other jobs' runs stay.
	cron.exec(`INSERT INTO cron.job_run_details (jobid, runid, job_pid, database, username, command, status, return_message, start_time, end_time)
		SELECT jobid, -number, 1, '` + d.name + `', 'postgres', 'old', 'failed', '', start_time, end_time
		FROM cron.job, (VALUES (3, NULL::timestamptz, NULL::timestamptz), (2, now() - interval '101 days', NULL),
			(1, now() - interval '101 days', now() - interval '101 days')) AS old (number, start_time, end_time)
		WHERE jobname = '` + d.name + `'`)
	cron.exec(one[string](cron, `SELECT command FROM cron.job WHERE jobname = '`+d.name+`-trim-cron'`))
	if n := one[int](cron, `SELECT count(*) FROM cron.job_run_details WHERE command = 'old' AND database = '`+d.name+`'`); n != 0 {
		t.Errorf("%d old rows of cron.job_run_details are left", n)
	}
	d.exec(`INSERT INTO notification_cleanup_runs (max_notifications, min_keep, started_at, finished_at)
		VALUES (1, 1, now() - interval '101 days', NULL), (1, 1, now() - interval '99 days', NULL)`)
	d.exec(one[string](cron, `SELECT command FROM cron.job WHERE jobname = '`+d.name+`-trim-runs'`))
	if n := one[int](d, `SELECT count(*) FROM notification_cleanup_runs`); n != 1 {
		t.Errorf("%d runs are left, want the one of 99 days ago", n)
	}

	if out, err := psql("schedule.sql", "database="+d.name, "schedule=* * * * *", "limits=batch_size => 1"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fired := `SELECT EXISTS (SELECT FROM cron.job_run_details WHERE database = '` + d.name + `' AND command LIKE 'CALL%' AND status = 'succeeded')`
	for deadline := time.Now().Add(100 * time.Second); !one[bool](cron, fired); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not fired: %q", all[string](cron, `SELECT d::text FROM cron.job_run_details AS d`))
		}
	}
	if n := one[int](d, `SELECT sum(notifications_deleted)::integer FROM notification_cleanup_runs WHERE finished_at IS NOT NULL`); n != 1950 {
		t.Errorf("the job deleted %d, want 1950", n)
	}
}

func TestSchedulingWithoutPgCronIsOneLine(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for _, file := range []string{"schedule.sql", "unschedule.sql"} {
		out, err := exec.Command("psql", "-X", d.url(), "-f", "../../sql/pg_cron/"+file).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "pg_cron is not installed in database") || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s: %v: %s", file, err, out)
		}
	}
}
