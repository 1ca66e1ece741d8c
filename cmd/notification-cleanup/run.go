package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/lmittmann/tint"
	"github.com/sethvargo/go-envconfig"
	"golang.org/x/time/rate"
)

const (
	connectTimeout = 10 * time.Second
	cancelTimeout  = 5 * time.Second        // for the server to confirm that a statement was cancelled
	cancelDelay    = 100 * time.Millisecond // for a confirmed request to reach its statement, and not the next one
)

var (
	errInterrupted = errors.New("stopped early by a signal")
	errTimeout     = errors.New("stopped early by TIMEOUT")
	errVersion     = errors.New("asked for the version")
	errGivenUp     = errors.New("stopped early: somebody stopped or restored the run, or it was older than 36 hours")
)

// app is what every command works with.
type app struct {
	cfg      Config
	argument string // of the command
	log      *slog.Logger
	people   bool // read the log
	stdout   screen
	stderr   io.Writer
	overBar  overBar
	pool     *pgxpool.Pool
}

// commands are what the program can do, in the order of the help.
var commands = []subcommand{
	{"run", "", "clean up, and print the run's record", "-workers 2 -timeout 2h", (*app).cleanup},
	{"preview", "", "what run would delete, a row for each user over the limit", "-max-notifications 500 -top 10", (*app).preview},
	{"limits", "", "what run would delete with each of some limits, and how many notifications users have", "-min-keep 50", (*app).limits},
	{"doctor", "", "is all well here? what is not, and what to do; before migrate up, what that would do or refuse", "-format json", (*app).doctor},
	{"stats", "", "live notifications, users, users over the limit", "-format json", func(a *app, ctx context.Context) error {
		return a.print(ctx, `SELECT * FROM notification_stats($1)`, a.cfg.MaxNotifications)
	}},
	{"history", "", "the last 20 runs, a line each; with -format json all columns", "-format json", (*app).history},
	{"stop", "RUN_ID", "let whoever works on a run end after the batch; the next run goes on from there", "7", func(a *app, ctx context.Context) error {
		return a.print(ctx, `SELECT stop_notification_cleanup($1::text::bigint) AS stopped`, a.argument)
	}},
	{"restore", "RUN_ID", "undo one run", "7", (*app).restore},
	{"purge", "", "delete for good what was soft-deleted longer than RETENTION ago", "-retention 2160h", (*app).purge},
	{"migrate", "[up|down|status|script]", "install, uninstall (keeps all notifications), look, or print for psql what up executes",
		`script | psql "$DATABASE_URL"`, func(a *app, ctx context.Context) error { return a.migrate(ctx, a.argument, a.pool.Config().ConnConfig) }},
}

// run executes one command line. The result goes to stdout, the log to stderr; the caller prints the error.
func run(ctx context.Context, args []string, env envconfig.Lookuper, stdout, stderr io.Writer) error {
	cfg, words, err := loadConfig(ctx, args, env)
	screen, log := newScreen(stdout), newScreen(stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return writeHelp(screen, words)
	case errors.Is(err, errVersion):
		_, err = fmt.Fprintln(stdout, version())
		return err
	case err != nil:
		return err
	}
	config, err := poolConfig(cfg)
	if err != nil {
		return err
	}
	a := &app{cfg: cfg, log: slog.New(slog.NewTextHandler(stderr, nil)), stdout: screen, stderr: stderr, overBar: overBar{screen: log}, people: log.width > 0 && cfg.LogFormat == "text"}
	if cfg.LogFormat == "json" {
		a.log = slog.New(slog.NewJSONHandler(stderr, nil))
	} else if noColor, _ := env.Lookup("NO_COLOR"); a.people {
		a.log = slog.New(tint.NewTextHandler(&a.overBar, &tint.Options{NoColor: noColor != "", ReplaceAttr: forPeople}))
	}
	sometimes := rate.Sometimes{Interval: logInterval}
	config.ConnConfig.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) {
		if notice.SeverityUnlocalized == "WARNING" {
			a.log.Warn(notice.Message, "hint", notice.Hint)
		} else if strings.Contains(notice.Message, ": waiting, ") { // of cleanup_next_batch(); there can be a thousand of a trigger
			sometimes.Do(func() { a.log.Info(notice.Message) })
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
	var command subcommand
	if command, a.argument, err = parseCommand(words); err != nil {
		return err
	} else if a.argument == "script" {
		return a.script()
	}
	if a.pool, err = pgxpool.NewWithConfig(ctx, config); err == nil {
		defer a.pool.Close()
		err = a.pool.Ping(ctx)
	}
	if err != nil {
		return fmt.Errorf("connect to database: %w", err)
	}
	return command.run(a, ctx)
}

// preview prints the users over the limit; as text with a line for the total, and on a terminal no more than 20.
func (a *app) preview(ctx context.Context) error {
	sql, top := `SELECT * FROM preview_notification_cleanup($1, $2) LIMIT nullif($3::bigint, 0)`, a.cfg.Top
	if a.cfg.Format == "text" {
		sql = `WITH preview AS MATERIALIZED (SELECT * FROM preview_notification_cleanup($1, $2))
			(SELECT user_id::text, total_notifications AS total, unread_notifications AS unread, deletable_notifications AS deletable FROM preview LIMIT nullif($3::bigint, 0))
			UNION ALL
			SELECT 'users: ' || ltrim(to_char(count(*), '999,999,999,999')) || CASE WHEN count(*) > nullif($3, 0) THEN ', shown: ' || $3 ELSE '' END,
				sum(total_notifications)::bigint, sum(unread_notifications)::bigint, sum(deletable_notifications)::bigint
			FROM preview HAVING count(*) > 0`
		if top == 0 && a.stdout.width > 0 {
			top = 20
		}
	}
	return a.show(ctx, false, a.nothing(0), sql, a.cfg.MaxNotifications, a.cfg.MinKeep, top)
}

// history prints the last runs; as text in a short line each.
func (a *app) history(ctx context.Context) error {
	columns := "*"
	if a.cfg.Format == "text" {
		columns = `id, started_at AS "when", to_char(finished_at - started_at, 'HH24:MI:SS.MS') AS how_long, users_cleaned AS users, notifications_deleted AS deleted, notifications_skipped AS skipped,
			CASE WHEN notifications_restored > 0 THEN 'restored' WHEN finished_at IS NOT NULL THEN 'finished'
				WHEN id IN (SELECT run_id FROM notification_cleanup_open_runs WHERE stopped_at IS NOT NULL) THEN 'stopped' ELSE 'unfinished' END AS outcome`
	}
	return a.show(ctx, false, "no run yet", `SELECT `+columns+` FROM notification_cleanup_runs ORDER BY id DESC LIMIT 20`)
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
