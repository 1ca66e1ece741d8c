package doctor

import (
	"fmt"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

const isWarned = `
	SELECT severity = 'warning'
	FROM notification_cleanup_doctor()
	WHERE name = 'idle in transaction'`

func TestTheDoctorFindsWhoHoldsNotificationsAndDoesNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 3)
	reader, holder := d.OpenSession(), d.OpenSession()
	reader.Exec("BEGIN; SELECT FROM notifications")
	holder.Exec("BEGIN; SELECT FROM notifications FOR UPDATE")
	d.Eventually(isWarned)
	pid := pgtest.One[int](holder, "SELECT pg_backend_pid()")
	d.Eventually(isWarned)
	wantWrong(d, "idle in transaction", fmt.Sprintf("SELECT pg_terminate_backend(%d);", pid))
	holder.Exec("ROLLBACK")
	d.Eventually(`
		SELECT count(*) = 1
		FROM pg_stat_activity
		WHERE datname = current_database()
			AND state = 'idle in transaction'
			AND state_change < now() - interval '1 second'`)
	wantWrong(d, "")
}

func TestARunAtWorkIsNotUnfinished(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.RowsPerPage(1)
	d.Insert(pgtest.Alice, "read", 1, 20)
	run := d.Plan("3, 1, 1")
	worker := d.OpenSession()
	worker.Batch(run)
	wantWrong(d, "")
	_ = worker.Conn.Close(t.Context())
	d.Eventually("SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()")
	wantWrong(d, "unfinished runs", "run 1, 1 of ")
}

func TestASessionThatDoesNothingAfterItsBatchHidesNoUnfinishedRun(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 20)
	run := d.Plan("3, 1, 1")
	d.OpenSession().Batch(run)
	d.Eventually(`
		SELECT bool_and(now() - state_change > interval '5 seconds')
		FROM pg_stat_activity
		WHERE query LIKE '%cleanup\_next\_batch%' AND pid <> pg_backend_pid()
			AND datname = current_database()`)
	wantWrong(d, "unfinished runs", "run 1, 1 of ")
}

func TestTheDoctorFindsPreparedTransactions(t *testing.T) {
	t.Parallel()
	s := pgtest.PrepareServer(t)
	s.Initialise()
	s.Settings = []string{"-c", "max_prepared_transactions=2"}
	s.Start()
	d := s.New()
	d.Insert(pgtest.Alice, "read", 1, 3)
	d.Exec("BEGIN; SELECT FROM notifications; PREPARE TRANSACTION 'reads'")
	d.Exec("CREATE TABLE other (); BEGIN; DROP TABLE other; PREPARE TRANSACTION 'others'")
	const isOld = "SELECT max(prepared) < now() - interval '1.1 seconds' FROM pg_prepared_xacts"
	d.Eventually(isOld)
	wantWrong(d, "")
	wantNote(d, "prepared transactions", "'others' of ")
	d.Exec("COMMIT PREPARED 'others'")
	d.Exec("BEGIN; SELECT FROM notifications FOR UPDATE; PREPARE TRANSACTION 'it''s held'")
	d.Eventually(isOld)
	wantWrong(d, "prepared transactions", "'it''s held' of ", "holds notifications",
		"ROLLBACK PREPARED 'it''s held';")
	d.Exec("ROLLBACK PREPARED 'it''s held'")
	wantWrong(d, "")
	d.Exec("COMMIT PREPARED 'reads'")

	d.Exec("CREATE TABLE other (); BEGIN; DROP TABLE other; PREPARE TRANSACTION 'others'")
	d.Cleanup("1, 1")
	d.Eventually(isOld)
	wantWrong(d, "")
	d.Exec("VACUUM notifications")
	d.Eventually(`
		SELECT last_vacuum IS NOT NULL
		FROM pg_stat_all_tables
		WHERE relid = 'notifications'::regclass`)
	wantWrong(d, "prepared transactions", "'others' of ", "VACUUM has come since",
		"ROLLBACK PREPARED 'others';")
}

func TestTheDoctorWarnsOfABacklogThatMaxWalSizeIsTooSmallFor(t *testing.T) {
	t.Parallel()
	s := pgtest.PrepareServer(t)
	s.Initialise("--wal-segsize=1")
	s.Settings = []string{"-c", "max_wal_size=2MB", "-c", "min_wal_size=2MB"}
	s.Start()
	d := s.New()
	d.RowsPerPage(2)
	d.Insert(pgtest.Alice, "read", 1, 1501)
	d.Exec("ANALYZE notifications")
	wantWrong(
		d,
		"max_wal_size",
		"warning",
		"2MB; deleting 1401 writes about 12 MB",
		"wal_compression",
	)
	d.Cleanup("2000, 1200") // whose limits count from now on, but nothing goes
	wantWrong(d, "")
}

func TestTheDoctorFindsRolesWhoseTransactionsAreReadOnly(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.SetForDatabase("default_transaction_read_only = on"))
	session := d.OpenSession()
	wantWrong(session, "server", "failure", "a primary, but default_transaction_read_only is on")
	d.Exec(find(session, "server").Advice)
	wantWrong(d.OpenSession(), "")
}

func TestTheDoctorOfAStandbySaysWhatItIs(t *testing.T) {
	t.Parallel()
	primary := pgtest.NewServer(t)
	d := primary.New()
	standby := primary.Standby()
	d = d.OnServer(standby)
	wantWrong(d, "")
	if server := find(d, "server"); server.Severity != "note" || server.Found != "a standby" ||
		!strings.Contains(server.Advice, "on the primary") {
		t.Errorf("it says %+v", server)
	}
	const limits = `
		SELECT (max_notifications, users_over_limit, deletable_notifications, deletable_percent,
			users_still_over_limit)::text
		FROM preview_notification_limits('{100}')`
	if got := fmt.Sprint(pgtest.All[string](d, limits)); got != "[(100,0,0,0.0,0)]" {
		t.Errorf("the limits are %s", got)
	}
	const explanation = `
		SELECT count(*)
		FROM explain_notification_cleanup(gen_random_uuid()::notification_user_id)`
	if n := pgtest.One[int](d, explanation); n != 0 {
		t.Errorf("of nobody it explains %d", n)
	}
}
