package main

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestPaceSetsThePaceOfARunAndOpensNone(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	d.Plan("")
	stdout, stderr, status := command(t, d, nil,
		"pace", "1", "--pause-factor", "3", "--max-replica-lag", "30 seconds")
	if status != 0 || stdout != `{"paced":true}`+"\n" {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	const open = `SELECT run_id || ' ' || pause_factor || ' ' || max_replica_lag
		FROM notification_cleanup_open_runs`
	if got := pgtest.One[string](d, open); got != "1 3 00:00:30" {
		t.Errorf("the open runs are %s", got)
	}
}

func TestWhileItIsSuspendedARunEndsEarlyAndSaysWhy(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	if _, stderr, status := command(t, d, nil, "suspend", "ask Ada"); status != 0 {
		t.Fatalf("exit status %d, stderr %s", status, stderr)
	}
	_, stderr, status := command(t, d, nil, "run")
	if status != 3 || !strings.Contains(stderr, "ask Ada") ||
		!strings.Contains(stderr, "notification-cleanup resume") {
		t.Errorf("exit status %d, stderr %s", status, stderr)
	}
	if text := asText(t, d, "resume"); text != "resumed: the next run goes on with what was left\n" {
		t.Errorf("resume says %s", text)
	}
	if text := asText(t, d, "resume"); text != "nothing was suspended\n" {
		t.Errorf("then resume says %s", text)
	}
	stdout, stderr, status := command(t, d, nil, "run")
	expectWholeRun(t, d, status, stdout, stderr)
}

func TestAnUndoCanSuspendTheJobThatWouldUndoIt(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	d.Cleanup("")
	stdout, stderr, status := command(t, d, nil, "restore", "1", "--suspend", "too much went")
	if status != 0 || stdout != `{"notifications_restored":1950}`+"\n" {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	if _, stderr, status := command(t, d, nil); status != 3 ||
		!strings.Contains(stderr, "too much went") {
		t.Errorf("the next run: exit status %d, stderr %s", status, stderr)
	}
}

func TestAPlanAboveMaxDeletionsWritesNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	_, stderr, status := command(t, d, map[string]string{"MAX_DELETIONS": "1949"})
	if status != 1 || !strings.Contains(stderr, "1949") {
		t.Errorf("exit status %d, stderr %s", status, stderr)
	}
	d.WantRuns()
	stdout, stderr, status := command(t, d, nil, "--max-deletions", "1950")
	expectWholeRun(t, d, status, stdout, stderr)
}

func TestExplainSaysWhyEachStaysWouldGoOrWent(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 3)
	d.Insert(pgtest.Alice, "unread", 4, 4)
	text := asText(t, d, "explain", pgtest.One[string](d, `SELECT DISTINCT user_id::text
		FROM notifications`), "--max-notifications", "2", "--min-keep", "1")
	lines := strings.Split(text, "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[0], "id ") ||
		!strings.Contains(lines[1], "  stays     it is unread") ||
		!strings.Contains(lines[2], "1  stays     it is one of the 1 newest read ones") ||
		!strings.Contains(lines[3], "2  would go  the user has 4 live ones, more than 2") {
		t.Errorf("it explains\n%s", text)
	}
	stdout, _, status := command(t, d, nil, "explain", "00000000-0000-0000-0000-00000000ffff")
	if status != 0 || stdout != "" {
		t.Errorf("of nobody: exit status %d, stdout %s", status, stdout)
	}
}

func TestHistoryShowsAsManyRunsAsItIsTold(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	for range 4 {
		d.Cleanup("")
	}
	if stdout, _, _ := command(t, d, nil, "history", "--limit", "3"); strings.Count(
		stdout, "\n",
	) != 3 {
		t.Errorf("it shows\n%s", stdout)
	}
}
