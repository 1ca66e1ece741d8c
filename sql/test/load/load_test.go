package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
	"golang.org/x/sync/errgroup"
)

// workload is what an application does all day. As many do, it locks the users before it touches
// several notifications of theirs, so it has no deadlocks of its own, in whatever order it takes
// the rows. It deletes at a time of its own: now() may happen to be, to the microsecond, the time
// of a run.
const workload = `
	CREATE TABLE users AS SELECT md5(u::text)::uuid AS id FROM generate_series(1, 6) AS u;

	CREATE FUNCTION insert_some(u uuid) RETURNS void LANGUAGE sql AS $$
		INSERT INTO notifications (user_id, status, created_at)
		SELECT u, CASE WHEN i % 7 = 0 THEN 'unread' ELSE 'read' END,
			timestamptz '2025-01-01Z' + random() * interval '1 day'
		FROM generate_series(1, 60) AS i
	$$;
	CREATE FUNCTION toggle_one(u uuid) RETURNS void LANGUAGE sql AS $$
		UPDATE notifications SET status = CASE status WHEN 'read' THEN 'unread' ELSE 'read' END
		WHERE id = (SELECT id FROM notifications WHERE user_id = u AND deleted_at IS NULL
			ORDER BY random() LIMIT 1)
			AND deleted_at IS NULL
	$$;
	CREATE FUNCTION each_of(users_in_order uuid[], statement text) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		direction integer := sign(random() - 0.5);
		u uuid;
		n uuid;
	BEGIN
		PERFORM FROM users WHERE id = ANY (users_in_order) ORDER BY id FOR UPDATE;
		FOREACH u IN ARRAY users_in_order LOOP
			FOR n IN SELECT id
			FROM notifications
			WHERE user_id = u AND deleted_at IS NULL
			ORDER BY extract(epoch FROM created_at) * direction LOOP
				EXECUTE statement || ' WHERE id = $1 AND deleted_at IS NULL' USING n;
			END LOOP;
		END LOOP;
	END $$`

var operations = []string{
	"insert_some(md5($1::text)::uuid)",
	"insert_some(md5($2::text)::uuid)",
	"insert_some(md5($2::text)::uuid)",
	"toggle_one(md5($1::text)::uuid)",
	"each_of(ARRAY[md5($1::text)]::uuid[], $$UPDATE notifications SET status = 'read'$$)",
	"each_of(ARRAY[md5($1::text)]::uuid[], $$UPDATE notifications SET status = 'unread'$$)",
	"each_of(ARRAY[md5($1::text), md5($2::text)]::uuid[], $$UPDATE notifications SET deleted_at =" +
		" '2025-06-01Z'$$)",
	"each_of(ARRAY[md5($2::text), md5($1::text)]::uuid[], 'DELETE FROM notifications')",
}

// enough is whether five runs have had something to delete.
const enough = `
	SELECT count(*) >= 5 FROM notification_cleanup_runs WHERE notifications_deleted > 0`

// The cleanup is called over and over in every way while eight connections work for the same few
// users.
func TestTheApplicationNeitherDeadlocksWithTheCleanupNorHoldsItUp(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(workload)
	// No session shall be a victim because it stood still for a second.
	d.Exec(pgtest.SetForDatabase("deadlock_timeout = '20s'"))
	applications, ctx := errgroup.WithContext(t.Context())
	for range 8 {
		conn := d.Connect()
		applications.Go(func() error {
			if _, err := conn.Exec(ctx, "SET application_name = 'application'"); err != nil {
				return err
			}
			// It works on until enough runs have met it.
			for i := 1; ; i++ {
				// Both users are in the statement, whichever it uses.
				operation := "SELECT " + operations[rand.IntN(len(operations))] + ", $1::integer + $2::integer"
				if _, err := conn.Exec(ctx, operation, 1+rand.IntN(6), 1+rand.IntN(6)); err != nil {
					return fmt.Errorf("%w\nin %s", err, operation)
				}
				if i < 40*pgtest.Rounds() || i%20 != 0 {
					continue
				}
				var met bool
				if err := conn.QueryRow(ctx, enough).Scan(&met); err != nil || met || i > 4000 {
					return err
				}
			}
		})
	}
	working := make(chan struct{})
	var cleanups errgroup.Group
	for way := range pgtest.Ways {
		cleanups.Go(func() error {
			for runs := 0; ; runs++ {
				select {
				case <-working:
					t.Logf("%d runs by the %s", runs, way)
					return nil
				default:
				}
				if err := d.RunCrowd(way); err != nil {
					return err
				}
			}
		})
	}
	cleanups.Go(func() error { return neverWaitsLong(d.OpenSession(), working) })

	if err := applications.Wait(); err != nil {
		t.Errorf("the application failed: %v", err)
	}
	close(working)
	if err := cleanups.Wait(); err != nil {
		t.Error(err)
	}
	d.Cleanup("40, 10")
	d.WantNone("a last run", "something is left to delete", `
		SELECT p::text FROM preview_notification_cleanup(40, 10) AS p WHERE deletable_notifications > 0`)
	d.WantTrueRecords("working together")
	d.WantEnded("working together")
	if n := pgtest.One[int](d, `
		SELECT count(*) FROM notification_cleanup_runs WHERE notifications_deleted > 0`); n < 5 {
		t.Errorf("only %d runs had something to delete", n)
	}
}

// neverWaitsLong watches the cleanup's row locks until the application stops working. It gives way
// to the application after 100 ms; and to make a table longer, every writer waits for the others
// for a moment.
func neverWaitsLong(d *pgtest.Database, working <-chan struct{}) error {
	const waiting = `SELECT cleanup.query FROM pg_locks AS l
		JOIN pg_stat_activity AS cleanup ON cleanup.pid = l.pid
		JOIN LATERAL unnest(pg_blocking_pids(l.pid)) AS blocking (pid) ON true
		JOIN pg_stat_activity AS application ON application.pid = blocking.pid
		WHERE NOT l.granted
			AND l.locktype IN ('tuple', 'transactionid')
			AND l.waitstart < clock_timestamp() - interval '5 seconds'
			AND cleanup.datname = current_database()
				AND cleanup.application_name <> 'application'
				AND application.application_name = 'application'`
	for {
		select {
		case <-working:
			return nil
		case <-time.After(5 * time.Millisecond):
		}
		rows, _ := d.Conn.Query(context.Background(), waiting)
		queries, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		if len(queries) > 0 {
			return fmt.Errorf("the cleanup waits for the application: %q", queries)
		}
	}
}
