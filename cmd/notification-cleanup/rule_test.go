package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestExactlyAtTheLimitNothingHappens(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1000)
	d.wantCleanup("", "", counts{})
}

func TestOneOverTheLimitKeepsTheHundredNewest(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.wantCleanup("", "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestKeepsUnread(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "unread", 1, 500)
	d.insert(alice, "read", 501, 1001)
	d.wantCleanup("", "501-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 401})
}

func TestReadAndUnreadCountTogether(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 600)
	d.insert(alice, "unread", 601, 1000)
	d.insert(bob, "read", 1001, 1600)
	d.insert(bob, "unread", 1601, 2001)
	d.wantCleanup("", "1001-1500", counts{OverLimit: 1, Cleaned: 1, Deleted: 500})
}

func TestLimitIsEachUsersOwn(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 600)
	d.insert(bob, "read", 601, 1200)
	d.wantCleanup("", "", counts{})
}

func TestAllUnreadStaysOverTheLimit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "unread", 1, 1500)
	d.wantCleanup("", "", counts{OverLimit: 1, StillOver: 1})
}

func TestHundredReadAreAllKept(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 100)
	d.insert(alice, "unread", 101, 1001)
	d.wantCleanup("", "", counts{OverLimit: 1, StillOver: 1})
}

func TestHundredAndFirstReadIsDeleted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 101)
	d.insert(alice, "unread", 102, 1001)
	d.wantCleanup("", "1", counts{OverLimit: 1, Cleaned: 1, Deleted: 1})
}

func TestUnreadMayKeepACleanedUserOverTheLimit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 102)
	d.insert(alice, "unread", 103, 1002)
	d.insert(bob, "read", 2001, 2102)
	d.insert(bob, "unread", 2103, 3003)
	d.wantCleanup("", "1-2 2001-2002", counts{OverLimit: 2, Cleaned: 2, StillOver: 1, Deleted: 4})
}

func TestNewestIsTheLastCreatedNotTheHighestID(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.set("created_at = timestamptz '2025-01-01Z' - (created_at - timestamptz '2025-01-01Z')", 1, 1001)
	d.wantCleanup("", "101-1001", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestTiesOnCreatedAtAreBrokenByID(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1500)
	d.set("created_at = timestamptz '2025-02-01Z'", 301, 1500)
	d.wantCleanup("", "1-1400", counts{OverLimit: 1, Cleaned: 1, Deleted: 1400})
}

func TestKeepsOtherStatuses(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1200)
	for i, status := range []string{"'archived'", "'READ'", "'read '", "''", "NULL"} {
		d.set("status = "+status, 1+100*i, 100+100*i)
	}
	d.wantCleanup("", "501-1100", counts{OverLimit: 1, Cleaned: 1, Deleted: 600})
}

func TestOtherStatusesCountAsLive(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.set("status = NULL", 102, 500)
	d.set("status = 'archived'", 501, 1001)
	d.wantCleanup("", "1", counts{OverLimit: 1, Cleaned: 1, Deleted: 1})
}

func TestFutureTakesNoKeptPlace(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1100)
	d.set("created_at = '2999-01-01'", 1001, 1050)
	d.set("created_at = 'infinity'", 1051, 1100)
	d.wantCleanup("", "1-900", counts{OverLimit: 1, Cleaned: 1, Deleted: 900})
}

func TestFutureIsNeverDeleted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1100)
	d.set("created_at = '2999-01-01'", 1, 50)
	d.set("created_at = 'infinity'", 51, 100)
	d.wantCleanup("min_keep => 0", "101-1100", counts{OverLimit: 1, Cleaned: 1, Deleted: 1000})
}

func TestFutureBeginsAfterTheRunHasStarted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 10)
	d.exec("ALTER TABLE notification_cleanup_runs ALTER started_at SET DEFAULT '2025-01-01 00:05Z'")
	d.set("created_at = created_at + interval '1 microsecond'", 5, 5)
	d.wantCleanup("3, 0", "1-4", counts{OverLimit: 1, Cleaned: 1, StillOver: 1, Deleted: 4})
	d.exec("SELECT restore_notifications(1); DELETE FROM notification_cleanup_runs")
	d.set("created_at = created_at - interval '1 microsecond'", 5, 5)
	d.wantCleanup("3, 0", "1-5", counts{OverLimit: 1, Cleaned: 1, StillOver: 1, Deleted: 5})
}

func TestInfinitelyOldIsTheOldest(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.set("created_at = '-infinity'", 901, 1001)
	d.wantCleanup("", "1-800 901-1001", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

// nullable is an application's table in which everything may be NULL. It has no deleted_at.
const nullable = `CREATE TABLE notifications (id bigint PRIMARY KEY, user_id text, status text, created_at timestamptz)`

func TestUnknownCreatedAtTakesNoKeptPlace(t *testing.T) {
	t.Parallel()
	d := adopt(t, nullable)
	d.insert(alice, "read", 1, 1100)
	d.set("created_at = NULL", 1001, 1100)
	d.wantCleanup("", "1-900", counts{OverLimit: 1, Cleaned: 1, Deleted: 900})
}

func TestUnknownCreatedAtIsNeverDeleted(t *testing.T) {
	t.Parallel()
	d := adopt(t, nullable)
	d.insert(alice, "read", 1, 1100)
	d.set("created_at = NULL", 1, 100)
	d.wantCleanup("min_keep => 0", "101-1100", counts{OverLimit: 1, Cleaned: 1, Deleted: 1000})
}

func TestNotificationsWithoutUserAreLeftAlone(t *testing.T) {
	t.Parallel()
	d := adopt(t, nullable)
	d.insert(alice, "read", 1, 1500)
	d.set("user_id = NULL", 1, 1500)
	d.wantCleanup("", "", counts{})
	if got := d.preview(""); len(got) != 0 {
		t.Errorf("preview %v, want nobody", got)
	}
	d.wantStats("", "1500 0 0")
}

func TestDeletedOnesDoNotCount(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1500)
	d.set("deleted_at = '2025-03-01Z'", 1, 500)
	d.wantCleanup("", "", counts{})
}

func TestDeletedOnesTakeNoKeptPlaceAndKeepTheirDeletedAt(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1201)
	d.set("deleted_at = '2025-03-01Z'", 1, 100)
	d.set("deleted_at = '2025-03-01Z'", 1102, 1201)
	d.wantCleanup("", "101-1001", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	if got := d.numbers("deleted_at = '2025-03-01Z'"); got != "1-100 1102-1201" {
		t.Errorf("deleted before and unchanged are %q", got)
	}
}

func TestChangesNothingButDeletedAt(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	const rest = `SELECT md5(string_agg((to_jsonb(n) - 'deleted_at')::text, ',' ORDER BY id)) FROM notifications AS n`
	before := one[string](d, rest)
	d.cleanup("")
	if one[string](d, rest) != before {
		t.Error("another column has changed too")
	}
}

func TestHundredNewestOverallAlwaysStay(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for user := alice; user <= carol; user++ {
		d.insert(user, "read", user*2000, user*2000+1500)
	}
	d.exec("UPDATE notifications SET status = 'unread' WHERE hashtext(id::text) % 3 = 0")
	d.cleanup("")
	const stay = `SELECT count(*) FROM (
			SELECT row_number() OVER (PARTITION BY user_id ORDER BY created_at DESC, id DESC) AS newest, deleted_at FROM notifications
		) AS ranked WHERE newest <= 100 AND deleted_at IS NULL`
	if got := one[int](d, stay); got != 300 {
		t.Errorf("of the 300 newest of three users, %d stay", got)
	}
}

func TestSecondRunChangesNothing(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1500)
	d.insert(bob, "unread", 2001, 3500)
	d.insert(bob, "read", 3501, 3700)
	d.wantCleanup("", "1-1400 3501-3600", counts{OverLimit: 2, Cleaned: 2, StillOver: 1, Deleted: 1500})
	d.wantCleanup("", "", counts{OverLimit: 1, StillOver: 1})
}

func TestMinKeepMayBeZero(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.wantCleanup("min_keep => 0", "1-1001", counts{OverLimit: 1, Cleaned: 1, Deleted: 1001})
}

func TestMinKeepMayBeTheLimit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.wantCleanup("min_keep => 1000", "1", counts{OverLimit: 1, Cleaned: 1, Deleted: 1})
}

func TestOtherLimits(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 4)
	d.insert(bob, "read", 11, 13)
	d.wantCleanup("2147483647, 2147483647", "", counts{})
	run := d.wantCleanup("3, 1", "1-3", counts{OverLimit: 1, Cleaned: 1, Deleted: 3})
	if run.MaxNotifications != 3 || run.MinKeep != 1 {
		t.Errorf("the record says max_notifications %d, min_keep %d", run.MaxNotifications, run.MinKeep)
	}
	d.wantCleanup("1, 1", "11-12", counts{OverLimit: 1, Cleaned: 1, Deleted: 2})
}

func TestEmptyTableIsARunToo(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec("SET application_name = 'nightly'")
	before := one[time.Time](d, "SELECT clock_timestamp()")
	run := d.wantCleanup("", "", counts{})
	after := one[time.Time](d, "SELECT clock_timestamp()")
	if run.StartedAt.Before(before) || run.FinishedAt == nil || run.FinishedAt.Before(run.StartedAt) || run.FinishedAt.After(after) {
		t.Errorf("started %v, finished %v, but it ran from %v to %v", run.StartedAt, run.FinishedAt, before, after)
	}
	user := one[string](d, "SELECT session_user::text")
	if run.MaxNotifications != 1000 || run.MinKeep != 100 || run.Restored != 0 || run.InvokedBy != user || run.ApplicationName != "nightly" {
		t.Errorf("the record is %+v", run)
	}
	d.wantRecorded(run)
}

// wantRecorded compares what a call returned with the run's record in the table.
func (d *database) wantRecorded(run runRecord) {
	d.t.Helper()
	runs := collect(d, pgx.RowToStructByName[runRecord], "SELECT * FROM notification_cleanup_runs")
	if len(runs) != 1 || !reflect.DeepEqual(runs[0], run) {
		d.t.Errorf("recorded is\n%+v, returned was\n%+v", runs, run)
	}
}

func TestOnlyTheUsersOfTheList(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.insert(bob, "read", 2001, 3001)
	d.insert(carol, "read", 4001, 5000) // not over the limit
	d.wantCleanup(usersArgument(bob, carol), "2001-2901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestUsersMayBeListedTwice(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.wantCleanup(usersArgument(alice, bob, alice), "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestNullInTheListIsNobody(t *testing.T) {
	t.Parallel()
	d := adopt(t, nullable)
	d.insert(alice, "read", 1, 1001)
	d.insert(bob, "read", 2001, 3001)
	d.set("user_id = NULL", 2001, 3001)
	d.wantCleanup("user_ids => ARRAY[NULL, "+key(alice)+"]", "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestEmptyListIsNobody(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	run := d.wantCleanup("user_ids => '{}'", "", counts{})
	d.wantRecorded(run)
}

func TestARunEndsWhenItsBatchesAreDone(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.insert(carol, "unread", 4001, 5001)
	planned := d.plan("")
	if planned.counts != (counts{OverLimit: 2, StillOver: 1}) || planned.Planned != 901 {
		t.Errorf("planned is %+v", planned)
	}
	const record = "SELECT * FROM notification_cleanup_runs"
	read := func() runRecord { return collect(d, pgx.RowToStructByName[runRecord], record)[0] }
	if n := d.nextBatch(); n != 901 {
		t.Errorf("deleted %d", n)
	}
	if done := read(); done.FinishedAt != nil || done.counts != (counts{OverLimit: 2, StillOver: 1, Deleted: 901}) {
		t.Errorf("after the last batch, the record is %+v", done)
	}
	if n := d.nextBatch(); n != -1 {
		t.Errorf("the end of the run is %d, want NULL", n)
	}
	ended := read()
	if ended.FinishedAt == nil || !ended.StartedAt.Equal(planned.StartedAt) {
		t.Errorf("the record was %+v, is %+v", planned, ended)
	}
	d.wantDeletedBy(ended, "1-901", counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 901})
	if n := d.nextBatch(); n != -1 || !reflect.DeepEqual(read(), ended) {
		t.Errorf("another call of a run that has ended is %d, want NULL, and the record %+v, want %+v", n, read(), ended)
	}
	d.wantEnded("the run")
}

func TestRunsInOneTransactionDiffer(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.insert(bob, "read", 2001, 3001)
	d.exec("BEGIN")
	first, second := d.cleanup(usersArgument(alice)), d.cleanup("")
	d.exec("COMMIT")
	d.wantDeletedBy(first, "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	d.wantDeletedBy(second, "2001-2901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestRunsThatOpenInTheSameMicrosecondDiffer(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.cleanup("max_notifications => 2000")
	d.exec(`
		CREATE SEQUENCE public.attempts;
		CREATE FUNCTION public.clash() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF nextval('public.attempts') <= 2 THEN
				NEW.started_at := (SELECT r.started_at FROM public.notification_cleanup_runs AS r);
			END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER clash BEFORE INSERT ON notification_cleanup_runs FOR EACH ROW EXECUTE FUNCTION public.clash()`)
	d.wantCleanup("", "1-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestReadsTheLiveIndexAndThenOnlyInboxesOverTheLimit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	d.exec(`
		INSERT INTO notifications (user_id, status, deleted_at) SELECT md5('x')::uuid, 'read', '2025-06-01Z' FROM generate_series(1, 10000);
		INSERT INTO notifications (user_id, status) SELECT md5(i::text)::uuid, 'read' FROM generate_series(1, 200) AS i`)
	d.exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
	d.vacuum("notifications")
	d.exec("SELECT pg_stat_reset()")
	d.cleanup("")
	eventually(t, d, "SELECT n_tup_upd = 901 FROM pg_stat_user_tables WHERE relname = 'notifications'")
	if n := one[int](d, "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'notifications'"); n != 0 {
		t.Errorf("the table was read %d times", n)
	}
	if n := one[int](d, "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'notifications_live_idx'"); n > 20 {
		t.Errorf("the live index was looked up %d times, for one user of 201 over the limit", n)
	}
}

// Most of what a heavy user ever had is deleted by now. By the index of an application's inbox page all of that would be read again.
func TestABatchDoesNotReadWhatIsDeleted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec("ALTER TABLE notifications SET (autovacuum_enabled = off); CREATE INDEX inbox ON notifications (user_id, created_at DESC)")
	d.insert(alice, "read", 1, 20000)
	d.exec("UPDATE notifications SET deleted_at = '2025-06-01Z'")
	d.insert(alice, "read", 20001, 21101)
	d.rowsPerPage(10)
	d.insert(bob, "unread", 30001, 42000)
	d.exec("CREATE INDEX shuffled ON notifications (md5(id::text)); CLUSTER notifications USING shuffled; DROP INDEX shuffled")
	d.vacuum("notifications")
	d.plan("")
	d.wantBatches(1, true)
	session := d.openSession() // which has no other statistics
	session.exec("BEGIN")
	if n := session.nextBatch(); n != 1001 {
		t.Errorf("%d were deleted", n)
	}
	if n := one[int](session, rowsRead); n > 5000 {
		t.Errorf("%d rows were read, for 1101 live ones", n)
	}
}

const rowsRead = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'notifications'"

// An inbox may be so large that the planner would rather read the whole table; the next time another one's, and so on.
func TestABatchOfSomeUsersReadsTheirInboxesOnly(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
	d.rowsPerPage(2)
	d.insert(alice, "unread", 1, 1770)
	d.insert(alice, "read", 1771, 1800)
	d.insert(bob, "unread", 2001, 2200)
	d.exec("CREATE INDEX shuffled ON notifications (md5(id::text)); CLUSTER notifications USING shuffled; DROP INDEX shuffled; ANALYZE notifications")
	d.plan("500, 10")
	d.wantBatches(1, true)
	session := d.openSession()
	session.exec("BEGIN")
	if n := session.nextBatch(); n != 20 {
		t.Errorf("%d were deleted", n)
	}
	if n := one[int](session, "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'notifications'"); n != 0 {
		t.Errorf("%d rows of the table were read", n)
	}
}

func TestAnApplicationsOwnIndexDoesNotLeadThePlannerAstray(t *testing.T) {
	t.Parallel()
	for _, index := range []string{
		"(user_id)",
		"(created_at)",
		"(created_at) WHERE status = 'read'",
		"(status) WHERE deleted_at IS NULL",
		"(user_id) WHERE status = 'read' AND deleted_at IS NULL",
	} {
		prepare := func(d *database, n int) {
			d.exec("ALTER TABLE notifications SET (autovacuum_enabled = off); CREATE INDEX ON notifications " + index)
			d.insert(alice, "read", 1, n)
			d.set("created_at = '2025-02-01Z'", 1, n)
			if !strings.Contains(index, "WHERE") { // as if nearly all users had one notification, each of its own time
				d.exec("ALTER TABLE notifications ALTER user_id SET (n_distinct = -1), ALTER created_at SET (n_distinct = -1); ANALYZE notifications")
			}
		}
		t.Run(index, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			prepare(d, 20000)
			// As in TestIsQuickWithoutPlannerStatistics: by that index, all of the inbox is read again for each notification, for much longer than the statement_timeout.
			d.wantCleanup("", "1-19900", counts{OverLimit: 1, Cleaned: 1, Deleted: 19900})
			d.exec("UPDATE notifications SET deleted_at = NULL")
			d.wantCleanup(usersArgument(alice), "1-19900", counts{OverLimit: 1, Cleaned: 1, Deleted: 19900})
		})
		t.Run(index+" of some users", func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.rowsPerPage(1)
			prepare(d, 500)
			d.plan("100, 10")
			d.wantBatches(1, true)
			session := d.openSession()
			session.exec("BEGIN")
			if n := session.nextBatch(); n != 490 {
				t.Errorf("%d were deleted", n)
			}
			if n := one[int](session, rowsRead); n > 10000 {
				t.Errorf("%d rows were read, of 500", n)
			}
		})
	}
}

type previewRow struct {
	User      int   `db:"user_id"`
	Total     int64 `db:"total_notifications"`
	Unread    int64 `db:"unread_notifications"`
	Deletable int64 `db:"deletable_notifications"`
}

func (d *database) preview(arguments string) []previewRow {
	d.t.Helper()
	return collect(d, pgx.RowToStructByName[previewRow], "SELECT "+userNumber+" AS user_id, total_notifications,"+
		" unread_notifications, deletable_notifications FROM preview_notification_cleanup("+arguments+")")
}

func (d *database) wantPreview(arguments string, want ...previewRow) {
	d.t.Helper()
	if got := d.preview(arguments); !slices.Equal(got, want) {
		d.t.Errorf("preview_notification_cleanup(%s) is\n%+v, want\n%+v", arguments, got, want)
	}
}

// wantStats compares total_notifications, users_with_notifications and users_over_limit.
func (d *database) wantStats(arguments, want string) {
	d.t.Helper()
	if got := one[string](d, "SELECT concat_ws(' ', total_notifications, users_with_notifications, users_over_limit)"+
		" FROM notification_stats("+arguments+")"); got != want {
		d.t.Errorf("notification_stats(%s) is %s, want %s", arguments, got, want)
	}
}

// insertInboxes makes one of each kind: alice and bob are over the limit with something to delete, carol without, and
// the next user is at it.
func (d *database) insertInboxes() {
	d.t.Helper()
	d.insert(alice, "read", 1, 1100)
	d.set("status = 'archived'", 1, 100)
	d.set("status = 'unread'", 101, 150)
	d.set("created_at = 'infinity'", 151, 160)
	d.set("deleted_at = '2025-06-01Z'", 161, 170)
	d.insert(bob, "read", 2001, 3001)
	d.insert(carol, "unread", 4001, 5001)
	d.insert(carol+1, "read", 6001, 7000)
}

func TestPreviewIsWhatTheRunDeletes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insertInboxes()
	d.wantPreview("", previewRow{bob, 1001, 0, 901}, previewRow{alice, 1090, 50, 830}, previewRow{carol, 1001, 1001, 0})
	run := d.wantCleanup("", "171-1000 2001-2901", counts{OverLimit: 3, Cleaned: 2, StillOver: 1, Deleted: 1731})
	deleted := all[int64](d, fmt.Sprintf("SELECT count(*) FROM notifications WHERE deleted_at = (%s) GROUP BY user_id ORDER BY 1 DESC",
		run.startedAt()))
	if !slices.Equal(deleted, []int64{901, 830}) {
		t.Errorf("deleted for each user: %v", deleted)
	}
	d.wantPreview("", previewRow{carol, 1001, 1001, 0})
}

func TestPreviewTakesLimits(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 5)
	d.insert(bob, "read", 11, 14)
	d.wantPreview("4, 1", previewRow{alice, 5, 0, 4})
	d.wantPreview("max_notifications => 3, min_keep => 0", previewRow{alice, 5, 0, 5}, previewRow{bob, 4, 0, 4})
}

func TestPreviewAndStatsOfNothing(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wantPreview("")
	d.wantStats("", "0 0 0")
}

func TestStatsAddUp(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insertInboxes()
	d.wantStats("", "4092 4 3")
	d.wantStats("max_notifications => 1001", "4092 4 1")
	d.cleanup("")
	d.wantStats("", "2361 4 1")
}

func TestAnyTypeOfUserID(t *testing.T) {
	t.Parallel()
	for _, userType := range []string{"uuid", "bigint", "integer", "text", "character varying(40)"} {
		t.Run(userType, func(t *testing.T) {
			t.Parallel()
			d := adopt(t, fmt.Sprintf(`CREATE TABLE notifications
				(id %[1]s PRIMARY KEY, user_id %[1]s NOT NULL, status text, created_at timestamptz NOT NULL)`, userType))
			d.insert(alice, "read", 1, 6)
			d.insert(bob, "read", 11, 16)
			d.insert(carol, "read", 21, 26)
			d.wantPreview("5, 4", previewRow{alice, 6, 0, 2}, previewRow{bob, 6, 0, 2}, previewRow{carol, 6, 0, 2})

			const fromClient = "SELECT * FROM cleanup_notifications(5, 4, $1::text[]::notification_user_id[])"
			run := collect(d, pgx.RowToStructByName[runRecord], fromClient, []string{strings.Trim(key(alice), "'")})[0]
			d.wantDeletedBy(run, "1-2", counts{OverLimit: 1, Cleaned: 1, Deleted: 2})
			d.wantCleanup(fmt.Sprintf("5, 4, ARRAY[%s::%s]", key(bob), userType), "11-12", counts{OverLimit: 1, Cleaned: 1, Deleted: 2})
			d.wantCleanup("5, 4", "21-22", counts{OverLimit: 1, Cleaned: 1, Deleted: 2})
		})
	}
}

func TestStatusMayBeAnEnumAndCreatedAtWithoutTimeZone(t *testing.T) {
	t.Parallel()
	d := adopt(t, `CREATE TYPE state AS ENUM ('unread', 'archived', 'read')`,
		`CREATE TABLE notifications (id serial PRIMARY KEY, user_id integer, status state, created_at timestamp)`)
	d.insert(alice, "read", 1, 1001)
	d.set("status = 'archived'", 1, 100)
	d.wantPreview("", previewRow{alice, 1001, 0, 801})
	d.wantCleanup("", "101-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 801})
}

func TestPartitionedTable(t *testing.T) {
	t.Parallel()
	for by, partitions := range map[string]string{
		"RANGE (created_at)": `CREATE TABLE early PARTITION OF notifications FOR VALUES FROM (MINVALUE) TO ('2025-01-01 10:00Z');
			CREATE TABLE late PARTITION OF notifications FOR VALUES FROM ('2025-01-01 10:00Z') TO (MAXVALUE)`,
		"HASH (id)": `CREATE TABLE even PARTITION OF notifications FOR VALUES WITH (MODULUS 2, REMAINDER 0);
			CREATE TABLE odd PARTITION OF notifications FOR VALUES WITH (MODULUS 2, REMAINDER 1)`,
	} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			d := adopt(t, `CREATE TABLE notifications (id bigint, user_id bigint, status text, created_at timestamptz,
				PRIMARY KEY (id`+map[bool]string{true: ", created_at"}[strings.HasPrefix(by, "RANGE")]+`)) PARTITION BY `+by, partitions)
			d.insert(alice, "read", 1, 1001)
			d.insert(bob, "unread", 2001, 3001)
			want := counts{OverLimit: 2, Cleaned: 1, StillOver: 1, Deleted: 901}
			d.wantCleanup("", "1-901", want)
			d.exec("SELECT restore_notifications(1); TRUNCATE notification_cleanup_runs RESTART IDENTITY")
			// The same pages of both partitions are a batch.
			run, err := d.startProcedure("batch_size => 1").wait()
			if err != nil {
				t.Fatal(err)
			}
			d.wantDeletedBy(run, "1-901", want)
		})
	}
}

// inboxView puts an updatable view in a schema of its own before an application's table.
var inboxView = []string{
	`CREATE TABLE messages (message bigint PRIMARY KEY, recipient text, read_at timestamptz, sent_at timestamptz, removed_at timestamptz)`,
	`CREATE SCHEMA retention`,
	`CREATE VIEW retention.notifications AS
		SELECT ctid, tableoid, message AS id, recipient AS user_id, CASE WHEN read_at IS NULL THEN 'unread' ELSE 'read' END AS status,
			sent_at AS created_at, removed_at AS deleted_at
		FROM messages`,
	setSearchPath("retention, public"),
}

func TestViewInASchemaOfItsOwn(t *testing.T) {
	t.Parallel()
	d := adopt(t, inboxView...)
	d.exec(`INSERT INTO messages
		SELECT i, 'alice', CASE WHEN i > 200 THEN timestamptz '2025-03-01Z' END, timestamptz '2025-01-01 00:00Z' + i * interval '1 minute'
		FROM generate_series(1, 1001) AS i`)
	d.wantCleanup("", "201-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 701})
	d.wantStats("", "300 1 0")
	d.exec("SELECT restore_notifications(1); TRUNCATE notification_cleanup_runs RESTART IDENTITY")
	run, err := d.startProcedure("batch_size => 1").wait()
	if err != nil {
		t.Fatal(err)
	}
	d.wantDeletedBy(run, "201-901", counts{OverLimit: 1, Cleaned: 1, Deleted: 701})
	if got := one[int](d, "SELECT count(*) FROM messages WHERE removed_at IS NOT NULL"); got != 701 {
		t.Errorf("%d messages removed, want 701", got)
	}
}
