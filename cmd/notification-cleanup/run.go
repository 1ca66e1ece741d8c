package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/sethvargo/go-envconfig"
)

const (
	connectTimeout = 10 * time.Second
	cancelTimeout  = 5 * time.Second        // for the server to confirm that a statement was cancelled
	cancelDelay    = 100 * time.Millisecond // for a confirmed request to reach its statement, and not the next one
)

var (
	errInterrupted = errors.New("stopped early by a signal")
	errTimeout     = errors.New("stopped early by TIMEOUT")
	errGivenUp     = errors.New("stopped early: somebody restored the run, or it was older than 36 hours")
)

// app is what every command works with.
type app struct {
	cfg            Config
	log            *slog.Logger
	stdout, stderr io.Writer
	pool           *pgxpool.Pool
}

// run executes one command line. The result goes to stdout, the log to stderr; the caller prints the error.
func run(ctx context.Context, args []string, env envconfig.Lookuper, stdout, stderr io.Writer) error {
	cfg, words, err := loadConfig(ctx, args, env)
	if errors.Is(err, flag.ErrHelp) {
		writeUsage(stdout)
		return nil
	}
	if err != nil {
		return err
	}
	config, err := poolConfig(cfg)
	if err != nil {
		return err
	}
	a := &app{cfg: cfg, log: slog.New(slog.NewTextHandler(stderr, nil)), stdout: stdout, stderr: stderr}
	if cfg.LogFormat == "json" {
		a.log = slog.New(slog.NewJSONHandler(stderr, nil))
	}
	config.ConnConfig.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) {
		if notice.SeverityUnlocalized == "WARNING" {
			a.log.Warn(notice.Message, "hint", notice.Hint)
		}
	}
	if cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, cfg.Timeout, errTimeout)
		defer cancel()
	}

	if err = a.execute(ctx, words, config); err == nil || ctx.Err() == nil {
		return err
	}
	if errors.Is(context.Cause(ctx), errTimeout) {
		return errTimeout
	}
	return errInterrupted
}

func (a *app) execute(ctx context.Context, words []string, config *pgxpool.Config) (err error) {
	command, argument, _ := strings.Cut(strings.Join(words, " "), " ")
	var runID int64
	switch {
	case command == "migrate" && slices.Contains([]string{"", "up", "down", "status"}, argument):
	case command == "restore":
		if runID, err = strconv.ParseInt(argument, 10, 64); err != nil {
			return usageError(fmt.Sprintf("restore takes the id of a run, not %q: notification-cleanup history lists them", argument))
		}
	case argument != "" || !slices.Contains([]string{"", "run", "preview", "stats", "history", "purge"}, command):
		return usageError(fmt.Sprintf("unknown command %q: notification-cleanup -help lists them", strings.Join(words, " ")))
	}

	if a.pool, err = pgxpool.NewWithConfig(ctx, config); err == nil {
		defer a.pool.Close()
		err = a.pool.Ping(ctx)
	}
	if err != nil {
		return fmt.Errorf("connect to database: %w", err)
	}
	switch command {
	case "migrate":
		return a.migrate(ctx, argument, config.ConnConfig)
	case "preview":
		return a.preview(ctx)
	case "stats":
		return a.print(ctx, `SELECT * FROM notification_stats($1)`, a.cfg.MaxNotifications)
	case "history":
		return a.print(ctx, `SELECT * FROM notification_cleanup_runs ORDER BY id DESC LIMIT 20`)
	case "restore":
		return a.print(ctx, `SELECT restore_notifications AS notifications_restored FROM restore_notifications($1)`, runID)
	case "purge":
		return a.purge(ctx)
	}
	return a.cleanup(ctx)
}

func (a *app) preview(ctx context.Context) error {
	return a.print(ctx, `SELECT * FROM preview_notification_cleanup($1, $2)`, a.cfg.MaxNotifications, a.cfg.MinKeep)
}

// poolConfig turns the configuration into pgx's, with defaults where the user has set nothing.
func poolConfig(cfg Config) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(cfg.DatabaseURL)
	if err != nil {
		// pgx's own message can repeat parts of a password.
		return nil, usageError("DATABASE_URL (or a PG* variable) is not valid: it takes postgres://user:password@host:5432/database, " +
			"special characters percent-encoded, or host=... user=... dbname=...")
	}
	config.MaxConns = cfg.Workers
	conn := config.ConnConfig
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "notification-cleanup"
	}
	if cfg.Schema != "" {
		conn.RuntimeParams["search_path"] = pgx.Identifier{cfg.Schema}.Sanitize()
	}
	// No prepared statements, so that PgBouncer's transaction mode works; nothing here is executed often.
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	// A cancelled context returns when the server has stopped, not before.
	conn.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler { return &canceler{conn: conn} }
	return config, nil
}

// canceler cancels a statement on the server when its context is done. Unlike pgx's own, it always waits for the end of the
// request: PgBouncer 1.18 dies when the sender hangs up before (https://github.com/pgbouncer/pgbouncer/issues/801).
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

// exitStatus is 0 done, 1 failed, 2 bad configuration or usage, 3 stopped early.
func exitStatus(err error) int {
	var usage usageError
	var pgErr *pgconn.PgError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted), errors.Is(err, errTimeout), errors.Is(err, errGivenUp):
		return 3
	case errors.As(err, &usage):
		return 2
	case errors.As(err, &pgErr) && pgErr.Code == "22023": // refused arguments
		return 2
	default:
		return 1
	}
}

// oneLine is the error with PostgreSQL's hint, on one line.
func oneLine(err error) string {
	message := err.Error()
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		hint := pgErr.Hint
		switch {
		case pgErr.Code == "42883", pgErr.Code == "42P01": // no such function or table
			hint = "Is it installed here? See notification-cleanup migrate status, and SCHEMA."
		case pgErr.Code == "08P01" && strings.Contains(pgErr.Message, "search_path"):
			hint = "PgBouncer does not take SCHEMA: ALTER ROLE ... SET search_path instead."
		}
		if hint != "" {
			message += " HINT: " + hint
		}
	}
	return strings.Join(strings.Fields(message), " ")
}
