package pgcron

import (
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// TestPgCronAsARoleOfItsOwn lets each of the jobs fire for a role that has no more than the grants
// for them.
func TestPgCronAsARoleOfItsOwn(t *testing.T) {
	t.Parallel()
	pgtest.Slow(t)
	cron := pgtest.NeedCron(t)
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	d.Exec(pgtest.Expired)
	d.Exec(`
		INSERT INTO notification_cleanup_runs (max_notifications, min_keep, started_at, finished_at)
		VALUES (1, 1, '2025-01-01', '2025-01-01')`)
	role := d.RoleTo("clean up", "purge", "schedule")
	d.Exec("ALTER ROLE " + role + " LOGIN")
	cron.Exec("CREATE EXTENSION IF NOT EXISTS pg_cron")
	asRole, err := url.Parse(cron.URL())
	if err != nil {
		t.Fatal(err)
	}
	asRole.User = url.User(role)
	parameters := asRole.Query()
	parameters.Del("user")
	asRole.RawQuery = parameters.Encode()
	t.Cleanup(func() {
		cron.Exec("SELECT cron.unschedule(jobid) FROM cron.job WHERE username = '" + role + "'")
		cron.Exec("DROP OWNED BY " + role)
	})
	schedule := func() (string, error) {
		out, err := exec.Command(
			"psql", "-X", asRole.String(), "-f", pgtest.Path("sql/pg_cron/schedule.sql"),
			"-v", "job="+d.Name, "-v", "database="+d.Name, "-v", "retention=30 days",
		).CombinedOutput()
		return string(out), err
	}

	out, err := schedule()
	_, grants, found := strings.Cut(out, "has to execute here ")
	if err == nil || !found || strings.Count(out, "\n") != 1 {
		t.Fatalf("without the grants: %v: %s", err, out)
	}
	cron.Exec(grants)
	if out, err := schedule(); err != nil {
		t.Fatalf("with what it said: %v: %s", err, out)
	}
	cron.Exec(fmt.Sprintf(
		"SELECT cron.alter_job(jobid, schedule => '* * * * *') FROM cron.job WHERE username = '%s'",
		role,
	))
	ran := fmt.Sprintf(`
		SELECT DISTINCT concat_ws(
			' ', j.jobname, d.status, nullif(d.status, 'succeeded') || d.return_message)
		FROM cron.job AS j
		JOIN cron.job_run_details AS d USING (jobid)
		WHERE j.username = '%s' AND d.status IN ('succeeded', 'failed')
		ORDER BY 1`, role)
	var got []string
	for deadline := time.Now().Add(130 * time.Second); len(got) < 4; time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			break
		}
		got = pgtest.All[string](cron, ran)
	}
	want := []string{
		d.Name + " succeeded",
		d.Name + "-purge succeeded",
		d.Name + "-trim-cron succeeded",
		d.Name + "-trim-runs succeeded",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the jobs have %q, want %q", got, want)
	}
	if n := pgtest.One[int](d, `
		SELECT count(*) FROM notification_cleanup_runs WHERE started_at < '2026-01-01'`); n != 0 {
		t.Error("the old run has not been forgotten")
	}
}
