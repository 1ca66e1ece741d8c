package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestHealthFailsWhenNoRunHasFinishedForMaxAge(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	for _, test := range []struct {
		before string
		args   []string
		status int
		says   string
	}{
		{"SELECT", nil, 1, "no run has ever finished"},
		{"SELECT cleanup_notifications()", nil, 0, ""},
		{`UPDATE notification_cleanup_runs SET finished_at = now() - interval '27 hours'`,
			nil, 1, "no run has finished for 27h0m"},
		{"SELECT", []string{"--max-age", "2 days"}, 0, ""},
		{`UPDATE notification_cleanup_runs SET finished_at = now() + interval '1 day'`,
			nil, 1, "in the future"},
	} {
		d.Exec(test.before)
		for _, format := range []string{"text", "json", "prometheus"} {
			args := append([]string{"health", "--format", format}, test.args...)
			stdout, stderr, status := command(t, d, nil, args...)
			if status != test.status || !strings.Contains(stderr, test.says) || stdout == "" {
				t.Errorf("after %s as %s: exit status %d, stdout %s, stderr %s",
					test.before, format, status, stdout, stderr)
			}
		}
	}
}

func TestHealthIsMetricsForPrometheus(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	d.Cleanup("")
	d.Exec("SELECT suspend_notification_cleanup('no')")
	stdout, stderr, status := command(t, d, nil, "health", "--format", "prometheus")
	if status != 0 {
		t.Errorf("exit status %d, stderr %s", status, stderr)
	}
	line := regexp.MustCompile(`^(# HELP notification_cleanup_[a-z_]+ .+\.|` +
		`# TYPE notification_cleanup_[a-z_]+ gauge|notification_cleanup_[a-z_]+ \d+)\n$`)
	for got := range strings.Lines(stdout) {
		if !line.MatchString(got) {
			t.Errorf("no metric: %q", got)
		}
	}
	for _, says := range []string{"healthy 1", "suspended 1", "stopped 0", "users_still_over_limit 1",
		"runs_unfinished 0", "last_finished_timestamp_seconds 1"} {
		if !strings.Contains(stdout, "\nnotification_cleanup_"+says) {
			t.Errorf("no %s in\n%s", says, stdout)
		}
	}
	if _, stderr, status := command(t, d, nil, "stats", "--format", "prometheus"); status != 2 {
		t.Errorf("stats: exit status %d, stderr %s", status, stderr)
	}
}
