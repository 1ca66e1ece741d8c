package database

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/config"
)

const (
	connectTimeout = 10 * time.Second
	cancelTimeout  = 5 * time.Second        // for the server to confirm that a statement was cancelled
	cancelDelay    = 100 * time.Millisecond // for that to reach its statement, and not the next one
)

// Configure turns the configuration into pgx's, with defaults where the user has set nothing.
func Configure(c config.Config) (*pgxpool.Config, error) {
	pool, err := pgxpool.ParseConfig(c.DatabaseURL)
	if err != nil {
		// pgx's own message can repeat parts of a password.
		return nil, config.UsageError("DATABASE_URL (or a PG* variable) is not valid: " +
			"it takes postgres://user:password@host:5432/database, special characters " +
			"percent-encoded, or host=... user=... dbname=...")
	}
	pool.MaxConns = c.Workers
	conn := pool.ConnConfig
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "notification-cleanup"
	}
	if c.Schema != "" {
		conn.RuntimeParams["search_path"] = pgx.Identifier{c.Schema}.Sanitize()
	}
	// What goes and comes is in these forms, whatever those of the database are. PgBouncer takes
	// them, and hands them on.
	conn.RuntimeParams["datestyle"] = "ISO"
	conn.RuntimeParams["standard_conforming_strings"] = "on"
	conn.RuntimeParams["client_encoding"] = "UTF8"
	// No prepared statements, so that PgBouncer's transaction mode works; nothing here is
	// executed often.
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	// A cancelled context returns when the server has stopped, not before.
	conn.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &canceler{conn: conn}
	}
	return pool, nil
}

// canceler cancels a statement on the server when its context is done. Unlike pgx's own, it always
// waits for the end of the request: PgBouncer 1.18 dies when the sender hangs up before
// (https://github.com/pgbouncer/pgbouncer/issues/801).
type canceler struct {
	conn *pgconn.PgConn
	done chan struct{}
}

// HandleCancel implements ctxwatch.Handler.
func (c *canceler) HandleCancel(context.Context) {
	deadline := time.Now().Add(cancelTimeout)
	_ = c.conn.Conn().SetDeadline(deadline) // fails only when the connection is closed
	c.done = make(chan struct{})
	go func() {
		defer close(c.done)
		ctx, stop := context.WithDeadline(context.Background(), deadline)
		defer stop()
		if c.conn.CancelRequest(ctx) == nil {
			time.Sleep(cancelDelay)
		}
	}()
}

// HandleUnwatchAfterCancel implements ctxwatch.Handler.
func (c *canceler) HandleUnwatchAfterCancel() {
	<-c.done
	_ = c.conn.Conn().SetDeadline(time.Time{})
}
