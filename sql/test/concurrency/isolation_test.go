package concurrency

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// What is found and what is ranked are of one moment, so what a run plans is true of it.
func TestThePlanIsOfOneMoment(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, `
		CREATE SCHEMA app;
		CREATE TABLE app.inbox (id uuid, user_id uuid, status text, created_at timestamptz,
			deleted_at timestamptz);
		CREATE FUNCTION app.gate() RETURNS boolean LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM pg_advisory_xact_lock_shared(1);
			RETURN true;
		END $$;
		CREATE VIEW notifications AS
		SELECT ctid, tableoid, * FROM app.inbox WHERE status <> 'gate' OR app.gate()`)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Insert(pgtest.Bob, "gate", 2001, 2001)
	run, err := d.WhileWaiting(
		func() *pgtest.Background { return d.StartCleanup("") },
		func(other *pgtest.Database) {
			other.Exec("UPDATE app.inbox SET deleted_at = '2025-06-01Z' WHERE " + pgtest.FirstNotification)
			other.Insert(pgtest.Carol, "read", 3001, 4001)
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	if run.Planned != 901 {
		t.Errorf("planned %d, want 901", run.Planned)
	}
	d.WantDeletedBy(run, "2-901", pgtest.Counts{
		OverLimit: 1, Cleaned: 1, Deleted: 900, Changed: 1,
	})
}

func TestRepeatableReadFailsRatherThanOverwrite(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Exec("BEGIN ISOLATION LEVEL REPEATABLE READ")
	_, err := d.WhilePaused("", func(other *pgtest.Database) {
		other.Set("status = 'unread'", 1, 1)
	})
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "40001" {
		t.Fatalf("error %v instead of 40001", err)
	}
	d.Exec("ROLLBACK")
	d.WantCleanup("", "2-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 900})
}

func TestEveryIsolationLevel(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.InsertMixed()
			d.Exec("BEGIN ISOLATION LEVEL " + level)
			d.WantPreview(
				"",
				pgtest.PreviewOf(pgtest.Bob, 1001, 0, 901),
				pgtest.PreviewOf(pgtest.Alice, 1090, 50, 830),
				pgtest.PreviewOf(pgtest.Carol, 1001, 1001, 0),
			)
			d.WantCleanup(
				"",
				"171-1000 2001-2901",
				pgtest.Counts{OverLimit: 3, Cleaned: 2, StillOver: 1, Deleted: 1731},
			)
			d.WantPreview("", pgtest.PreviewOf(pgtest.Carol, 1001, 1001, 0))
			d.WantStats("", "2361 4 1")
			d.Exec("COMMIT")
		})
	}
}
