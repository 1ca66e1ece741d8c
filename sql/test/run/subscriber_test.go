package run

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// everythingOf is a query for what a publication of all tables carries.
const everythingOf = `
	SELECT md5(concat(
		(SELECT string_agg(n::text, ' ' ORDER BY n.id) FROM notifications AS n),
		(SELECT string_agg(r::text, ' ' ORDER BY r.id) FROM notification_cleanup_runs AS r),
		(SELECT string_agg(o::text, ' ' ORDER BY o.run_id) FROM notification_cleanup_open_runs AS o),
		(SELECT string_agg(b::text, ' ' ORDER BY b.run_id, b.number)
			FROM notification_cleanup_batches AS b),
		(SELECT string_agg(s::text, ' ') FROM notification_cleanup_suspension AS s)
	))`

// An upgrade by logical replication publishes all tables, and then goes over to the subscriber, in
// the middle of a run.
func TestASubscriberOfAllTablesAppliesEachStepAndTakesOver(t *testing.T) {
	t.Parallel()
	server := pgtest.PrepareServer(t)
	server.Initialise()
	server.Settings = append(server.Settings, "-c", "wal_level=logical")
	server.Start()
	d, subscriber := server.Adopt("app", "SELECT"), server.Adopt("upgraded", "SELECT")
	d.Exec(pgtest.Inboxes)
	d.Exec("CREATE PUBLICATION everything FOR ALL TABLES")
	d.Exec("SELECT pg_create_logical_replication_slot('upgrade', 'pgoutput')")
	subscriber.Exec("TRUNCATE notification_cleanup_schema_version") // as pg_dump -s makes it
	subscriber.Exec(fmt.Sprintf(`
		CREATE SUBSCRIPTION upgrade CONNECTION 'host=%s user=postgres dbname=app'
		PUBLICATION everything WITH (create_slot = false)`, server.Dir))
	follows := func(step string) {
		t.Helper()
		d.Note("-- " + step)
		subscriber.Eventually("SELECT ('" + pgtest.One[string](d, everythingOf) + "') = (" +
			everythingOf + ")")
	}
	follows("the copy")
	d.Exec("CALL cleanup_notifications_in_batches(batch_size => 500, pause_factor => 0.01)")
	follows("the procedure")
	d.Exec("SELECT restore_next_batch(1, 900)")
	follows("a part of the undo")
	d.Exec("SELECT restore_notifications(1)")
	d.Exec("SELECT cleanup_notifications()")
	follows("the function")
	d.Exec(pgtest.Expired)
	d.Exec("SELECT purge_notifications('30 days')")
	d.Exec("SELECT restore_notifications(2)")
	d.Exec("SELECT suspend_notification_cleanup('the upgrade')")
	follows("a suspension")
	d.Exec("SELECT resume_notification_cleanup()")
	run := d.Plan("batch_size => 10")
	d.Batch(run)
	follows("a batch of a run")

	subscriber.Exec("ALTER SUBSCRIPTION upgrade DISABLE")
	const wrong = `
		SELECT name FROM notification_cleanup_doctor() WHERE severity = 'failure'`
	if got := fmt.Sprint(pgtest.All[string](subscriber, wrong)); got != "[run ids]" {
		t.Errorf("the doctor finds %s wrong, want what replication does not carry", got)
	}
	err := subscriber.Refused("SELECT cleanup_notifications()", "55000")
	subscriber.Exec(strings.TrimPrefix(err.Hint, "As the owner: "))
	subscriber.Exec("CALL cleanup_notifications_in_batches()")
	const records = `
		SELECT concat_ws(' ', id, notifications_planned, notifications_deleted, finished_at IS NULL)
		FROM notification_cleanup_runs
		ORDER BY id`
	want := []string{
		"1 1950 1950 f",
		"2 1950 1950 f",
		"3 1950 10 t", // its places were those of the other server
		"4 1940 1940 f",
	}
	if got := pgtest.All[string](subscriber, records); !slices.Equal(got, want) {
		t.Errorf("the records are %q, want %q", got, want)
	}
	subscriber.WantNone("the upgrade", "something of a run is left",
		"SELECT run_id::text FROM notification_cleanup_batches")
	subscriber.WantNone("the upgrade", "the doctor finds something wrong", wrong)
}

// Without one, no row of a table that is published can be updated or deleted.
func TestEachTableOfOursHasAPrimaryKey(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.WantNone("the installation", "a table has no primary key", `
		SELECT c.oid::regclass::text
		FROM pg_class AS c
		WHERE c.relnamespace = 'public'::regnamespace
			AND c.relkind = 'r'
			AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary)`)
}
