package lastword

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// changes are what another transaction may do to a doomed notification, and the condition by which
// it shows in the end.
var changes = map[string]struct{ statement, shows string }{
	"marked unread": {
		"UPDATE notifications SET status = 'unread'",
		"status = 'unread' AND deleted_at IS NULL",
	},
	"moved": {
		"UPDATE notifications SET user_id = " + pgtest.Key(pgtest.Bob),
		"user_id = " + pgtest.Key(pgtest.Bob) + " AND deleted_at IS NULL",
	},
	"soft-deleted": {`
		UPDATE notifications SET deleted_at = '2025-06-01Z'`, "deleted_at = '2025-06-01Z'"},
	"postponed": {
		"UPDATE notifications SET created_at = 'infinity'",
		"created_at = 'infinity' AND deleted_at IS NULL",
	},
	"deleted": {"DELETE FROM notifications", "false"},
}

// interleaving is when another transaction changes a notification, and how it ends.
type interleaving struct {
	afterSnapshot bool // of the batch, else before it
	held          bool // beyond the end of the cleanup, else only while the cleanup is paused
	ending        string
}

var interleavings = []interleaving{
	{false, false, "COMMIT"}, // between plan and batch
	{false, true, "COMMIT"},
	{false, true, "ROLLBACK"},
	{true, false, "COMMIT"},
	{true, true, "COMMIT"},
	{true, true, "ROLLBACK"},
}

// run starts a cleanup for a change of the first notification of alice, and tells if the other
// transaction has the last word on it.
func (i interleaving) run(
	d *pgtest.Database,
	start func() *pgtest.Background,
	change string,
) (run pgtest.Run, lastWord bool) {
	d.T.Helper()
	var other *pgtest.Database
	work := func(session *pgtest.Database) {
		other = session
		other.Exec("BEGIN; " + changes[change].statement + " WHERE " + pgtest.FirstNotification)
		if !i.held {
			other.Exec(i.ending)
		}
	}
	var err error
	if i.afterSnapshot {
		d.Pause()
		run, err = d.WhileWaiting(start, work)
	} else {
		work(d.OpenSession())
		run, err = start().Wait()
	}
	if err != nil {
		d.T.Fatal(err)
	}
	shows := changes[change].shows
	if i.held {
		other.Exec(i.ending)
	}
	if i.ending == "ROLLBACK" {
		shows = "status = 'read' AND user_id = " + pgtest.Key(
			pgtest.Alice,
		) + " AND deleted_at IS NULL AND isfinite(created_at)"
	}
	return run, pgtest.One[bool](
		d,
		"SELECT coalesce(bool_and("+shows+"), true) FROM notifications WHERE "+pgtest.FirstNotification,
	)
}

func TestAnotherTransactionHasTheLastWord(t *testing.T) {
	t.Parallel()
	const size, limits = 60, "50, 10" // and 50 to delete
	kinds := []string{"plain", "hash of the user", "range of time"}
	if pgtest.OnCitus() {
		kinds = kinds[:1] // which is distributed
	}
	for i, interleaving := range interleavings {
		for j, change := range slices.Sorted(maps.Keys(changes)) {
			for k, caller := range []string{"function", "procedure"} {
				if caller == "function" && !interleaving.afterSnapshot && !interleaving.held ||
					change == "moved" && pgtest.OnCitus() {
					continue // it has nothing between its plan and its batch, or Citus refuses the change
				}
				kind := kinds[(i+j+k)%len(kinds)] // each meets each caller, interleaving and change
				t.Run(fmt.Sprintf("%s %+v %s %s", change, interleaving, caller, kind), func(t *testing.T) {
					t.Parallel()
					d := pgtest.NewOf(t, kind)
					d.Insert(pgtest.Alice, "read", 1, size)
					start := func() *pgtest.Background { return d.StartCleanup(limits) }
					if caller != "function" {
						d.Plan(limits)
						if kind == "range of time" {
							d.WantBatches(29, 21)
						} else {
							d.WantBatches(50)
						}
						start = func() *pgtest.Background { return d.StartProcedure(limits) }
					}
					run, lastWord := interleaving.run(d, start, change)
					want := pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 49}
					if interleaving.held {
						want.Skipped = 1 // a count of the record, notifications_skipped: the one that is held
					} else {
						want.Changed = 1
					}
					d.WantDeletedBy(run, "2-50", want)
					if !lastWord {
						t.Error("the cleanup has overwritten it")
					}
					d.WantEnded("the call")
				})
			}
		}
	}
}

// The statement that comes to mind first looks at the state of a notification in the subquery only.
// That it fails the test above shows what the repeated conditions are for.
func TestTheNaiveStatementOverwritesAnotherTransaction(t *testing.T) {
	t.Parallel()
	if pgtest.OnCitus() {
		t.Skip("its statement is none for Citus")
	}
	const naive = `
		CREATE
			OR REPLACE FUNCTION cleanup_notifications(max_notifications integer DEFAULT 1000,
				min_keep integer DEFAULT 100,
			user_ids notification_user_id[] DEFAULT NULL, max_deletions bigint DEFAULT NULL)
		RETURNS notification_cleanup_runs LANGUAGE plpgsql AS $$
		DECLARE
			run notification_cleanup_runs;
		BEGIN
			INSERT INTO notification_cleanup_runs (max_notifications, min_keep)
			VALUES (1000, 100) RETURNING * INTO run;
			UPDATE notifications SET deleted_at = run.started_at
			WHERE id IN (SELECT id
				FROM (SELECT id, row_number() OVER (ORDER BY created_at DESC, id DESC) AS newest
					FROM notifications
				WHERE status = 'read' AND deleted_at IS NULL) AS ranked WHERE newest > 100);
			RETURN run;
		END $$`
	for _, change := range []string{"marked unread", "moved", "soft-deleted", "postponed"} {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Insert(pgtest.Alice, "read", 1, 1001)
			d.Exec(naive)
			if _, lastWord := (interleaving{afterSnapshot: true, ending: "COMMIT"}).run(
				d, func() *pgtest.Background { return d.StartCleanup("") }, change,
			); lastWord {
				t.Error("it has not")
			}
		})
	}
}
