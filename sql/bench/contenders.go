package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// action is something to measure.
type action func(ctx context.Context, b *bench, database string)

// contender is a way to soft-delete what the rule says.
type contender struct {
	name, setup string // setup is not measured
	whose       string // class of its bar in the chart
	find, drain action // find: until it is known that nobody is over the limit
	only        string // kind of measurement, if it is not all
}

// Contenders that have a part elsewhere, and what several of them need.
const (
	alone           = "application alone"
	limit           = "limit"
	function        = "function"
	procedure       = "procedure"
	oneWorker       = "program, 1 worker"
	twoWorkers      = "program, 2 workers"
	planAlone       = "plan alone"
	inBatches       = "batches, planned before"
	rowsHeld        = "1000 rows held"
	procedureBefore = "procedure before"
	pauseOf         = "pause_factor " // and the factor
	withoutIndex    = "without the live index"
	withIndex       = "with it"
	programBefore   = ".build/before/notification-cleanup"

	overTheLimit = `
		SELECT user_id
		FROM notifications
		WHERE deleted_at IS NULL
		GROUP BY user_id
		HAVING count(*) > 1000`
	nobody       = "1000000000" // is over this limit
	countDeleted = "SELECT count(*) FROM notifications WHERE deleted_at IS NOT NULL"
	// As it is before one meets this project.
	withoutOurIndexes = "DROP INDEX notifications_live_idx, notifications_deleted_idx"
)

// doomed is what the limit is handed; it lies in the table of which everybody gets a copy.
const doomed = `
	CREATE TABLE doomed AS
	SELECT address
	FROM (
		SELECT
			ctid AS address,
			row_number() OVER (PARTITION BY user_id ORDER BY created_at DESC, id DESC) AS newest
		FROM notifications
		WHERE status = 'read'
			AND user_id IN (SELECT user_id FROM preview_notification_cleanup())
	) AS ranked
	WHERE newest > 100`

var contenders = []contender{
	{
		name: alone,
		only: beside,
		drain: sql(`
			SELECT pg_sleep(least(15, greatest(2, reltuples / 100000)))
			FROM pg_class
			WHERE relname = 'notifications'`),
	},
	// Nothing but the index-only pass, and nothing but the update: it is handed the addresses of
	// the rows, and takes them in the order in which they lie.
	{
		name:  limit,
		whose: "limit",
		find:  sql(overTheLimit),
		drain: sql(`
			UPDATE notifications
			SET deleted_at = now()
			WHERE ctid = ANY (ARRAY(SELECT address FROM doomed))`),
	},
	{
		name:  function,
		whose: "ours",
		find:  sql("SELECT cleanup_notifications(" + nobody + ")"),
		drain: sql("SELECT cleanup_notifications()"),
	},
	{
		name:  procedure,
		whose: "ours",
		find:  sql("CALL cleanup_notifications_in_batches(" + nobody + ")"),
		drain: sql("CALL cleanup_notifications_in_batches()"),
	},
	{
		name:  oneWorker,
		whose: "ours",
		find:  program("run", "--max-notifications", nobody),
		drain: program("run"),
	},
	{
		name:  twoWorkers,
		whose: "ours",
		find:  program("run", "--max-notifications", nobody, "--workers", "2"),
		drain: program("run", "--workers", "2"),
	},
	{name: planAlone, drain: sql("SELECT plan_notification_cleanup()"), only: drain},
	{name: rowsHeld, drain: program("run"), only: drain},
	{name: "batches of 3000", drain: program("run", "--batch-size", "3000"), only: beside},
	{
		name:  "wal_compression = lz4",
		setup: "ALTER DATABASE " + copied + " SET wal_compression = lz4",
		drain: program("run"),
		only:  beside,
	},
	{
		name:  procedureBefore,
		whose: "before",
		find:  sql("CALL cleanup_notifications_in_batches(" + nobody + ")"),
		drain: sql("CALL cleanup_notifications_in_batches()"),
	},
	{
		name:  "one statement",
		whose: "theirs",
		setup: withoutOurIndexes,
		find:  sql(overTheLimit),
		drain: sql(`
			UPDATE notifications
			SET deleted_at = now()
			WHERE id IN (
				SELECT id
				FROM (
					SELECT
						id,
						row_number() OVER (
							PARTITION BY user_id
							ORDER BY created_at DESC, id DESC
						) AS newest
					FROM notifications
					WHERE status = 'read'
						AND deleted_at IS NULL
						AND user_id IN (` + overTheLimit + `)
				) AS ranked
				WHERE newest > 100
			)`),
	},
	{name: "stats", drain: sql("SELECT notification_stats()"), only: idle},
	{name: "preview", drain: sql("SELECT preview_notification_cleanup()"), only: idle},
	{
		name:  "loop over users",
		whose: "theirs",
		setup: withoutOurIndexes,
		find:  loop(false),
		drain: loop(true),
	},
}

// contenders are those of these names, or all, without the earlier version where there is none.
func (b *bench) contenders(names ...string) []contender {
	return slices.DeleteFunc(slices.Clone(contenders), func(c contender) bool {
		return names != nil && !slices.Contains(names, c.name) ||
			c.name == procedureBefore && b.before == ""
	})
}

// sql is one statement.
func sql(statement string) action {
	return func(ctx context.Context, b *bench, database string) { b.in(ctx, database, statement) }
}

func program(args ...string) action {
	return func(ctx context.Context, b *bench, database string) {
		b.command(ctx, database, "notification-cleanup", args...)
	}
}

// loop is what an application's own job does: for each user it counts, selects ids and updates
// them, a round trip each.
func loop(drain bool) action {
	return func(ctx context.Context, b *bench, database string) {
		conn := must(pgx.Connect(ctx, b.url(database)))
		defer conn.Close(ctx)
		collect := func(query string, args ...any) []string {
			rows, _ := conn.Query(ctx, query, args...)
			return must(pgx.CollectRows(rows, pgx.RowTo[string]))
		}
		for _, user := range collect("SELECT DISTINCT user_id::text FROM notifications") {
			over := collect(`
				SELECT user_id::text
				FROM notifications
				WHERE user_id = $1 AND deleted_at IS NULL
				GROUP BY user_id
				HAVING count(*) > 1000`, user)
			if drain && len(over) > 0 {
				ids := collect(`
					SELECT id::text
					FROM notifications
					WHERE user_id = $1 AND status = 'read' AND deleted_at IS NULL
					ORDER BY created_at DESC, id DESC
					OFFSET 100`, user)
				must(
					conn.Exec(
						ctx,
						"UPDATE notifications SET deleted_at = now() WHERE id = ANY ($1::uuid[])",
						ids,
					),
				)
			}
		}
	}
}

// insertRows inserts a row for every so many of the table.
func insertRows(every int, begin, commit string) action {
	const insert = `
		INSERT INTO notifications (user_id, type, title, message, status, created_at)
		VALUES (
			md5('user ' || $1::int)::uuid,
			'comment',
			'New comment',
			'Comment on your post',
			'unread',
			now()
		)`
	return func(ctx context.Context, b *bench, database string) {
		conn := must(pgx.Connect(ctx, b.url(database)))
		defer conn.Close(ctx)
		must(conn.Exec(ctx, begin))
		for i := range b.n / every {
			must(conn.Exec(ctx, insert, i%(b.n/100)))
		}
		must(conn.Exec(ctx, commit))
	}
}

// application is what an application saw of its database. Latencies are in ms, from when an
// operation was due.
type application struct {
	P50, P99 float64
	// Of the operations of a second, in the median second: a stall of the disk is one second.
	SecondP99           float64
	Deadlocks, Timeouts int // after a second
}

// operations are those of a user who got the notification numbered $1, so that the largest
// inboxes are the busiest.
var operations = []string{
	`
		INSERT INTO notifications (user_id, type, title, message, status, created_at)
		VALUES (
			` + owner + `,
			'comment',
			'New comment',
			'Comment on your post',
			'unread',
			now()
		)`,
	inboxPage,
	inboxPage,
	`
		UPDATE notifications
		SET status = 'read', read_at = now()
		WHERE id = (
			SELECT id
			FROM notifications
			WHERE user_id = ` + owner + ` AND deleted_at IS NULL
			ORDER BY created_at DESC
			OFFSET 3
			LIMIT 1
		)`,
	`
		UPDATE notifications
		SET deleted_at = now()
		WHERE id = md5('notification ' || $1::int)::uuid AND deleted_at IS NULL`,
}

const (
	owner = `(
		SELECT user_id
		FROM notifications
		WHERE id = md5('notification ' || $1::int)::uuid
	)`
	inboxPage = `
		SELECT id, title, message, status, created_at
		FROM notifications
		WHERE user_id = ` + owner + ` AND deleted_at IS NULL
		ORDER BY created_at DESC
		LIMIT 20`
)

// startApplication lets an application work on four connections to the copy, 200 operations a
// second, until stop.
func (b *bench) startApplication(ctx context.Context) (stop func() application) {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	var mu sync.Mutex // of the following two
	var result application
	seconds := map[int64][]float64{}
	start, next := time.Now(), atomic.Int64{}
	for range 4 {
		conn := must(pgx.Connect(ctx, b.url(copied)))
		must(conn.Exec(ctx, "SET statement_timeout = '1s'"))
		workers.Go(func() {
			defer conn.Close(context.Background())
			for {
				at := start.Add(time.Duration(next.Add(1)) * 5 * time.Millisecond)
				if time.Until(at) > 0 && ctx.Err() != nil { // and nothing is overdue
					return
				}
				time.Sleep(time.Until(at))
				_, err := conn.Exec(
					context.Background(),
					operations[rand.IntN(len(operations))],
					1+rand.IntN(b.n),
				)
				latency := float64(time.Since(at).Microseconds()) / 1000
				mu.Lock()
				seconds[at.Unix()] = append(seconds[at.Unix()], latency)
				if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == "40P01" {
					result.Deadlocks++
				} else if err != nil {
					result.Timeouts++
				}
				mu.Unlock()
			}
		})
	}
	return func() application {
		cancel()
		workers.Wait()
		var all, p99s []float64
		for _, second := range seconds {
			all, p99s = append(all, second...), append(p99s, percentile(second, 0.99))
		}
		result.P50, result.P99, result.SecondP99 = percentile(
			all,
			0.5,
		), percentile(
			all,
			0.99,
		), percentile(
			p99s,
			0.5,
		)
		return result
	}
}
