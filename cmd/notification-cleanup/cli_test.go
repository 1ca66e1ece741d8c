package main

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestRunEqualsTheFunction(t *testing.T) {
	t.Parallel()
	deletedBy := func(run func(d *pgtest.Database)) (ids, record string) {
		d := pgtest.New(t)
		d.Exec(pgtest.Inboxes)
		run(d)
		return pgtest.One[string](d, `SELECT string_agg(id::text, ' ' ORDER BY id) FROM notifications
				WHERE deleted_at = (SELECT started_at FROM notification_cleanup_runs)`),
			pgtest.One[string](d, `
				SELECT (to_jsonb(r) - '{started_at,finished_at,application_name}'::text[] ||
				jsonb_build_object('finished',
					finished_at >= started_at))::text FROM notification_cleanup_runs AS r`)
	}
	ids, record := deletedBy(func(d *pgtest.Database) { d.Exec(`SELECT cleanup_notifications()`) })
	for _, args := range [][]string{
		{},
		{"run", "--batch-size", "100"},
		{"--batch-size=100", "run", "--workers", "2"},
	} {
		gotIDs, gotRecord := deletedBy(func(d *pgtest.Database) {
			if _, stderr, status := command(t, d, nil, args...); status != 0 {
				t.Fatalf("%v: exit status %d: %s", args, status, stderr)
			}
		})
		if gotIDs != ids || gotRecord != record {
			t.Errorf(
				"%v differs from the function:\n got %s\nwant %s\nsame ids: %v",
				args,
				gotRecord,
				record,
				gotIDs == ids,
			)
		}
	}
}

// Each waits in a batch of its own for a table that another session has locked against writers.
func TestEachWorkerHasAConnection(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	other := d.OpenSession()
	other.Exec(`BEGIN; LOCK TABLE notifications IN EXCLUSIVE MODE`)
	ended := make(chan int, 1)
	go func() {
		_, _, status := command(t, d, nil, "run", "--batch-size", "100", "--workers", "3")
		ended <- status
	}()
	d.Eventually(`
		SELECT count(*) = 3
		FROM pg_locks
		WHERE relation = 'notifications'::regclass AND NOT granted`)
	other.Exec(`COMMIT`)
	if status := <-ended; status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func TestRunPrintsTheRecordWithTheColumnNames(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	stdout, _, _ := command(t, d, nil)
	want := pgtest.One[string](d, `SELECT row_to_json(r)::text FROM notification_cleanup_runs AS r`)
	if stdout != want+"\n" {
		t.Errorf("stdout is %s, want %s", stdout, want)
	}
	stdout, _, _ = command(t, d, map[string]string{"FORMAT": "json"}, "history")
	if stdout != want+"\n" {
		t.Errorf("history is %s, want %s", stdout, want)
	}
}

func TestTheLogTellsThePlanAndTheEnd(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	_, stderr, _ := command(t, d, nil)
	for _, says := range []string{
		`msg="planned run" run_id=1 users_over_limit=3 notifications_planned=1950 continued=false`,
		`msg="finished run" run_id=1 users_cleaned=2 notifications_deleted=1950` +
			` notifications_skipped=0 notifications_changed=0 duration_seconds=`,
	} {
		if !strings.Contains(stderr, says) {
			t.Errorf("no %s in %s", says, stderr)
		}
	}
}

func TestTheLogTellsHowManyChangedSinceThePlan(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Plan("100, 100")
	d.Exec("UPDATE notifications SET status = 'unread' WHERE " + pgtest.NotificationNumber + " = 10")
	_, stderr, status := command(t, d, nil, "run", "--max-notifications", "100")
	const says = `msg="finished run" run_id=1 users_cleaned=1 notifications_deleted=900` +
		` notifications_skipped=0 notifications_changed=1 duration_seconds=`
	if status != 0 || !strings.Contains(stderr, says) {
		t.Errorf("exit status %d, and no %s in %s", status, says, stderr)
	}
}

func TestDryRunPrintsThePreviewAndWritesNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	preview, _, _ := command(t, d, nil, "preview")
	stdout, stderr, status := command(t, d, map[string]string{"DRY_RUN": "true"})
	if status != 0 || stdout != preview || strings.Count(stdout, "\n") != 3 {
		t.Errorf(
			"exit status %d, stdout %s, stderr %s, want the preview %s",
			status,
			stdout,
			stderr,
			preview,
		)
	}
	if n := pgtest.One[int](d, `
		SELECT count(deleted_at) + (SELECT count(*) FROM notification_cleanup_runs)
		FROM notifications`); n != 0 {
		t.Errorf("%d rows were written", n)
	}
}

func TestNothingToDoIsSaidAndRecorded(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	stdout, stderr, status := command(t, d, nil)
	record := pgtest.Decode[struct {
		Deleted    *int    `json:"notifications_deleted"`
		FinishedAt *string `json:"finished_at"`
	}](t, stdout)
	if status != 0 || !strings.Contains(stderr, "nothing to delete") || record.Deleted == nil ||
		*record.Deleted != 0 ||
		record.FinishedAt == nil {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	if n := pgtest.One[int](d, `SELECT count(*) FROM notification_cleanup_runs`); n != 1 {
		t.Errorf("%d runs recorded, want 1", n)
	}
}

func TestStatsCountLiveNotifications(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	stdout, _, _ := command(t, d, nil, "stats")
	if want := `{"total_notifications":3350,"users_with_notifications":3,"users_over_limit":3}` +
		"\n"; stdout != want {
		t.Errorf("stats are %s, want %s", stdout, want)
	}
}

func TestTheProgramPurgesUntilNoneIsLeft(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Expired)
	stdout, stderr, status := command(t, d, nil, "purge", "--batch-size", "7", "--retention", "960h")
	if status != 0 || stdout != `{"notifications_purged":35}`+"\n" {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
}

func TestExitStatusAndOneLineForEachMistake(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	const secret = "s3cr3t"
	for _, test := range []struct {
		name   string
		env    map[string]string
		args   []string
		status int
		says   string
	}{
		{"unknown command", nil, []string{"clean"}, 2, "unknown command"},
		{"unknown flag", nil, []string{"--dryrun"}, 2, "dryrun"},
		{"not a number", map[string]string{"MAX_NOTIFICATIONS": "many"}, nil, 2, "MAX_NOTIFICATIONS"},
		{"limit of 0", map[string]string{"MAX_NOTIFICATIONS": "0"}, nil, 2, "MAX_NOTIFICATIONS is 0"},
		{"keeps more than the limit", nil, []string{"--min-keep", "1001"}, 2, "MIN_KEEP is 1001"},
		{"no batch", nil, []string{"--batch-size", "0"}, 2, "BATCH_SIZE is 0"},
		{"a batch too large", nil, []string{"--batch-size", "1000001"}, 2, "BATCH_SIZE is 1000001"},
		{"no worker", nil, []string{"--workers", "0"}, 2, "WORKERS"},
		{"negative pause", nil, []string{"--pause-factor", "-1"}, 2, "PAUSE_FACTOR is -1"},
		{"negative lag", nil, []string{"--max-replica-lag", "-1s"}, 2, "MAX_REPLICA_LAG is -1s"},
		{"negative time", nil, []string{"--timeout", "-1s"}, 2, "TIMEOUT"},
		{"unknown format", nil, []string{"--format", "xml"}, 2, "FORMAT"},
		{"not an id", nil, []string{"restore", "last"}, 2, "restore takes the id"},
		{"no id", nil, []string{"restore"}, 2, "restore takes the id"},
		{
			"several mistakes",
			map[string]string{"WORKERS": "0", "FORMAT": "xml"},
			nil,
			2,
			"WORKERS is 0, takes 1 to 64; FORMAT",
		},
		{
			"malformed URL",
			map[string]string{"DATABASE_URL": "postgres://u:" + secret + "%zz@h/d"},
			nil,
			2,
			"DATABASE_URL",
		},
		{
			"malformed port",
			map[string]string{"DATABASE_URL": "postgres://u:" + secret + "@h:port/d"},
			nil,
			2,
			"DATABASE_URL",
		},
		{
			"unreachable server",
			map[string]string{"DATABASE_URL": "postgres://u:" + secret + "@127.0.0.1:1/d"},
			[]string{"stats"},
			1,
			"connect to database",
		},
		{"not installed", nil, []string{"stats"}, 1, "notification-cleanup migrate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, status := command(t, d, test.env, test.args...)
			if status != test.status || !strings.Contains(stderr, test.says) {
				t.Errorf("exit status %d, stderr %q, want %d and %q", status, stderr, test.status, test.says)
			}
			if stdout != "" || strings.Contains(stderr, "\n") || strings.Contains(stderr, secret) {
				t.Errorf(
					"stdout %q, stderr %q: want nothing, and one line without the password",
					stdout,
					stderr,
				)
			}
		})
	}
}

func TestTheProcessExitsWithTheStatus(t *testing.T) {
	t.Parallel()
	cmd, stdout, stderr := process(t, "postgres://u:s3cr3t@127.0.0.1:1/d", "stats")
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || stdout.Len() > 0 ||
		strings.Count(stderr.String(), "\n") != 1 ||
		strings.Contains(stderr.String(), "s3cr3t") {
		t.Errorf("exit status %d, stdout %q, stderr %q", cmd.ProcessState.ExitCode(), stdout, stderr)
	}
}

func TestFlagsMayStandBeforeTheCommand(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	stdout, stderr, status := command(t, d, nil, "--dry-run", "--workers", "2", "run")
	if n := pgtest.One[int](d, `SELECT count(*) FROM notification_cleanup_runs`); status != 0 ||
		stdout != "" ||
		n != 0 {
		t.Errorf("exit status %d, stdout %s, stderr %s, and %d runs", status, stdout, stderr, n)
	}
}

func TestTheLargestBatchIsOfAMillion(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	if _, stderr, status := command(t, d, nil, "run", "--batch-size", "1000000"); status != 0 {
		t.Errorf("exit status %d, stderr %s", status, stderr)
	}
}
