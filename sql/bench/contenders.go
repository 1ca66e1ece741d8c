package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// contender is a way to soft-delete what the rule says.
type contender struct {
	name  string
	setup []string // not measured
	drain func(ctx context.Context, b *bench, database string) (resident int64, err error)
}

// Those that others are compared with.
const (
	alone    = "application alone"
	bareFind = "bare find"
)

// withoutOurIndexes is what an application has before it meets this project.
var withoutOurIndexes = []string{"DROP INDEX notifications_live_idx, notifications_deleted_idx"}

var contenders = []contender{
	{alone, nil, func(_ context.Context, b *bench, _ string) (int64, error) {
		time.Sleep(min(15*time.Second, max(2*time.Second, time.Duration(b.n)*10*time.Microsecond)))
		return 0, nil
	}},
	// Nothing but the update itself: it is handed the addresses of the rows in the order in which they lie.
	{"limit", []string{
		`CREATE TABLE doomed AS SELECT address FROM (
			SELECT ctid AS address, row_number() OVER (PARTITION BY user_id ORDER BY created_at DESC, id DESC) AS newest
			FROM notifications WHERE status = 'read' AND user_id IN (SELECT user_id FROM preview_notification_cleanup())
		) AS ranked WHERE newest > 100 ORDER BY address`,
		"ANALYZE doomed",
	}, sql("UPDATE notifications AS n SET deleted_at = now() FROM doomed WHERE n.ctid = doomed.address")},

	{"function", nil, sql("SELECT cleanup_notifications()")},
	{"procedure", nil, sql("CALL cleanup_notifications_in_batches()")},
	{"program, 1 worker", nil, program("run")},
	{"program, 2 workers", nil, program("run", "-workers", "2")},

	{"one statement", withoutOurIndexes, sql(`UPDATE notifications SET deleted_at = now() WHERE id IN (
		SELECT id FROM (
			SELECT id, row_number() OVER (PARTITION BY user_id ORDER BY created_at DESC, id DESC) AS newest
			FROM notifications WHERE status = 'read' AND deleted_at IS NULL AND user_id IN (
				SELECT user_id FROM notifications WHERE deleted_at IS NULL GROUP BY user_id HAVING count(*) > 1000)
		) AS ranked WHERE newest > 100)`)},
	{"rank() over all", withoutOurIndexes, sql(`UPDATE notifications AS n SET deleted_at = now() FROM (
			SELECT id, rank() OVER (PARTITION BY user_id, status ORDER BY created_at DESC, id DESC) AS newest,
				count(*) OVER (PARTITION BY user_id) AS total, status
			FROM notifications WHERE deleted_at IS NULL
		) AS ranked WHERE n.id = ranked.id AND ranked.status = 'read' AND total > 1000 AND newest > 100`)},
	{"101st key", withoutOurIndexes, sql(`UPDATE notifications AS n SET deleted_at = now() FROM (
			SELECT crowded.user_id, cutoff.created_at, cutoff.id
			FROM (SELECT user_id FROM notifications WHERE deleted_at IS NULL GROUP BY user_id HAVING count(*) > 1000) AS crowded
			CROSS JOIN LATERAL (SELECT created_at, id FROM notifications AS newer
				WHERE newer.user_id = crowded.user_id AND status = 'read' AND deleted_at IS NULL
				ORDER BY created_at DESC, id DESC OFFSET 100 LIMIT 1) AS cutoff
		) AS c WHERE n.user_id = c.user_id AND n.status = 'read' AND n.deleted_at IS NULL AND (n.created_at, n.id) <= (c.created_at, c.id)`)},
	{"loop over users", withoutOurIndexes, loop},
}

// sql is a contender of one statement.
func sql(statement string) func(context.Context, *bench, string) (int64, error) {
	return func(ctx context.Context, b *bench, database string) (int64, error) {
		return 0, b.in(ctx, database, statement)
	}
}

func program(args ...string) func(context.Context, *bench, string) (int64, error) {
	return func(ctx context.Context, b *bench, database string) (int64, error) {
		return b.program(ctx, database, args...)
	}
}

// loop is what an application's own job does: for each user it counts, selects ids and updates them, a round trip each.
func loop(ctx context.Context, b *bench, database string) (int64, error) {
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
		if total <= 1000 {
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
