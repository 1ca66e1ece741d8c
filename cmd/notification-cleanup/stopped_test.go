package main

import (
	"os"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestCtrlCReportsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	for name, arguments := range map[string][]string{"signal": nil, "TIMEOUT": {"--timeout", "5s"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(pgtest.Inboxes)
			release := d.BlockUser2()
			cmd, stdout, stderr := process(
				t,
				d.URL(),
				append([]string{"run", "--batch-size", "100"}, arguments...)...)
			if name == "signal" {
				d.Eventually(pgtest.Blocked)
				_ = cmd.Process.Signal(os.Interrupt)
			}
			_ = cmd.Wait()
			record := pgtest.Decode[struct {
				Deleted    int     `json:"notifications_deleted"`
				FinishedAt *string `json:"finished_at"`
			}](t, stdout.String())
			if status := cmd.ProcessState.ExitCode(); status != 3 || record.Deleted != 1000 ||
				record.FinishedAt != nil {
				t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
			}
			if !strings.Contains(stderr.String(), "stopped early by") ||
				!strings.Contains(stderr.String(), `msg="ended run early, the next one goes on from here"`) {
				t.Errorf("stderr does not say why: %s", stderr)
			}
			if n := pgtest.One[int](d, `SELECT count(deleted_at) FROM notifications`); n != 1000 {
				t.Errorf("%d rows deleted, want the 1000 of the first batches", n)
			}

			// What it left is a run of its own for the next call, which prints both.
			release()
			next, log, status := command(t, d, nil, "run", "--batch-size", "100")
			want := pgtest.One[string](d, `
				SELECT string_agg(row_to_json(r)::text || chr(10), '' ORDER BY id)
				FROM notification_cleanup_runs AS r`)
			if status != 0 || next != want || strings.Count(log, `msg="finished run"`) != 2 ||
				!strings.Contains(
					log,
					"run_id=1 users_over_limit=3 notifications_planned=1950 continued=true",
				) ||
				!strings.Contains(log, "run_id=2 users_over_limit=1 notifications_planned=0 continued=false") {
				t.Errorf("exit status %d, stdout %s, want %s, stderr %s", status, next, want, log)
			}
			d.WantRuns("(1,1950,1950,2,f)", "(2,0,0,0,f)")
		})
	}
}

// Another session holds all batches but the one that the program is at, and gives the run up.
func TestARunThatSomebodyGivesUpStopsEarly(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	cmd, stdout, stderr, release := blockedProgram(t, d)
	other := d.OpenSession()
	other.Exec(`
		BEGIN;
		SELECT FROM notification_cleanup_batches WHERE done_at IS NULL FOR UPDATE SKIP LOCKED`)
	release()
	// It waits for the batch, and restores that, too.
	restored := pgtest.One[int](other, "SELECT restore_notifications(1)")
	other.Exec("COMMIT")
	_ = cmd.Wait()
	record := pgtest.Decode[struct {
		Deleted    int     `json:"notifications_deleted"`
		Restored   int     `json:"notifications_restored"`
		FinishedAt *string `json:"finished_at"`
	}](t, stdout.String())
	if status := cmd.ProcessState.ExitCode(); status != 3 || record.Deleted <= 1000 ||
		record.Deleted >= 1950 ||
		record.Restored != record.Deleted ||
		record.Restored != restored ||
		record.FinishedAt != nil {
		t.Errorf("exit status %d, restored %d, stdout %s, stderr %s", status, restored, stdout, stderr)
	}
	if !strings.Contains(stderr.String(), "somebody stopped or restored the run") {
		t.Errorf("stderr does not say why: %s", stderr)
	}
	if n := pgtest.One[int](d, `SELECT count(deleted_at) FROM notifications`); n != 0 {
		t.Errorf("%d rows are deleted", n)
	}
}

func TestAFailedRunHasNoEnd(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	d.Exec(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$`)
	d.Exec(`
		CREATE TRIGGER fail BEFORE UPDATE ON notifications
		FOR EACH ROW WHEN (OLD.user_id = md5('2')::uuid)
		EXECUTE FUNCTION fail()`)
	text := map[string]string{"FORMAT": "text"}
	stdout, stderr, status := command(t, d, text, "run", "--batch-size", "100")
	const record = `
		SELECT row(notifications_deleted, finished_at IS NULL)::text FROM notification_cleanup_runs`
	if got := pgtest.One[string](d, record); status != 1 || got != "(1000,t)" {
		t.Errorf(
			"exit status %d, the record is %s, want 1000 deleted and no end: %s",
			status,
			got,
			stderr,
		)
	}
	// Users are counted at the end: until then 0 would be wrong.
	for _, line := range []string{
		"\n  cleaned                  -  counted when the run has ended\n",
		"\n  still over it            -  counted when the run has ended\n",
		"\n  deleted              1,000\n",
	} {
		if !strings.Contains(stdout, line) {
			t.Errorf("no %q in\n%s", line, stdout)
		}
	}
	if strings.Contains(stderr, "users_cleaned") {
		t.Errorf("the log counts users: %s", stderr)
	}
}

func TestStopEndsEverySessionAfterItsBatch(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	cmd, stdout, stderr, release := blockedProgram(t, d)
	session, notices := d.WithNotices()
	called := session.StartProcedure("")
	d.Eventually(`
		SELECT count(*) = 2
		FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()`)
	if !pgtest.One[bool](d, "SELECT stop_notification_cleanup(1)") {
		t.Error("it says that nothing is left of the run")
	}
	release()
	_ = cmd.Wait()
	run, err := called.Wait()
	if status := cmd.ProcessState.ExitCode(); err != nil || status != 3 ||
		!strings.Contains(stderr.String(), "somebody stopped or restored the run") ||
		run.FinishedAt != nil ||
		run.Deleted <= 1000 ||
		run.Deleted >= 1950 {
		t.Errorf(
			"exit status %d, stdout %s, stderr %s; the procedure ended with %v, %+v",
			status,
			stdout,
			stderr,
			err,
			run,
		)
	}
	if !strings.HasSuffix(
		notices(),
		"run 1: stopped by stop_notification_cleanup(), the next call of the job continues it\n",
	) {
		t.Errorf("the procedure was told %q", notices())
	}
	if got := pgtest.One[string](d, `
		SELECT last_outcome || ' ' || runs_unfinished
		FROM notification_cleanup_health`); got != "stopped 1" {
		t.Errorf("the health view says %q", got)
	}
	if history := asText(t, d, "history"); !strings.HasSuffix(history, "  stopped\n") {
		t.Errorf("the history says %s", history)
	}
	if n := d.Batch(pgtest.FirstRun); n != -1 {
		t.Errorf("a batch after that deletes %d", n)
	}

	if stdout, stderr, status := command(t, d, nil); status != 0 ||
		!strings.Contains(
			stderr,
			"run_id=1 users_over_limit=3 notifications_planned=1950 continued=true",
		) {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	d.WantEnded("the next call")
	if got := pgtest.One[string](d, `
		SELECT last_outcome FROM notification_cleanup_health`); got != "nothing to delete" {
		t.Errorf("then the health view says %q", got)
	}
	if stdout, stderr, status := command(t, d, nil, "stop", "1"); status != 0 ||
		stdout != `{"stopped":false}`+"\n" {
		t.Errorf("of a run that has ended: exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	for _, id := range []string{"7", "NULL"} {
		if err := d.Refused(
			"SELECT stop_notification_cleanup("+id+")", "22023",
		); err.Message != "no cleanup run "+id ||
			err.Hint == "" {
			t.Errorf("%s HINT %s", err.Message, err.Hint)
		}
	}
}
