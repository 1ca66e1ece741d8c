package adoption

import (
	"fmt"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestTheReadmeInstallsOnAnApplicationsTable(t *testing.T) {
	eachShape(t, func(t *testing.T, s shape) {
		d := s.adopted(t, "SELECT")
		// The application's columns, and which of its rows have gone, asked of its own table.
		columns := "SELECT count(*) || ' ' || md5(string_agg((to_jsonb(n) - 'deleted_at')::text, ' '" +
			" ORDER BY id)) FROM " + s.table + " AS n"
		gone := func() string {
			return pgtest.Ranges(
				pgtest.All[int](
					d,
					"SELECT "+pgtest.NotificationNumber+" FROM "+s.table+" WHERE deleted_at IS NOT NULL ORDER"+
						" BY 1",
				),
			)
		}
		before := pgtest.One[string](d, columns)
		deletable := len(pgtest.All[int](d, `
			SELECT i FROM made WHERE owner = 1 AND owner_type = 'User' AND read AND i <= 1000`))
		if s.went != "51-1000" {
			deletable -= 60
		}
		want := pgtest.Counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: int64(deletable)}

		role := d.Role()
		d.GrantUses(role, "clean up")
		d.Exec("SET ROLE " + role)
		d.WantPreview(
			"",
			pgtest.PreviewOf(pgtest.Alice, 1100, 50, int64(deletable)),
			pgtest.PreviewOf(pgtest.Carol, 1001, 1001, 0),
		)
		d.WantStats("", "3101 3 2")
		d.WantCleanup("", s.went, want)
		d.Exec("RESET ROLE")
		if gone() != s.went {
			t.Errorf("the function deleted %s, want %s", gone(), s.went)
		}
		d.Exec("SELECT restore_notifications(1)")
		run, err := d.OpenSession().StartCalls(`
			CALL cleanup_notifications_in_batches(batch_size => 100)`, `
				SELECT * FROM notification_cleanup_runs WHERE id = 2`).Wait()
		if err != nil {
			t.Fatal(err)
		}
		d.WantDeletedBy(run, s.went, want)
		program := func(arguments ...string) {
			if _, stderr, status := d.Program(
				map[string]string{"SCHEMA": s.schema}, arguments...,
			); status != 0 {
				t.Fatalf("%v: exit status %d: %s", arguments, status, stderr)
			}
		}
		program("restore", "2")
		if gone() != "" {
			t.Errorf("after undo %s are deleted", gone())
		}
		program("run", "--workers", "2", "--batch-size", "100")
		d.WantDeletedBy(d.Record(pgtest.Run{ID: 3}), s.went, want)
		if after := pgtest.One[string](d, columns); after != before || gone() != s.went {
			t.Errorf(
				"the application's columns were %s, are %s; %s are deleted, want %s",
				before,
				after,
				gone(),
				s.went,
			)
		}

		if n := pgtest.One[int](d, "SELECT purge_notifications('1 microsecond', 100)"); n != 100 {
			t.Errorf("purged %d, want 100", n)
		}
		program("purge", "--retention", "1us")
		const purged = "SELECT m.i FROM made AS m WHERE (owner_type = 'User' OR %t) AND NOT EXISTS" +
			" (SELECT FROM %s WHERE " + pgtest.NotificationNumber + " = m.i) ORDER BY 1"
		if got := pgtest.Ranges(pgtest.All[int](
			d, fmt.Sprintf(purged, strings.Contains(s.create, "_type "), s.table),
		)); got != s.went {
			t.Errorf("purged are %s, want %s", got, s.went)
		}
	})
}

func TestTheIndexesOfTheReadmeServe(t *testing.T) {
	eachShape(t, func(t *testing.T, s shape) {
		d := s.adopted(t, `ALTER TABLE `+s.table+` SET (autovacuum_enabled = off);
			INSERT INTO made
			SELECT 10000 + i, 4 + i % 2000, 'User', 'comment', true, '2025-01-01 00:00Z', repeat('x', 200)
			FROM generate_series(1, 20000) AS i;
			INSERT INTO `+s.table+` `+s.insert+` AND i > 10000`)
		d.Vacuum(s.table)
		for _, step := range []struct {
			before, call string
			atMost       int
		}{
			// Finding and counting read the index alone, ranking reads the inboxes over the limit,
			// a batch its pages, the others what they change.
			{"", "SELECT count(*) FROM preview_notification_cleanup(100000)", 0},
			{"", "SELECT * FROM notification_stats()", 0},
			{"", "SELECT * FROM plan_notification_cleanup(batch_size => 100)", 2101},
			{"", "SELECT cleanup_next_batch(1)", 500},
			{"", "SELECT restore_notifications(1)", 500},
			{"SELECT cleanup_notifications()", "SELECT purge_notifications('1 microsecond', 10)", 50},
		} {
			session := d.OpenSession()
			d.Exec(step.before)
			session.Exec("BEGIN; " + step.call)
			read := fmt.Sprintf(`
				SELECT coalesce(idx_tup_fetch, 0) + seq_tup_read
				FROM pg_stat_xact_user_tables
				WHERE relid = '%s'::regclass`, s.table)
			if n := pgtest.One[int](session, read); n > step.atMost {
				t.Errorf("%s reads %d rows, want %d at most", step.call, n, step.atMost)
			}
			session.Exec("COMMIT")
		}
	})
}

func TestCreatedAtWithoutTimeZoneIsReadAsUTC(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ shape, zone string }{
		{"Laravel", "UTC"},
		{"Laravel", "Asia/Kolkata"},
		{"Laravel", "America/New_York"},
		{"Rails", "UTC"},
		{"Rails", "America/New_York"},
	} {
		t.Run(test.shape+" "+test.zone, func(t *testing.T) {
			t.Parallel()
			s := shapes[test.shape]
			d := s.adopted(t, "SELECT")
			const createdAt = `
				SELECT format_type(typbasetype, typtypmod)
				FROM pg_type
				WHERE oid = 'notification_created_at'::regtype`
			if got := pgtest.One[string](d, createdAt); got != s.createdAt {
				t.Errorf("notification_created_at is %s, want %s", got, s.createdAt)
			}
			d.Exec(
				"ALTER TABLE notification_cleanup_runs ALTER started_at SET DEFAULT '2025-01-01 00:10Z';" +
					" SET timezone = '" + test.zone + "'",
			)
			d.Cleanup("min_keep => 0, user_ids => '{1}'")
			if got := d.Numbers("deleted_at IS NOT NULL"); got != "51-87" {
				t.Errorf("deleted are %s, want 51-87", got)
			}
		})
	}
}

func TestAUserMayGoInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	const goes = "DELETE FROM users WHERE id = '00000000000000000000000000000001'"
	for name, meanwhile := range map[string]func(d, application *pgtest.Database) (skipped int){
		"between two batches": func(d, application *pgtest.Database) int {
			application.Exec(goes)
			d.Drain(pgtest.FirstRun)
			return 0
		},
		"and be on the way": func(d, application *pgtest.Database) int {
			application.Exec("BEGIN; " + goes)
			d.Drain(pgtest.FirstRun) // waits for nobody
			application.Exec("COMMIT")
			return 850
		},
		"and wait for a batch": func(d, application *pgtest.Database) int {
			d.Exec("BEGIN")
			if n := d.Batch(pgtest.FirstRun); n < 1 {
				d.T.Errorf("the batch deleted %d", n)
			}
			gone := application.StartCalls(goes, "SELECT * FROM notification_cleanup_runs WHERE id = 1")
			d.Eventually(pgtest.Blocked)
			d.Exec("COMMIT")
			if _, err := gone.Wait(); err != nil {
				d.T.Error(err)
			}
			d.Drain(pgtest.FirstRun)
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shapes["the table this was made for"]
			d := s.adopted(t, "SELECT")
			d.Plan("batch_size => 100")
			first := d.Batch(pgtest.FirstRun)
			skipped := meanwhile(d, d.OpenSession())
			d.WantEnded("the run")
			if run := d.Record(pgtest.FirstRun); first < 1 || run.Skipped != int64(skipped) ||
				run.Deleted < int64(first) ||
				run.Cleaned != 1 {
				t.Errorf("after a first batch of %d the record is %+v, want %d skipped", first, run, skipped)
			}
			if got := d.Numbers("true"); got != "2001-4001" {
				t.Errorf("%s are left, want those of the others", got)
			}
		})
	}
}
