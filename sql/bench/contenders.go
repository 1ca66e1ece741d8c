package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// action is something to measure. It returns the most memory that the program had resident.
type action func(ctx context.Context, b *bench, database string) (resident int64, err error)

// contender is a way to soft-delete what the rule says.
type contender struct {
	name  string
	whose string   // class of its bar in the chart
	setup []string // not measured
	find  action   // until it is known who is over the limit
	drain action
}

// Those that others are compared with.
const (
	alone         = "application alone"
	limit         = "limit"
	oneWorker     = "program, 1 worker"
	twoWorkers    = "program, 2 workers"
	loopOverUsers = "loop over users"
)

// withoutOurIndexes is what an application has before it meets this project.
var withoutOurIndexes = []string{"DROP INDEX notifications_live_idx, notifications_deleted_idx"}

// overTheLimit is the find pass of the limit, and of most people.
const overTheLimit = "SELECT user_id FROM notifications WHERE deleted_at IS NULL GROUP BY user_id HAVING count(*) > 1000"

// With this limit nobody is over it.
const nobody = "1000000000"

// doomed is what the limit is handed; it lies in the table of which everybody gets a copy.
const doomed = `CREATE TABLE doomed AS SELECT address FROM (
	SELECT ctid AS address, row_number() OVER (PARTITION BY user_id ORDER BY created_at DESC, id DESC) AS newest
	FROM notifications WHERE status = 'read' AND user_id IN (SELECT user_id FROM preview_notification_cleanup())
) AS ranked WHERE newest > 100`

var contenders = []contender{
	{alone, "", nil, nil, func(_ context.Context, b *bench, _ string) (int64, error) {
		time.Sleep(min(15*time.Second, max(2*time.Second, time.Duration(b.n)*10*time.Microsecond)))
		return 0, nil
	}},
	// Nothing but the index-only pass, and nothing but the update: it is handed the addresses of the rows, and takes them in the
	// order in which they lie.
	{limit, "limit", nil, sql(overTheLimit), sql("UPDATE notifications SET deleted_at = now() WHERE ctid = ANY (ARRAY(SELECT address FROM doomed))")},

	{"function", "ours", nil, sql("SELECT cleanup_notifications(" + nobody + ")"), sql("SELECT cleanup_notifications()")},
	{"procedure", "ours", nil, sql("CALL cleanup_notifications_in_batches(" + nobody + ")"), sql("CALL cleanup_notifications_in_batches()")},
	{oneWorker, "ours", nil, program("run", "-max-notifications", nobody), program("run")},
	{twoWorkers, "ours", nil, program("run", "-max-notifications", nobody, "-workers", "2"), program("run", "-workers", "2")},

	{"one statement", "theirs", withoutOurIndexes, sql(overTheLimit), sql(`UPDATE notifications SET deleted_at = now() WHERE id IN (
		SELECT id FROM (
			SELECT id, row_number() OVER (PARTITION BY user_id ORDER BY created_at DESC, id DESC) AS newest
			FROM notifications WHERE status = 'read' AND deleted_at IS NULL AND user_id IN (` + overTheLimit + `)
		) AS ranked WHERE newest > 100)`)},
	{"rank() over all", "theirs", withoutOurIndexes,
		sql("SELECT FROM (" + ranked + ") AS ranked WHERE ranked.status = 'read' AND total > 1000 AND newest > 100"),
		sql("UPDATE notifications AS n SET deleted_at = now() FROM (" + ranked + `) AS ranked
			WHERE n.id = ranked.id AND ranked.status = 'read' AND total > 1000 AND newest > 100`)},
	{"101st key", "theirs", withoutOurIndexes, sql(overTheLimit), sql(`UPDATE notifications AS n SET deleted_at = now() FROM (
			SELECT crowded.user_id, cutoff.created_at, cutoff.id
			FROM (` + overTheLimit + `) AS crowded
			CROSS JOIN LATERAL (SELECT created_at, id FROM notifications AS newer
				WHERE newer.user_id = crowded.user_id AND status = 'read' AND deleted_at IS NULL
				ORDER BY created_at DESC, id DESC OFFSET 100 LIMIT 1) AS cutoff
		) AS c WHERE n.user_id = c.user_id AND n.status = 'read' AND n.deleted_at IS NULL AND (n.created_at, n.id) <= (c.created_at, c.id)`)},
	{loopOverUsers, "theirs", withoutOurIndexes, loop(false), loop(true)},
}

// variants of the program with one worker, for the advice in RESULTS.md; measured beside the application only.
var variants = []contender{
	{name: "batches of 1000", drain: program("run", "-batch-size", "1000")},
	{name: "batches of 100000, row by row", drain: program("run", "-batch-size", "100000")},
	{name: "4 workers", drain: program("run", "-workers", "4")},
	{name: "wal_compression = lz4", setup: []string{"ALTER DATABASE " + copied + " SET wal_compression = lz4"}, drain: program("run")},
	{name: "fillfactor = 80", setup: []string{"ALTER TABLE notifications SET (fillfactor = 80)", "VACUUM FULL notifications"}, drain: program("run")},
	{name: "no autovacuum", setup: []string{"ALTER TABLE notifications SET (autovacuum_enabled = off)"}, drain: program("run")},
}

// ranked is the find pass of the forums: whatever is to go is found by ranking everything.
const ranked = `SELECT id, rank() OVER (PARTITION BY user_id, status ORDER BY created_at DESC, id DESC) AS newest,
	count(*) OVER (PARTITION BY user_id) AS total, status
	FROM notifications WHERE deleted_at IS NULL`

// sql is one statement.
func sql(statement string) action {
	return func(ctx context.Context, b *bench, database string) (int64, error) {
		return 0, b.in(ctx, database, statement)
	}
}

func program(args ...string) action {
	return func(ctx context.Context, b *bench, database string) (int64, error) {
		return b.program(ctx, database, args...)
	}
}

// loop is what an application's own job does: for each user it counts, selects ids and updates them, a round trip each.
func loop(drain bool) action {
	return func(ctx context.Context, b *bench, database string) (int64, error) {
		conn, err := pgx.Connect(ctx, b.url(database))
		if err != nil {
			return 0, err
		}
		defer conn.Close(ctx)
		rows, _ := conn.Query(ctx, "SELECT DISTINCT user_id::text FROM notifications")
		users, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return 0, err
		}
		for _, user := range users {
			var total int
			if err := conn.QueryRow(ctx, "SELECT count(*) FROM notifications WHERE user_id = $1 AND deleted_at IS NULL", user).Scan(&total); err != nil {
				return 0, err
			}
			if total <= 1000 || !drain {
				continue
			}
			rows, _ := conn.Query(ctx, `SELECT id::text FROM notifications WHERE user_id = $1 AND status = 'read' AND deleted_at IS NULL
				ORDER BY created_at DESC, id DESC OFFSET 100`, user)
			ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return 0, err
			}
			if _, err := conn.Exec(ctx, "UPDATE notifications SET deleted_at = now() WHERE id = ANY ($1::uuid[])", ids); err != nil {
				return 0, err
			}
		}
		return 0, nil
	}
}
