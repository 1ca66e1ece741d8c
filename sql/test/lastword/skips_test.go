package lastword

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestSkipsALockedNotification(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Insert(pgtest.Bob, "read", 2001, 3001)
	d.Hold(pgtest.FirstNotification)
	d.WantCleanup(
		"",
		"2-901 2001-2901",
		pgtest.Counts{OverLimit: 2, Cleaned: 2, Deleted: 1801, Skipped: 1},
	)
}

func TestSkippedOnesMayKeepAUserOverTheLimit(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	other := d.Hold("true")
	d.WantCleanup("", "", pgtest.Counts{OverLimit: 1, StillOver: 1, Skipped: 901})
	other.Exec("ROLLBACK")
	d.WantCleanup("", "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestSkippedOnesAddUpInOneRun(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.RowsPerPage(2)
	d.Insert(pgtest.Alice, "read", 1, 40)
	d.Insert(pgtest.Bob, "read", 101, 140)
	d.Hold(pgtest.NotificationNumber + " IN (1, 2, 101)")
	run, err := d.StartProcedure("30, 0, batch_size => 1").Wait()
	if err != nil {
		t.Fatal(err)
	}
	d.WantDeletedBy(
		run,
		"3-40 102-140",
		pgtest.Counts{OverLimit: 2, Cleaned: 2, Deleted: 77, Skipped: 3},
	)
}

// Some of the held ones are one user's, some another's; some pages are held as a whole.
func TestAThousandHeldOnesAreAllThatIsLeft(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(d *pgtest.Database) *pgtest.Background{
		"function": func(d *pgtest.Database) *pgtest.Background {
			return d.StartCleanup("")
		},
		"procedure": func(d *pgtest.Database) *pgtest.Background {
			return d.StartProcedure("batch_size => 100")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Insert(pgtest.Alice, "read", 1, 2000)
			d.Insert(pgtest.Bob, "read", 3001, 4500)
			other := d.Hold(
				pgtest.NotificationNumber + " BETWEEN 901 AND 1400 OR " + pgtest.NotificationNumber +
					" BETWEEN 3001 AND 3500",
			)
			run, err := start(d).Wait()
			if err != nil {
				t.Fatal(err)
			}
			d.WantDeletedBy(
				run,
				"1-900 1401-1900 3501-4400",
				pgtest.Counts{OverLimit: 2, Cleaned: 2, Deleted: 2300, Skipped: 1000},
			)
			other.Exec("ROLLBACK")
			d.WantCleanup("", "", pgtest.Counts{}) // each has 600 left
			d.WantCleanup(
				"500",
				"901-1400 3001-3500",
				pgtest.Counts{OverLimit: 2, Cleaned: 2, Deleted: 1000},
			)
		})
	}
}

func TestIgnoresLocksOnWhatItKeeps(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Insert(pgtest.Alice, "unread", 1002, 1100)
	d.Hold(pgtest.NotificationNumber + " > 901")
	d.WantCleanup("", "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestSkipsNothingOfAUserWhoHasNothingToDeleteAnyMore(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	run, err := d.WhilePaused("", func(other *pgtest.Database) {
		other.Set("status = 'unread'", 1, 951)
	})
	if err != nil {
		t.Fatal(err)
	}
	d.WantDeletedBy(run, "", pgtest.Counts{OverLimit: 1, StillOver: 1, Changed: 901})
}

func TestSkipsWhatAnOpenRunHasDeleted(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Insert(pgtest.Bob, "read", 2001, 3001)
	other := d.OpenSession()
	other.Exec("BEGIN")
	first := other.Cleanup(pgtest.UserIDs(pgtest.Alice))
	second := d.Cleanup("")
	other.Exec("COMMIT")
	d.WantDeletedBy(first, "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	d.WantDeletedBy(
		second,
		"2001-2901",
		pgtest.Counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 901, Skipped: 901},
	)
}
