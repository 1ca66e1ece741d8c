package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestTheProgramUndoesBatchByBatch(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	d.Cleanup("")
	stdout, stderr, status := command(t, d, nil, "restore", "1", "--batch-size", "500")
	if status != 0 || stdout != `{"notifications_restored":1950}`+"\n" {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	for _, says := range []string{
		`msg="started restoring" notifications_expected=1950`,
		`msg=restored notifications_restored=1950`,
	} {
		if !strings.Contains(stderr, says) {
			t.Errorf("no %s in %s", says, stderr)
		}
	}
	if n := pgtest.One[int](d, `
		SELECT count(DISTINCT xmin::text) FROM notifications WHERE status = 'read'`); n != 5 {
		t.Errorf("%d transactions, want 4 and that of those which were kept", n)
	}
}

func TestAnUndoThatIsStoppedReportsWhatItRestoredAndGoesOn(t *testing.T) {
	t.Parallel()
	for name, arguments := range map[string][]string{"signal": nil, "TIMEOUT": {"--timeout", "5s"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(pgtest.Inboxes)
			d.Cleanup("")
			release := d.BlockUser2()
			cmd, stdout, stderr := process(
				t,
				d.URL(),
				append([]string{"restore", "1", "--batch-size", "500"}, arguments...)...)
			if name == "signal" {
				d.Eventually(pgtest.Blocked)
				_ = cmd.Process.Signal(os.Interrupt)
			}
			_ = cmd.Wait()
			if status := cmd.ProcessState.ExitCode(); status != 3 ||
				stdout.String() != `{"notifications_restored":1000}`+"\n" ||
				!strings.Contains(stderr.String(), "stopped early by") {
				t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
			}
			release()
			d.Eventually(pgtest.Alone)
			if stdout, stderr, status := command(t, d, nil, "restore", "1"); status != 0 ||
				stdout != `{"notifications_restored":950}`+"\n" {
				t.Errorf("the next one: exit status %d, stdout %s, stderr %s", status, stdout, stderr)
			}
			if n := pgtest.One[int](d, `
				SELECT notifications_restored FROM notification_cleanup_runs`); n != 1950 {
				t.Errorf("the record says %d restored, want 1950", n)
			}
		})
	}
}

func TestTheProgramRetriesAnUndoThatWaitsTooLong(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	d.Exec(pgtest.SetForDatabase("lock_timeout = '20ms'"))
	other := d.Hold(pgtest.FirstNotification)
	cmd, stdout, stderr := process(t, d.URL(), "restore", "1")
	for !strings.Contains(stderr.String(), "retrying") { // at least once
		time.Sleep(time.Millisecond)
	}
	other.Exec("COMMIT")
	_ = cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 0 ||
		stdout.String() != `{"notifications_restored":901}`+"\n" {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
}

func TestUndoOfARunThatIsNoneIsAMistakeOfTheCaller(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	stdout, stderr, status := command(t, d, nil, "restore", "7")
	if status != 2 || stdout != "" || !strings.Contains(stderr, "notification_cleanup_runs") {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
}

func TestTheProgramSaysWhatRefusesToComeBackOrToGo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		trigger, stdout string
		arguments       []string
	}{
		"restore": {"UPDATE", `{"notifications_restored":900}`, []string{"restore", "1"}},
		"purge":   {"DELETE", `{"notifications_purged":900}`, []string{"purge", "--retention", "1us"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Insert(pgtest.Alice, "read", 1, 1001)
			d.Cleanup("")
			d.Exec(`
				CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
				BEGIN
					RAISE EXCEPTION 'on hold';
				END $$;
				CREATE TRIGGER refuse BEFORE ` + test.trigger + ` ON notifications
				FOR EACH ROW WHEN (OLD.` + pgtest.FirstNotification + `) EXECUTE FUNCTION refuse()`)
			nothing := regexp.MustCompile("[0-9]+").ReplaceAllString(test.stdout, "0")
			for _, want := range []string{test.stdout, nothing} {
				stdout, stderr, status := command(t, d, nil, test.arguments...)
				if status != 1 || stdout != want+"\n" ||
					!strings.Contains(stderr, "1 notifications refuse to be "+strings.TrimSuffix(name, "e")) ||
					!strings.Contains(stderr, "notification_cleanup_refused") {
					t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
				}
			}
			for format, says := range map[string]string{
				"text":       "1 notifications, by undo or purge",
				"json":       `"notifications_refused":1}`,
				"prometheus": "\nnotification_cleanup_notifications_refused 1\n",
			} {
				stdout, stderr, _ := d.Program(nil, "health", "--format", format)
				if !strings.Contains(stdout, says) {
					t.Errorf("health says %s%s, want %q", stdout, stderr, says)
				}
			}
		})
	}
}
