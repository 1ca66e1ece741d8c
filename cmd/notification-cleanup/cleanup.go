package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/schollz/progressbar/v3"
	"github.com/sethvargo/go-retry"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"
	"golang.org/x/time/rate"
)

const (
	retries       = 8
	retryFirst    = 200 * time.Millisecond
	retryLongest  = 5 * time.Second
	reportTimeout = 10 * time.Second
	logInterval   = time.Second
)

// cleanup plans a run, does its batches and prints its record, also when it ends early. What an earlier call has left is done first, as
// the run that it is. With DRY_RUN it only prints the preview.
func (a *app) cleanup(ctx context.Context) error {
	if a.cfg.DryRun {
		return a.preview(ctx)
	}
	var calledAt, startedAt time.Time // by the server's clock
	if err := a.transaction(ctx, `SELECT clock_timestamp()`, nil, &calledAt); err != nil {
		return err
	}
	for startedAt.Before(calledAt) {
		start := time.Now()
		var runID, users, planned int64
		if err := a.transaction(ctx, `SELECT id, started_at, users_over_limit, notifications_planned FROM plan_notification_cleanup($1, $2, $3, $4, nullif(make_interval(secs => $5), '0'))`,
			[]any{a.cfg.MaxNotifications, a.cfg.MinKeep, a.cfg.BatchSize, a.cfg.PauseFactor, a.cfg.MaxReplicaLag.Seconds()}, &runID, &startedAt, &users, &planned); err != nil {
			return fmt.Errorf("plan: %w", err)
		}
		if planned == 0 && a.people && a.cfg.Format == "text" {
			_, err := fmt.Fprintln(a.stdout, a.nothing(users))
			return err
		}
		a.log.Info("planned run", "run_id", runID, "users_over_limit", users, "notifications_planned", planned, "continued", startedAt.Before(calledAt))
		var err error
		if planned == 0 { // and it has ended
			a.log.Info("nothing to delete", "run_id", runID)
		} else {
			err = a.doBatches(ctx, runID, planned)
		}
		end, reportErr := a.report(ctx, runID, start)
		if err := errors.Join(err, reportErr); err != nil {
			return err
		}
		if end.Rewritten {
			startedAt = time.Time{} // the table is another file now: plan anew
		} else if !end.Finished {
			return errGivenUp
		}
	}
	return nil
}

// doBatches does the batches of a run on WORKERS connections until none is left, and returns the first error that no retry could mend.
func (a *app) doBatches(ctx context.Context, runID, planned int64) error {
	show, end := a.progress("deleting", planned)
	defer end()
	workers, ctx := errgroup.WithContext(ctx)
	for range a.cfg.Workers {
		workers.Go(func() error {
			for {
				var total *int64 // NULL: no batch is left
				err := a.transaction(ctx, `SELECT notifications_deleted + batch FROM notification_cleanup_runs, cleanup_next_batch($1) AS batch WHERE id = $1`,
					[]any{runID}, &total)
				if err != nil || total == nil {
					return err
				}
				show(*total)
			}
		})
	}
	return workers.Wait()
}

// transaction executes a statement that returns a row, until it succeeds or fails for good, with growing pauses, for about half a minute;
// at READ COMMITTED, because at a stricter level the workers would fail at each other's counts, and at the application's writes.
func (a *app) transaction(ctx context.Context, sql string, args []any, row ...any) error {
	backoff := retry.WithMaxRetries(retries, retry.WithJitterPercent(20, retry.WithCappedDuration(retryLongest, retry.NewExponential(retryFirst))))
	return retry.Do(ctx, backoff, func(ctx context.Context) error {
		err := pgx.BeginTxFunc(ctx, a.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, sql, args...).Scan(row...)
		})
		if err == nil || ctx.Err() != nil || !transient(err) {
			return err
		}
		a.log.Warn("retrying", "error", oneLine(err))
		return retry.RetryableError(err)
	})
}

// outcome is what the record of a run says in the end.
type outcome struct {
	UsersCleaned int64
	Deleted      int64
	Skipped      int64
	Changed      int64
	Finished     bool
	Rewritten    bool // given up, because the table was rewritten or replaced since the plan
}

// message says in the log how the run ended.
func (o outcome) message() string {
	switch {
	case o.Finished:
		return "finished run"
	case o.Rewritten:
		return "gave run up, because its table was rewritten, and plans anew"
	default:
		return "ended run early, the next one goes on from here"
	}
}

// report logs and prints what the run has committed, also after ctx is done.
func (a *app) report(ctx context.Context, runID int64, start time.Time) (outcome, error) {
	ctx, cancel := reportContext(ctx)
	defer cancel()
	rows, _ := a.pool.Query(ctx, `SELECT users_cleaned, notifications_deleted, notifications_skipped,
			notifications_changed, finished_at IS NOT NULL, cleanup_run_is_rewritten(id)
		FROM notification_cleanup_runs
		WHERE id = $1`, runID)
	o, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[outcome])
	if err != nil {
		err = fmt.Errorf("read the record of run %d: %w", runID, err)
		a.log.Error("no report", "error", oneLine(err)) // after a signal nobody else says so
		return o, err
	}
	a.log.Info(o.message(),
		"run_id", runID,
		"users_cleaned", o.UsersCleaned,
		"notifications_deleted", o.Deleted,
		"notifications_skipped", o.Skipped,
		"notifications_changed", o.Changed,
		"duration_seconds", time.Since(start).Seconds())
	return o, a.show(ctx, true, "", `SELECT * FROM notification_cleanup_runs WHERE id = $1`, runID)
}

// reportContext gives ctx a little more time, when it is done, to say what was committed.
func reportContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
}

// purge deletes for good what is older than RETENTION.
func (a *app) purge(ctx context.Context) error {
	retention := a.cfg.Retention.Seconds()
	return a.repeat(ctx, "purging", "purged",
		query{`SELECT count(*) FROM notifications WHERE deleted_at < now() - make_interval(secs => $1)`, []any{retention}},
		query{`SELECT nullif(purge_notifications(make_interval(secs => $1), $2), 0)`, []any{retention, a.cfg.BatchSize}})
}

// restore undoes a run.
func (a *app) restore(ctx context.Context) error {
	return a.repeat(ctx, "restoring", "restored",
		query{`SELECT coalesce(sum(notifications_deleted - notifications_restored), 0)::bigint FROM notification_cleanup_runs WHERE id = $1::text::bigint`, []any{a.argument}},
		query{`SELECT restore_next_batch($1::text::bigint, $2)`, []any{a.argument, a.cfg.BatchSize}})
}

type query struct {
	sql  string
	args []any
}

// repeat does batch after batch until one returns NULL, and prints how many notifications that were, also when it fails.
func (a *app) repeat(ctx context.Context, doing, done string, expect, batch query) (err error) {
	var expected, total int64
	if err := a.transaction(ctx, expect.sql, expect.args, &expected); err != nil {
		return fmt.Errorf("count notifications: %w", err)
	}
	a.log.Info("started "+doing, "notifications_expected", expected)
	show, end := a.progress(doing, expected)
	for {
		var count *int64
		if err = a.transaction(ctx, batch.sql, batch.args, &count); err != nil || count == nil {
			break
		}
		total += *count
		show(total)
	}
	end()
	if exitStatus(err) == 2 { // there is no such run
		return err
	}
	a.log.Info(done, "notifications_"+done, total)
	ctx, cancel := reportContext(ctx)
	defer cancel()
	return errors.Join(err, a.print(ctx, `SELECT $1::bigint AS notifications_`+done, total))
}

// transient tells errors that may be gone at the next attempt.
func transient(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return true // no answer from the server: the connection was lost, or could not be made
	}
	switch pgErr.Code {
	case "40001", "40P01", "55P03", // serialization failure, deadlock, lock not available
		"57P01", "57P02", "57P03", // shutting down, crashed, starting up
		"53300": // too many connections
		return true
	}
	return strings.HasPrefix(pgErr.Code, "08") // connection exceptions
}

// progress returns a function to call with the count so far, and one to call at the end: they move a bar where stderr is a terminal,
// else they log a line now and then.
func (a *app) progress(doing string, expected int64) (show func(total int64), end func()) {
	if file, ok := a.stderr.(*os.File); ok && expected > 0 && term.IsTerminal(int(file.Fd())) {
		bar := progressbar.NewOptions64(expected,
			progressbar.OptionSetWriter(a.stderr),
			progressbar.OptionSetDescription(doing),
			progressbar.OptionSetRenderBlankState(true), // starts its clock
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("notifications"),
			progressbar.OptionFullWidth(),
		)
		a.overBar.bar = true
		return func(total int64) { _ = bar.Set64(min(total, expected)) }, func() {
			a.overBar.bar = false
			fmt.Fprintln(a.stderr)
		}
	}
	sometimes := rate.Sometimes{Interval: logInterval}
	sometimes.Do(func() {}) // what is done within a second needs no such line
	return func(total int64) {
		sometimes.Do(func() { a.log.Info(doing, "notifications_done", total, "notifications_expected", expected) })
	}, func() {}
}
