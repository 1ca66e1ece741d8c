package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/config"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/terminal"
)

const (
	reportTimeout = 10 * time.Second
	waitInterval  = 30 * time.Second // between two lines of the log that say what a run waits for
)

var (
	errInterrupted = errors.New("stopped early by a signal")
	errTimeout     = errors.New("stopped early by TIMEOUT")
	errSuspended   = errors.New("the cleanup is suspended: notification-cleanup resume ends that")
	errGivenUp     = errors.New("stopped early: somebody stopped or restored the run, " +
		"or it was older than 36 hours")
)

// app is what every command works with.
type app struct {
	env    envconfig.Lookuper
	given  config.Given // by flags
	cfg    config.Config
	stdout terminal.Screen
	stderr terminal.Screen
	log    *terminal.Log
	db     *database.Database

	installed *installation // nil: nothing, or the command has not looked
}

func newApp(env envconfig.Lookuper, stdout, stderr io.Writer) *app {
	noColor, _ := env.Lookup("NO_COLOR")
	return &app{
		env:    env,
		given:  config.Given{},
		stdout: terminal.NewScreen(stdout, noColor != ""),
		stderr: terminal.NewScreen(stderr, noColor != ""),
	}
}

// execute runs one command line, and returns the exit status. The result goes to stdout, all else
// to stderr.
func execute(
	ctx context.Context,
	args []string,
	env envconfig.Lookuper,
	stdout, stderr io.Writer,
) int {
	a := newApp(env, stdout, stderr)
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	status := exitStatus(err)
	if err != nil {
		a.printError(err, status)
	}
	return status
}

// printError says why the program has failed: for people with detail and hint on lines of their
// own, on one line elsewhere.
func (a *app) printError(err error, status int) {
	switch {
	case a.logsJSON():
		terminal.NewLog(a.stderr, true).Error(database.OneLine(err), "exit_status", status)
	case a.stderr.Width > 0:
		for i, line := range database.Lines(err) {
			if i == 0 {
				line = "notification-cleanup: " + line
			}
			fmt.Fprintln(a.stderr, a.stderr.Table(make([]terminal.Column, 1), [][]string{{line}}))
		}
	default:
		fmt.Fprintln(a.stderr, "notification-cleanup: "+database.OneLine(err))
	}
}

// exitStatus is 0 done, 1 failed, 2 bad configuration or usage, 3 stopped early.
func exitStatus(err error) int {
	var usage config.UsageError
	var mistaken *database.MistakenError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted), errors.Is(err, errTimeout),
		errors.Is(err, errGivenUp), errors.Is(err, errSuspended):
		return 3
	case errors.As(err, &usage), errors.As(err, &mistaken), database.Refused(err):
		return 2
	default:
		return 1
	}
}

// logsJSON tells if LOG_FORMAT says so, even where the configuration is wrong elsewhere.
func (a *app) logsJSON() bool {
	format, given := a.given["LOG_FORMAT"]
	if !given {
		format, _ = a.env.Lookup("LOG_FORMAT")
	}
	return format == "json"
}

// An action is what a command does with its arguments.
type action func(ctx context.Context, args []string) error

// configured makes an action a command that has read its configuration.
func (a *app) configured(do action) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		if a.cfg, err = config.Load(cmd.Context(), a.given, a.env); err != nil {
			return err
		}
		if a.cfg.DryRun && cmd.Annotations[alwaysWrites] != "" {
			return config.UsageError(
				"DRY_RUN is true, but " + nameOf(cmd) + " has no dry run: nothing was done")
		}
		if a.cfg.Format == prometheus && cmd.Name() != "health" {
			return config.UsageError(nameOf(cmd) + " has no FORMAT prometheus, takes text or json")
		}
		a.log = terminal.NewLog(a.stderr, a.logsJSON())
		return do(cmd.Context(), args)
	}
}

// connected makes an action a command that works with the database, for TIMEOUT at most.
func (a *app) connected(do action) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return a.configured(func(ctx context.Context, args []string) error {
			if timeout := time.Duration(a.cfg.Timeout); timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, timeout, errTimeout)
				defer cancel()
			}
			// Who works in batches goes on working while a server comes back.
			patient := cmd.Flags().Lookup("batch-size") != nil
			err := a.connect(ctx, patient)
			if err == nil {
				defer a.db.Close()
				if !isMigration(cmd) {
					a.installed, err = a.inspect(ctx)
				}
			}
			if err == nil {
				err = do(ctx, args)
			}
			switch {
			case err == nil || ctx.Err() == nil:
				return err
			case errors.Is(context.Cause(ctx), errTimeout):
				return errTimeout
			default:
				return errInterrupted
			}
		})(cmd, args)
	}
}

func (a *app) connect(ctx context.Context, patient bool) error {
	pool, err := database.Configure(a.cfg)
	if err != nil {
		return err
	}
	pool.ConnConfig.OnNotice = a.logNotices()
	a.db, err = database.Open(ctx, pool, a.log.Logger, patient)
	return err
}

// logNotices returns what logs a notice of the server: warnings, that the cleanup is suspended, and
// now and then what a run waits for.
func (a *app) logNotices() pgconn.NoticeHandler {
	rarely := rate.Sometimes{Interval: waitInterval}
	return func(_ *pgconn.PgConn, notice *pgconn.Notice) {
		switch {
		case notice.SeverityUnlocalized == "WARNING" && notice.Hint != "":
			a.log.Warn(notice.Message, "hint", notice.Hint)
		case notice.SeverityUnlocalized == "WARNING",
			strings.HasPrefix(notice.Message, "the cleanup is suspended "):
			a.log.Warn(notice.Message)
		case strings.Contains(notice.Message, ": waiting, "):
			// Of cleanup_next_batch(); of a trigger there can be a thousand.
			rarely.Do(func() { a.log.Info(notice.Message) })
		}
	}
}

// reportContext gives ctx a little more time, when it is done, to say what was committed.
func reportContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
}

// writeJSON writes the rows of a query to stdout, an object a line.
func (a *app) writeJSON(ctx context.Context, sql string, args ...any) error {
	return database.WriteJSON(ctx, a.db, a.stdout, sql, args...)
}

// writeTable writes a table to stdout.
func (a *app) writeTable(columns []terminal.Column, rows [][]string) error {
	_, err := fmt.Fprintln(a.stdout, a.stdout.Table(columns, rows))
	return err
}
