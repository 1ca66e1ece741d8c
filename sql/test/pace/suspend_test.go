package pace

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

const suspend = "SELECT suspend_notification_cleanup('Ada undoes run 7')"

// wantSuspended looks if the last thing that a session was told is that the job is suspended.
func wantSuspended(d *pgtest.Database, notices func() string, begins string) {
	d.T.Helper()
	lines := strings.Split(strings.TrimSpace(notices()), "\n")
	if told := lines[len(lines)-1]; !strings.HasPrefix(told, begins+" suspended since ") ||
		!strings.HasSuffix(told, " by postgres: Ada undoes run 7") {
		d.T.Errorf("it was told %q", told)
	}
}

func TestNobodyPlansWhileTheJobIsSuspended(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]string{
		"function":  "SELECT cleanup_notifications(1, 0)",
		"plan":      "SELECT plan_notification_cleanup(1, 0)",
		"procedure": "CALL cleanup_notifications_in_batches(1, 0)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			singly(d)
			d.Exec(suspend)
			session, notices := d.WithNotices()
			if name != "procedure" && pgtest.One[*string](session, call+"::text") != nil {
				t.Errorf("%s does not return NULL", call)
			} else {
				session.Exec(call)
			}
			wantSuspended(d, notices, "the cleanup is")
			d.WantRuns()
			d.Exec("SELECT resume_notification_cleanup()")
			session.Exec(call)
			if run := d.Record(pgtest.FirstRun); run.Planned != 40 {
				t.Errorf("when it is resumed it plans %d", run.Planned)
			}
		})
	}
}

func TestNobodyContinuesARunWhileTheJobIsSuspended(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	singly(d)
	run := d.Plan(oneByOne)
	d.Batch(run)
	d.Exec(suspend)
	session, notices := d.WithNotices()
	if n := session.Batch(run); n != -1 {
		t.Errorf("a batch returns %d", n)
	}
	wantSuspended(d, notices, "run 1:")
	session.Exec("CALL cleanup_notifications_in_batches(1, 0)")
	wantSuspended(d, notices, "the cleanup is")
	d.WantRuns("(1,40,1,0,t)")

	d.Exec("SELECT resume_notification_cleanup()")
	d.Exec("CALL cleanup_notifications_in_batches(1, 0)")
	d.WantRuns("(1,40,40,1,f)", "(2,0,0,0,f)")
}

// Nothing but the end is left of such a run, and that deletes nothing.
func TestARunThatIsThroughEndsAlthoughTheJobIsSuspended(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	singly(d)
	run := d.Plan("1, 0")
	d.Batch(run)
	d.Exec(suspend)
	d.Batch(run)
	d.WantRuns("(1,40,40,1,f)")
}

func TestWhoeverWorksOnARunEndsAfterTheBatchWhenTheJobIsSuspended(t *testing.T) {
	t.Parallel()
	for name, job := range map[string]func(*pgtest.Database) *pgtest.Background{
		"batches": func(d *pgtest.Database) *pgtest.Background {
			d.Plan(oneByOne)
			return d.OpenSession().StartBatches()
		},
		"procedure": func(d *pgtest.Database) *pgtest.Background {
			return d.OpenSession().StartProcedure(oneByOne)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			singly(d)
			goOn := d.PauseAt(1)
			background := job(d)
			d.Eventually(pgtest.Blocked)
			before := pgtest.One[int](d, "SELECT count(deleted_at) FROM notifications")
			d.OpenSession().Exec(suspend)
			goOn()
			if _, err := background.Wait(); err != nil {
				t.Fatal(err)
			}
			if n := int(d.Record(pgtest.FirstRun).Deleted); n != before+1 {
				t.Errorf("%d were deleted, %d of them before", n, before)
			}
		})
	}
}

// Nobody else could do what a function has left: its run is of its own transaction.
func TestTheFunctionGivesUpItsRestWhenTheJobIsSuspended(t *testing.T) {
	t.Parallel()
	d := pgtest.NewOf(t, "range of time") // a batch lies in one partition
	d.Insert(pgtest.Alice, "read", 1, 60)
	goOn := d.PauseAt(1)
	call := d.OpenSession().StartCleanup("1, 0")
	d.Eventually(pgtest.Blocked)
	d.OpenSession().Exec(suspend)
	goOn()
	run, err := call.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if run.FinishedAt != nil || run.Deleted == 0 || run.Deleted == 60 {
		t.Errorf("it returned %+v", run)
	}
	d.WantNone("the function", "something is left of the run", `
		SELECT run_id::text FROM notification_cleanup_open_runs`)
	d.Exec("SELECT resume_notification_cleanup(); SELECT cleanup_notifications(1, 0)")
	left := pgtest.One[int](d, "SELECT count(*) - count(deleted_at) FROM notifications")
	if left != 0 {
		t.Errorf("the next one left %d", left)
	}
}

func TestASuspensionSurvivesARestart(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t)
	d := server.New()
	singly(d)
	d.Exec(suspend)
	server.Stop()
	server.Start()
	session, notices := d.WithNotices()
	session.Exec("CALL cleanup_notifications_in_batches(1, 0)")
	wantSuspended(d, notices, "the cleanup is")
}

func TestASuspensionSaysSinceWhenByWhomAndWhy(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	const health = `
		SELECT concat_ws(' ', last_outcome, regexp_replace(suspension, 'since .* by', 'since then by'))
		FROM notification_cleanup_health`
	d.Exec(`
		SET application_name = 'Ada''s laptop';
		SELECT suspend_notification_cleanup('the disk is full')`)
	if got, want := pgtest.One[string](d, health),
		"suspended since then by postgres: the disk is full"; got != want {
		t.Errorf("health says %q, want %q", got, want)
	}
	if n := pgtest.One[int](d, `
		SELECT count(*)
		FROM notification_cleanup_suspension
		WHERE suspended_by = session_user
			AND application_name = 'Ada''s laptop'
			AND suspended_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp()`,
	); n != 1 {
		t.Error("it does not note who and when")
	}

	session, notices := d.WithNotices()
	if pgtest.One[bool](session, suspend) {
		t.Error("a second one is taken for the first")
	}
	if told := notices(); !strings.HasPrefix(told, "was suspended already since ") ||
		!strings.HasSuffix(told, ": the disk is full\n") {
		t.Errorf("it was told %q", told)
	}
	if got, want := pgtest.One[string](d, health),
		"suspended since then by postgres: Ada undoes run 7"; got != want {
		t.Errorf("health says %q, want %q", got, want)
	}
	const resume = "SELECT resume_notification_cleanup()"
	if first, second := pgtest.One[bool](d, resume), pgtest.One[bool](d, resume); !first || second {
		t.Errorf("resuming it twice returns %v and %v", first, second)
	}
	if got := pgtest.One[string](d, health); got != "never ran" {
		t.Errorf("health says %q", got)
	}
}

func TestASuspensionWantsAReason(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	for _, reason := range []string{"NULL", "''", "'  '"} {
		if err := d.Refused("SELECT suspend_notification_cleanup("+reason+")", "22023"); err.Hint == "" {
			t.Errorf("no hint for %s", reason)
		}
	}
	d.Exec("SELECT resume_notification_cleanup()")
}
