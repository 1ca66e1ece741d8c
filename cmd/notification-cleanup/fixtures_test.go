package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// runRecord is a row of notification_cleanup_runs.
type runRecord struct {
	ID               int64      `db:"id"`
	StartedAt        time.Time  `db:"started_at"`
	FinishedAt       *time.Time `db:"finished_at"`
	MaxNotifications int32      `db:"max_notifications"`
	MinKeep          int32      `db:"min_keep"`
	Planned          int64      `db:"notifications_planned"`
	counts
	Restored        int64  `db:"notifications_restored"`
	InvokedBy       string `db:"invoked_by"`
	ApplicationName string `db:"application_name"`
}

type counts struct {
	OverLimit int64 `db:"users_over_limit"`
	Cleaned   int64 `db:"users_cleaned"`
	StillOver int64 `db:"users_still_over_limit"`
	Deleted   int64 `db:"notifications_deleted"`
	Skipped   int64 `db:"notifications_skipped"`
}

func cleanupCall(arguments string) string {
	return "SELECT * FROM cleanup_notifications(" + arguments + ")"
}

// cleanup calls cleanup_notifications with these arguments.
func (d *database) cleanup(arguments string) runRecord {
	d.t.Helper()
	d.note(cleanupCall(arguments))
	return collect(d, pgx.RowToStructByName[runRecord], cleanupCall(arguments))[0]
}

// background is a call of cleanup_notifications that may still be under way.
type background struct {
	done chan struct{}
	run  runRecord
	err  error
}

func (d *database) startCleanup(arguments string) *background {
	return d.startCalls(cleanupCall(arguments))
}

// startProcedure calls the procedure for run 1, which is planned already or to be planned by it.
func (d *database) startProcedure(arguments string) *background {
	return d.startCalls("CALL cleanup_notifications_in_batches("+arguments+")", "SELECT * FROM notification_cleanup_runs WHERE id = 1")
}

// startBatches does one batch after another of run 1, until it has ended.
func (d *database) startBatches() *background {
	return d.startCalls("DO $$ BEGIN WHILE cleanup_next_batch(1) IS NOT NULL LOOP COMMIT; END LOOP; END $$", "SELECT * FROM notification_cleanup_runs WHERE id = 1")
}

// startCalls executes these statements, of which the last one returns the record.
func (d *database) startCalls(statements ...string) *background {
	d.note("/* in the background */ " + strings.Join(statements, "; "))
	b := &background{done: make(chan struct{})}
	go func() {
		defer close(b.done)
		last := len(statements) - 1
		for _, statement := range statements[:last] {
			if _, b.err = d.conn.Exec(context.Background(), statement); b.err != nil {
				return
			}
		}
		rows, _ := d.conn.Query(context.Background(), statements[last])
		b.run, b.err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[runRecord])
	}()
	return b
}

func (b *background) wait() (runRecord, error) {
	<-b.done
	return b.run, b.err
}

// wantCleanup opens a run, and compares the numbers of the notifications that it deleted ("1-901 950") and its counts.
func (d *database) wantCleanup(arguments, deleted string, want counts) runRecord {
	d.t.Helper()
	before := d.numbers("deleted_at IS NOT NULL")
	run := d.cleanup(arguments)
	d.wantDeletedBy(run, deleted, want)
	if after := d.numbers(fmt.Sprintf("deleted_at <> (%s)", run.startedAt())); after != before {
		d.t.Errorf("not by this run are deleted %q, want as before %q", after, before)
	}
	return run
}

func (d *database) wantDeletedBy(run runRecord, deleted string, want counts) {
	d.t.Helper()
	if got := d.numbers(fmt.Sprintf("deleted_at = (%s)", run.startedAt())); got != deleted {
		d.t.Errorf("run %d deleted %q, want %q", run.ID, got, deleted)
	}
	if run.counts != want {
		d.t.Errorf("run %d counted\n%+v, want\n%+v", run.ID, run.counts, want)
	}
}

func (r runRecord) startedAt() string {
	return fmt.Sprintf("SELECT started_at FROM notification_cleanup_runs WHERE id = %d", r.ID)
}

// vacuum makes each page of the table all-visible. A session that starts elsewhere on the server, and is in no database yet, can delay that.
func (d *database) vacuum(table string) {
	d.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		d.exec("VACUUM ANALYZE " + table)
		if one[bool](d, "SELECT relallvisible = relpages FROM pg_class WHERE oid = '"+table+"'::regclass") {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%s is not all-visible", table)
		}
	}
}

// setForDatabase makes a setting the default in the database.
func setForDatabase(setting string) string {
	return "DO $do$ BEGIN EXECUTE format('ALTER DATABASE %I SET ', current_database()) || $setting$" + setting + "$setting$; END $do$"
}

// setSearchPath makes a search_path the default in the database.
func setSearchPath(path string) string { return setForDatabase("search_path = " + path) }

const (
	alice = 1
	bob   = 2
	carol = 3
)

// key is the id or user_id with this number, as a literal for a uuid, a bigint or a text column.
func key(number int) string { return fmt.Sprintf("'%032d'", number) }

// usersArgument is the argument user_ids for these users.
func usersArgument(numbers ...int) string {
	keys := make([]string, len(numbers))
	for i, number := range numbers {
		keys[i] = strings.Trim(key(number), "'")
	}
	return "user_ids => '{" + strings.Join(keys, ",") + "}'"
}

// insert gives the user the notifications numbered first to last, stored in no particular order. Their ids are their
// numbers, and each was created a minute after the one before it.
func (d *database) insert(user int, status string, first, last int) {
	d.t.Helper()
	d.exec(fmt.Sprintf(`INSERT INTO notifications (id, user_id, status, created_at)
SELECT lpad(i::text, 32, '0')::%s, %s, '%s', timestamptz '2025-01-01 00:00Z' + i * interval '1 minute'
FROM generate_series(%d, %d) AS i ORDER BY hashint4(i)`, d.typeOf("id"), key(user), status, first, last))
}

// rowsPerPage makes the notifications to be inserted so long that no more than these have room on a page. With one, some pages hold
// only what is kept: then there are fewer victims than pages, and a batch is some users. With more, it is a range of pages.
func (d *database) rowsPerPage(n int) {
	d.t.Helper()
	if server.workers == nil { // on a cluster it is so from the beginning
		d.exec("ALTER TABLE notifications ALTER message SET STORAGE PLAIN")
	}
	d.exec(fmt.Sprintf("ALTER TABLE notifications ALTER message SET DEFAULT repeat('x', %d)", 7600/n-100))
}

// nextBatch does a batch of run 1, and returns how many it deleted; -1 is for NULL, the end of the run.
func (d *database) nextBatch() int {
	d.t.Helper()
	return d.batch(runRecord{ID: 1})
}

// wantBatches compares the number of batches that run 1 has left, and whether each is some users or a range of pages.
func (d *database) wantBatches(n int, ofUsers bool) {
	d.t.Helper()
	const batches = `SELECT count(*) || ', of users: ' || bool_or(first_user IS NOT NULL) FROM notification_cleanup_batches WHERE run_id = 1 AND NOT done`
	ofUsers = ofUsers || server.workers != nil // there it is those of a shard
	if got, want := one[string](d, batches), fmt.Sprintf("%d, of users: %t", n, ofUsers); got != want {
		d.t.Errorf("batches are left: %s, want %s", got, want)
	}
}

// wantEnded is for when no run should be open.
func (d *database) wantEnded(after string) {
	d.t.Helper()
	d.wantNone(after, "the queue is not empty", `SELECT b::text FROM notification_cleanup_batches AS b
		UNION ALL SELECT c::text FROM notification_cleanup_cutoffs AS c UNION ALL SELECT t::text FROM notification_cleanup_throttles AS t`)
	d.wantNone(after, "a run has no end", "SELECT r::text FROM notification_cleanup_runs AS r WHERE finished_at IS NULL")
}

func (d *database) typeOf(column string) string {
	return one[string](d, fmt.Sprintf(`SELECT format_type(atttypid, atttypmod) FROM pg_attribute
		WHERE attrelid = 'notifications'::regclass AND attname = '%s'`, column))
}

// The numbers behind the ids, in SQL.
const (
	notificationNumber = `ltrim(replace(id::text, '-', ''), '0')::integer`
	userNumber         = `ltrim(replace(user_id::text, '-', ''), '0')::integer`
)

// set changes the notifications numbered first to last.
func (d *database) set(assignment string, first, last int) {
	d.t.Helper()
	d.exec(fmt.Sprintf(`UPDATE notifications SET %s WHERE %s BETWEEN %d AND %d`, assignment, notificationNumber, first, last))
}

// numbers returns the numbers of the notifications that satisfy the condition, as in "1-901 950".
func (d *database) numbers(condition string) string {
	d.t.Helper()
	return ranges(all[int](d, fmt.Sprintf(`SELECT %s FROM notifications WHERE %s ORDER BY 1`, notificationNumber, condition)))
}

// ranges writes sorted numbers as in "1-901 950".
func ranges(numbers []int) string {
	var words []string
	for i := 0; i < len(numbers); {
		first := i
		for i++; i < len(numbers) && numbers[i] == numbers[i-1]+1; i++ {
		}
		word := fmt.Sprint(numbers[first])
		if i-first > 1 {
			word += fmt.Sprint("-", numbers[i-1])
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
