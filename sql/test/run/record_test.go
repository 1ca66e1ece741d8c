package run

import (
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestEmptyTableIsARunToo(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec("SET application_name = 'nightly'")
	before := pgtest.One[time.Time](d, "SELECT clock_timestamp()")
	run := d.WantCleanup("", "", pgtest.Counts{})
	after := pgtest.One[time.Time](d, "SELECT clock_timestamp()")
	if run.StartedAt.Before(before) || run.FinishedAt == nil || run.FinishedAt.Before(run.StartedAt) ||
		run.FinishedAt.After(after) {
		t.Errorf(
			"started %v, finished %v, but it ran from %v to %v",
			run.StartedAt,
			run.FinishedAt,
			before,
			after,
		)
	}
	user := pgtest.One[string](d, "SELECT session_user::text")
	if run.MaxNotifications != 1000 || run.MinKeep != 100 || run.Restored != 0 ||
		run.InvokedBy != user ||
		run.ApplicationName != "nightly" {
		t.Errorf("the record is %+v", run)
	}
	wantRecorded(d, run)
}

func TestEmptyListIsNobody(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	run := d.WantCleanup("user_ids => '{}'", "", pgtest.Counts{})
	wantRecorded(d, run)
}

// wantRecorded compares what a call returned with the run's record in the table.
func wantRecorded(d *pgtest.Database, run pgtest.Run) {
	d.T.Helper()
	runs := pgtest.Collect(
		d,
		pgx.RowToStructByName[pgtest.Run],
		"SELECT * FROM notification_cleanup_runs",
	)
	if len(runs) != 1 || !reflect.DeepEqual(runs[0], run) {
		d.T.Errorf("recorded is\n%+v, returned was\n%+v", runs, run)
	}
}

func TestARunEndsWhenItsBatchesAreDone(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Insert(pgtest.Carol, "unread", 4001, 5001)
	planned := d.Plan("")
	if planned.Counts != (pgtest.Counts{OverLimit: 2, StillOver: 1}) || planned.Planned != 901 {
		t.Errorf("planned is %+v", planned)
	}
	const record = "SELECT * FROM notification_cleanup_runs"
	read := func() pgtest.Run {
		return pgtest.Collect(
			d, pgx.RowToStructByName[pgtest.Run], record,
		)[0]
	}
	if n := d.Batch(pgtest.FirstRun); n != 901 {
		t.Errorf("deleted %d", n)
	}
	if done := read(); done.FinishedAt != nil ||
		done.Counts != (pgtest.Counts{OverLimit: 2, StillOver: 1, Deleted: 901}) {
		t.Errorf("after the last batch, the record is %+v", done)
	}
	if n := d.Batch(pgtest.FirstRun); n != -1 {
		t.Errorf("the end of the run is %d, want NULL", n)
	}
	ended := read()
	if ended.FinishedAt == nil || !ended.StartedAt.Equal(planned.StartedAt) {
		t.Errorf("the record was %+v, is %+v", planned, ended)
	}
	d.WantDeletedBy(
		ended,
		"1-901",
		pgtest.Counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 901},
	)
	if n := d.Batch(pgtest.FirstRun); n != -1 || !reflect.DeepEqual(read(), ended) {
		t.Errorf(
			"another call of a run that has ended is %d, want NULL, and the record %+v, want %+v",
			n,
			read(),
			ended,
		)
	}
	d.WantEnded("the run")
}

func TestRunsInOneTransactionDiffer(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Insert(pgtest.Bob, "read", 2001, 3001)
	d.Exec("BEGIN")
	first, second := d.Cleanup(pgtest.UserIDs(pgtest.Alice)), d.Cleanup("")
	d.Exec("COMMIT")
	d.WantDeletedBy(first, "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	d.WantDeletedBy(second, "2001-2901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestRunsThatOpenInTheSameMicrosecondDiffer(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("max_notifications => 2000")
	d.Exec(`
		CREATE SEQUENCE public.attempts;
		CREATE FUNCTION public.clash() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF nextval('public.attempts') <= 2 THEN
				NEW.started_at := (SELECT r.started_at FROM public.notification_cleanup_runs AS r);
			END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER clash BEFORE INSERT ON notification_cleanup_runs
		FOR EACH ROW
		EXECUTE FUNCTION public.clash()`)
	d.WantCleanup("", "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}
