package main

import (
	"strings"
	"testing"
	"time"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestAdoptMakesWhatDependsOnTypesAnew(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, `
		CREATE TABLE notifications (
			id integer PRIMARY KEY,
			user_id integer,
			status text,
			created_at timestamptz
		)`)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Exec("SELECT cleanup_notifications(1000, 900)")
	d.Exec("SELECT plan_notification_cleanup(500, 10, 100); SELECT cleanup_next_batch(2)")
	role := d.Role()
	d.Exec(`GRANT EXECUTE ON FUNCTION preview_notification_cleanup(integer, integer) TO ` + role + `;
		GRANT SELECT (id), INSERT (max_notifications) ON notification_cleanup_runs TO ` + role + `;
		GRANT SELECT ON notification_cleanup_batches TO ` + role + ` WITH GRANT OPTION;
		SELECT suspend_notification_cleanup('types change')`)
	granted := pgtest.All[string](d, grantsQuery+" ORDER BY 1")

	d.Exec(`
		ALTER TABLE notifications ALTER id TYPE bigint, ALTER user_id TYPE bigint`)
	says := d.Refused("SELECT cleanup_next_batch(2)", "42804")
	if !strings.Contains(says.Message, "column user_id is bigint, and was integer") ||
		!strings.Contains(says.Hint, "migrate adopt") {
		t.Errorf("it says %s, hint %s", says.Message, says.Hint)
	}
	migrateTo(t, d, "adopt")

	d = d.OpenSession()
	if got := pgtest.All[string](d, grantsQuery+" ORDER BY 1"); strings.Join(got, "\n") !=
		strings.Join(granted, "\n") || len(got) < 4 {
		t.Errorf("granted is %q, want %q", got, granted)
	}
	if got := pgtest.One[string](d, "SELECT reason FROM notification_cleanup_suspension"); got !=
		"types change" {
		t.Errorf("suspended because of %q", got)
	}
	d.Exec("SELECT resume_notification_cleanup()")
	if n := pgtest.One[int](d, "SELECT count(*) FROM notification_cleanup_runs"); n != 2 {
		t.Errorf("%d runs are in the history, want 2", n)
	}
	d.Exec("SELECT restore_notifications(2); SELECT restore_notifications(1)")
	d.WantCleanup("", "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestAdoptRefusesWhatUpRefuses(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, `
		CREATE TABLE notifications (
			id integer PRIMARY KEY,
			user_id integer,
			status text,
			created_at timestamptz
		)`)
	installed := pgtest.One[string](d, pgtest.OurObjects)
	d.Exec("ALTER TABLE notifications ALTER user_id TYPE integer[] USING ARRAY[user_id]")
	_, stderr, status := command(t, d, nil, "migrate", "adopt")
	if status != 1 || !strings.Contains(stderr, "user_id must be of a base type") ||
		pgtest.One[string](d, pgtest.OurObjects) != installed {
		t.Errorf("exit status %d, stderr %s", status, stderr)
	}
}

func TestAdoptLetsTheApplicationPass(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Plan("100, 100, batch_size => 300")
	worker := d.OpenSession()
	worker.Exec("BEGIN; SELECT cleanup_next_batch(1)")
	cmd, _, stderr := process(t, d.URL(), "migrate", "adopt")
	for start := time.Now(); !strings.Contains(stderr.String(), "did not get a lock in time"); {
		if time.Since(start) > 30*time.Second {
			t.Fatalf("it says %s", stderr)
		}
		time.Sleep(time.Millisecond)
	}
	worker.Exec("COMMIT")
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("then it says %s", stderr)
	}
}
