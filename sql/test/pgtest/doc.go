// Package pgtest is what the tests of the SQL and of the program have in common. It is about
// databases, what is in them, and how the job is called there.
//
// # A suite
//
// A suite is a folder of sql/test and proves one thing. Each has
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
// Marks behind m say where it runs besides make test: AlsoLong in make test-long, AlsoOnCitus in
// make test-citus. A test that says Long runs in make test-long only; one that says Slow is left
// out with -short, as in make mutate.
//
// A suite runs on the server that TEST_DATABASE_URL names, the scratch server of a superuser. Main
// migrates a template database once and drops all that the suite has made when it ends. Several
// suites may run on one server at once: the names of their databases and roles begin with the
// process id. The suites, in the order in which one may read them:
//
//   - rule: who is over the limit, what goes, what is kept, preview and limits;
//   - run: plan, batches, procedure, record, what they cost, and what stops them;
//   - lastword: rows that others hold or change; on Citus, too;
//   - concurrency: isolation, rows that move, runs beside each other, giving way;
//   - exact: each notification goes and is counted once, whatever is killed; on Citus, too;
//   - load: an application at work, a full disk;
//   - pace: resting, waiting for replicas, stopping;
//   - undo: restore and purge;
//   - safety: arguments, rights, search_path;
//   - types: what the columns may be, and what follows when they change;
//   - odd: settings that a database may have;
//   - adoption: an application's tables, views and partitions, migrations;
//   - recipes: each block of RECIPES.md; documents: the reference, links, pictures;
//   - doctor, with health; pgcron;
//   - model: random operations, compared with a model; on Citus, too.
//
// # A database
//
// Each test has a database of its own, and is parallel to the others:
//
//	func TestKeepsUnread(t *testing.T) {
//		t.Parallel()
//		d := pgtest.New(t)
//		d.Insert(pgtest.Alice, "unread", 1, 500)
//		d.Insert(pgtest.Alice, "read", 501, 1001)
//		d.WantCleanup("", "501-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 401})
//	}
//
// New clones the template. NewOf does so for a partitioned table, Empty has nothing installed, and
// Adopt installs on what an application has made. On an empty database, Migrate does what
// `notification-cleanup migrate up` does, ApplyMigrations what plain goose does.
//
// A Database is one session. OpenSession is another session in the same database, Connect a bare
// connection. No statement may take longer than 10 seconds there: nothing here does, unless it
// waits for what it should not wait for. Exec executes statements and All, One and Collect return
// rows; all of them end the test when a statement fails. Refused is for one that must fail.
//
// Role makes a role with the privileges that are named, RoleTo one with the grants for some uses.
//
// When a test has failed, its statements are printed, to be repeated in psql. With
// KEEP_DATABASES=1 its database is kept, too.
//
// # What is in it
//
// Insert gives a user notifications that are known by their numbers, a minute apart. Set changes
// some of them. RowsPerPage and InsertWide say how they lie on pages, InsertMixed makes one inbox
// of each kind. Larger fixtures are texts for Exec: Inboxes, Crowd, Expired.
//
// # How the job is called
//
//   - the function: Cleanup, or WantCleanup, which compares what went as well;
//   - the procedure: Exec("CALL cleanup_notifications_in_batches()");
//   - a plan and its batches: Plan, then Batch for one of them or Drain for all that are left;
//   - the program: Program, or StartProgram. It is compiled once for each suite that asks for it.
//
// Ways has the function, the procedure and the program, to prove the same of all. WantJob does all
// that there is to do, from the preview to the purge, on whatever a test has made. Calls in the
// background are begun by StartCleanup, StartProcedure, StartBatches, StartCalls or
// BatchInBackground; Eventually waits until a query says that they are where they should be.
//
// # What others do meanwhile
//
// Hold keeps rows locked by another session. Pause makes each batch wait between its snapshot and
// its first lock, and WhilePaused lets another session work just then. PauseAt stops at the update
// of one notification, BlockUser2 at those of one user of Inboxes. Blocked is true while a session
// waits for a lock.
//
// # What went
//
// Numbers names notifications by a condition, as in "1-901 950". WantDeletedBy compares what a run
// deleted, and its Counts. WantRuns compares the records, WantQueue and WantBatches what is left
// to do, WantEnded is for when no run should be open, and WantNone for a query that finds broken
// promises.
//
// # A server of one's own
//
// NewServer starts a server that the test may Stop, Kill or Start again, or fill, or give a
// Standby. Server.New and Server.Adopt make databases there.
//
// # Citus
//
// Where TEST_DATABASE_URL is the coordinator of a cluster, each of its nodes has a clone of the
// template, and the notifications are distributed: see OnCitus.
package pgtest
