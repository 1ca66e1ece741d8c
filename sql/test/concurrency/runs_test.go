package concurrency

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// A run that gives way lets go of rows which another run has skipped meanwhile: it has to take them
// itself, although that other run has brought the user below the limit.
func TestTakesWhatAnotherRunSkippedBecauseOfIt(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Exec(`
		CREATE FUNCTION public.give_way() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
		BEGIN
			IF NOT pg_try_advisory_xact_lock_shared(1) THEN
				PERFORM pg_advisory_xact_lock_shared(1);
				RAISE lock_not_available;
			END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER give_way BEFORE UPDATE ON notifications FOR EACH ROW
		WHEN (OLD.id = lpad('450', 32, '0')::uuid) EXECUTE FUNCTION public.give_way()`)
	var other pgtest.Run
	run, err := d.WhileWaiting(
		func() *pgtest.Background { return d.StartCleanup(pgtest.UserIDs(pgtest.Alice)) },
		func(session *pgtest.Database) {
			other = session.Cleanup("")
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	if other.Skipped == 0 || run.Deleted != other.Skipped || run.Deleted+other.Deleted != 901 {
		t.Errorf("the other run counted %+v, this one %+v", other.Counts, run.Counts)
	}
}

func TestCountsNothingThatAnotherRunDeleted(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Insert(pgtest.Bob, "read", 2001, 3001)
	var first pgtest.Run
	second, err := d.WhilePaused("", func(other *pgtest.Database) {
		first = other.Cleanup(pgtest.UserIDs(pgtest.Alice))
	})
	if err != nil {
		t.Fatal(err)
	}
	d.WantDeletedBy(first, "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	d.WantDeletedBy(second, "2001-2901", pgtest.Counts{
		OverLimit: 2, Cleaned: 1, Deleted: 901, Changed: 901,
	})
}

func TestWorkersAddToOneRunAtTheSameTime(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.RowsPerPage(10)
	for user := 1; user <= 4; user++ {
		d.Insert(user, "read", 100*user, 100*user+50)
	}
	d.Plan("40, 10, batch_size => 1")
	var cleanups []*pgtest.Background
	for range 4 {
		cleanups = append(cleanups, d.OpenSession().StartBatches())
	}
	for _, cleanup := range cleanups {
		run, err := cleanup.Wait()
		if err != nil {
			t.Fatal(err)
		}
		d.WantDeletedBy(
			run,
			"100-140 200-240 300-340 400-440",
			pgtest.Counts{OverLimit: 4, Cleaned: 4, Deleted: 164},
		)
	}
	d.WantEnded("four workers")
}
