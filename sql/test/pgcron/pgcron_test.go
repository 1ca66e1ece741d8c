package pgcron

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// TestPgCron runs the real extension: the job fires within a minute, which the other tests spend in
// parallel.
func TestPgCron(t *testing.T) {
	t.Parallel()
	pgtest.Slow(t)
	cron := pgtest.NeedCron(t)
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	psql := func(file string, variables ...string) (string, error) {
		args := []string{
			"-X",
			cron.URL(),
			"-f",
			pgtest.Path("sql/pg_cron/" + file),
			"-v",
			"job=" + d.Name,
		}
		for _, variable := range variables {
			args = append(args, "-v", variable)
		}
		out, err := exec.Command("psql", args...).CombinedOutput()
		return string(out), err
	}
	jobs := `
		SELECT coalesce(
			string_agg(
				jobname || ': ' || schedule || ' ' || database || ' ' || command,
				'; ' ORDER BY jobname
			),
			''
		)
		FROM cron.job
		WHERE jobname LIKE '` + d.Name + `%'`

	cron.Exec(`CREATE EXTENSION IF NOT EXISTS pg_cron`)
	t.Cleanup(func() {
		out, err := psql("unschedule.sql")
		if left := pgtest.One[string](cron, jobs); err != nil || left != "" {
			t.Errorf("unschedule: %v %s; left %s", err, out, left)
		}
	})
	// Scheduled three times, it is one job; retention comes and goes.
	for _, variables := range [][]string{
		{"database=" + d.Name},
		{"database=" + d.Name, "schedule=0 4 * * *", "retention=30 days"},
		{"database=" + d.Name, "keep=100 days"},
	} {
		if out, err := psql("schedule.sql", variables...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		hasPurge := strings.Contains(pgtest.One[string](cron, jobs), "purge_notifications('30 days')")
		if n := strings.Count(pgtest.One[string](cron, jobs), "CALL"); n != 1 ||
			hasPurge != slices.Contains(variables, "retention=30 days") {
			t.Errorf("after %q the jobs are %s", variables, pgtest.One[string](cron, jobs))
		}
	}
	for variable, says := range map[string]string{
		"retention=0 days": "positive",
		"keep=-1 day":      "positive",
		"retention=soon":   "invalid input syntax",
	} {
		if out, err := psql("schedule.sql", variable); err == nil || !strings.Contains(out, says) ||
			strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %v %s", variable, err, out)
		}
	}

	// The housekeeping commands, as scheduled: old runs go, also those without an end; other jobs'
	// runs stay.
	cron.Exec(`
		INSERT INTO cron.job_run_details (jobid, runid, job_pid, database, username, command, status,
			return_message, start_time, end_time)
		SELECT jobid, -number, 1, '` + d.Name + `', 'postgres', 'old', 'failed', '', start_time, end_time
		FROM cron.job,
			(VALUES (3, NULL::timestamptz, NULL::timestamptz), (2, now() - interval '101 days', NULL),
			(1, now() - interval '101 days', now() - interval '101 days')) AS old (number, start_time,
				end_time)
		WHERE jobname = '` + d.Name + `'`)
	cron.Exec(
		pgtest.One[string](cron, `SELECT command FROM cron.job WHERE jobname = '`+d.Name+`-trim-cron'`),
	)
	if n := pgtest.One[int](
		cron,
		`SELECT count(*) FROM cron.job_run_details WHERE command = 'old' AND database = '`+d.Name+`'`,
	); n != 0 {
		t.Errorf("%d old rows of cron.job_run_details are left", n)
	}
	d.Exec(`
		INSERT INTO notification_cleanup_runs (max_notifications, min_keep, started_at, finished_at)
		VALUES (1, 1, now() - interval '101 days', NULL), (1, 1, now() - interval '99 days', NULL)`)
	d.Exec(
		pgtest.One[string](cron, `SELECT command FROM cron.job WHERE jobname = '`+d.Name+`-trim-runs'`),
	)
	if n := pgtest.One[int](d, `SELECT count(*) FROM notification_cleanup_runs`); n != 1 {
		t.Errorf("%d runs are left, want the one of 99 days ago", n)
	}

	if out, err := psql(
		"schedule.sql", "database="+d.Name, "schedule=* * * * *", "limits=batch_size => 1",
	); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fired := `SELECT EXISTS (SELECT FROM cron.job_run_details WHERE database = '` + d.Name +
		`' AND command LIKE 'CALL%' AND status = 'succeeded')`
	deadline := time.Now().Add(100 * time.Second)
	for ; !pgtest.One[bool](cron, fired); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf(
				"not fired: %q",
				pgtest.All[string](cron, `SELECT d::text FROM cron.job_run_details AS d`),
			)
		}
	}
	if n := pgtest.One[int](d, `
		SELECT sum(notifications_deleted)::integer
		FROM notification_cleanup_runs
		WHERE finished_at IS NOT NULL`); n != 1950 {
		t.Errorf("the job deleted %d, want 1950", n)
	}
}

func TestSchedulingWithoutPgCronIsOneLine(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	for _, file := range []string{"schedule.sql", "unschedule.sql"} {
		out, err := exec.Command(
			"psql",
			"-X",
			d.URL(),
			"-f",
			pgtest.Path("sql/pg_cron/"+file),
		).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "pg_cron is not installed in database") ||
			strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s: %v: %s", file, err, out)
		}
	}
}
