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
	// cancelTimeout is how long the server has to confirm that a statement was cancelled.
	cancelTimeout = 5 * time.Second
	// cancelDelay is for a confirmed request to reach its statement, and not the next one.
	cancelDelay = 100 * time.Millisecond
)

var (
	errInterrupted = errors.New("stopped early by a signal")
	errTimeout     = errors.New("stopped early by TIMEOUT")
)

// app is what every command works with.
type app struct {
	cfg    Config
	log    *slog.Logger
	stdout io.Writer
	stderr io.Writer
	pool   *pgxpool.Pool
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
	a := &app{cfg: cfg, log: newLogger(cfg.LogFormat, stderr), stdout: stdout, stderr: stderr}
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

	err = a.execute(ctx, words, config)
	switch cause := context.Cause(ctx); {
	case err == nil || cause == nil:
		return err
	case errors.Is(cause, errTimeout):
		return errTimeout
	default:
		return errInterrupted
	}
}

func (a *app) execute(ctx context.Context, words []string, config *pgxpool.Config) error {
	command, argument, _ := strings.Cut(strings.Join(words, " "), " ")
	var statement func(context.Context) error
	switch {
	case command == "migrate" && slices.Contains([]string{"", "up", "down", "status"}, argument):
		return a.migrate(ctx, argument, config.ConnConfig)
	case command == "restore":
		runID, err := strconv.ParseInt(argument, 10, 64)
		if err != nil {
			return usageError(fmt.Sprintf("restore takes the id of a run, not %q: notification-cleanup history lists them", argument))
		}
		statement = func(ctx context.Context) error { return a.restore(ctx, runID) }
	default:
		statement = map[string]func(context.Context) error{
			"": a.cleanup, "run": a.cleanup, "preview": a.preview, "stats": a.stats, "history": a.history, "purge": a.purge,
		}[strings.Join(words, " ")]
	}
	if statement == nil {
		return usageError(fmt.Sprintf("unknown command %q: notification-cleanup -help lists them", strings.Join(words, " ")))
	}

	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect to database: %w", err)
	}
	defer pool.Close()
	if err := pool.Ping(ctx); err != nil {
		return fmt.Errorf("connect to database: %w", err)
	}
	a.pool = pool
	return statement(ctx)
}

func (a *app) preview(ctx context.Context) error {
	return a.print(ctx, `SELECT * FROM preview_notification_cleanup($1, $2)`, a.cfg.MaxNotifications, a.cfg.MinKeep)
}

func (a *app) stats(ctx context.Context) error {
	return a.print(ctx, `SELECT * FROM notification_stats($1)`, a.cfg.MaxNotifications)
}

func (a *app) history(ctx context.Context) error {
	return a.print(ctx, `SELECT * FROM notification_cleanup_runs ORDER BY id DESC LIMIT 20`)
}

func (a *app) restore(ctx context.Context, runID int64) error {
	return a.print(ctx, `SELECT restore_notifications AS notifications_restored FROM restore_notifications($1)`, runID)
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
	conn.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &canceler{conn: conn}
	}
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

func newLogger(format string, w io.Writer) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}

// exitStatus is 0 done, 1 failed, 2 bad configuration or usage, 3 stopped early.
func exitStatus(err error) int {
	var usage usageError
	var pgErr *pgconn.PgError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted), errors.Is(err, errTimeout):
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
