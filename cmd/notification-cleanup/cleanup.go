package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/schollz/progressbar/v3"
	"github.com/sethvargo/go-retry"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"
)

const (
	retries       = 8
	retryFirst    = 200 * time.Millisecond
	retryLongest  = 5 * time.Second
	reportTimeout = 10 * time.Second
	logInterval   = time.Second
)

// inbox is a user over the limit.
type inbox struct {
	UserID    string `db:"user_id"`
	Deletable int64  `db:"deletable_notifications"`
}

// cleanup is one run: it takes the preview once, cleans the users found batch by batch, and prints the run's record.
// A run that ends early is reported just the same; its finished_at stays NULL. With DRY_RUN it only prints the preview.
func (a *app) cleanup(ctx context.Context) error {
	if a.cfg.DryRun {
		return a.preview(ctx)
	}
	start := time.Now()
	var inboxes []inbox
	if err := a.retry(ctx, func(ctx context.Context) (err error) {
		rows, _ := a.pool.Query(ctx,
			`SELECT user_id::text, deletable_notifications FROM preview_notification_cleanup($1, $2)`,
			a.cfg.MaxNotifications, a.cfg.MinKeep)
		inboxes, err = pgx.CollectRows(rows, pgx.RowToStructByName[inbox])
		return err
	}); err != nil {
		return fmt.Errorf("find users over the limit: %w", err)
	}
	var deletable int64
	idle := 0 // users over the limit with nothing to delete
	for _, inbox := range inboxes {
		if deletable += inbox.Deletable; inbox.Deletable == 0 {
			idle++
		}
	}

	var runID int64
	if err := a.retry(ctx, func(ctx context.Context) error {
		return a.pool.QueryRow(ctx,
			`INSERT INTO notification_cleanup_runs (max_notifications, min_keep) VALUES ($1, $2) RETURNING id`,
			a.cfg.MaxNotifications, a.cfg.MinKeep).Scan(&runID)
	}); err != nil {
		return fmt.Errorf("open run: %w", err)
	}
	a.log.Info("started run", "run_id", runID, "users_over_limit", len(inboxes), "notifications_deletable", deletable)
	if deletable == 0 {
		a.log.Info("nothing to delete", "run_id", runID)
	}

	err := a.cleanBatches(ctx, runID, pack(inboxes, int64(a.cfg.BatchSize)), deletable)
	if err == nil {
		err = a.finish(ctx, runID, idle)
	}
	return errors.Join(err, a.report(ctx, runID, start, err))
}

// report logs and prints what the run has committed, also after ctx is done.
func (a *app) report(ctx context.Context, runID int64, start time.Time, runErr error) error {
	ctx, cancel := reportContext(ctx)
	defer cancel()
	var users, deleted, skipped int64
	err := a.pool.QueryRow(ctx,
		`SELECT users_cleaned, notifications_deleted, notifications_skipped FROM notification_cleanup_runs WHERE id = $1`,
		runID).Scan(&users, &deleted, &skipped)
	if err != nil {
		err = fmt.Errorf("read the record of run %d: %w", runID, err)
		a.log.Error("no report", "error", oneLine(err)) // after a signal nobody else says so
		return err
	}
	message := "finished run"
	if runErr != nil {
		message = "ended run early, the next one goes on from here"
	}
	a.log.Info(message, "run_id", runID, "users_cleaned", users, "notifications_deleted", deleted,
		"notifications_skipped", skipped, "duration_seconds", time.Since(start).Seconds())
	return a.printRecord(ctx, `SELECT * FROM notification_cleanup_runs WHERE id = $1`, runID)
}

// reportContext gives ctx a little more time, when it is done, to say what was committed.
func reportContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
}

// batch is whole users, cleaned in one transaction.
type batch struct {
	userIDs   []string
	deletable int64
}

// pack puts whole users together until a batch has about size notifications to delete. Users with nothing to delete are
// in no batch.
func pack(inboxes []inbox, size int64) (batches []batch) {
	for _, inbox := range inboxes {
		if inbox.Deletable == 0 {
			continue
		}
		if batches == nil || batches[len(batches)-1].deletable >= size {
			batches = append(batches, batch{})
		}
		last := &batches[len(batches)-1]
		last.userIDs = append(last.userIDs, inbox.UserID)
		last.deletable += inbox.Deletable
	}
	return batches
}

// cleanBatches cleans the batches on WORKERS connections, and returns the first error that no retry could mend.
func (a *app) cleanBatches(ctx context.Context, runID int64, batches []batch, deletable int64) error {
	done, end := a.progress("deleting", deletable)
	defer end()
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(int(a.cfg.Workers))
	for _, b := range batches {
		workers.Go(func() error {
			if err := a.cleanBatch(ctx, runID, b); err != nil {
				return fmt.Errorf("clean up a batch of %d users: %w", len(b.userIDs), err)
			}
			done(b.deletable)
			return nil
		})
	}
	return workers.Wait()
}

// cleanBatch cleans one batch, and counts it once even if the connection is lost while it commits. At a stricter level than READ
// COMMITTED the workers would fail at each other's counts, and at the application's writes.
func (a *app) cleanBatch(ctx context.Context, runID int64, b batch) error {
	committing := false // in an attempt of which the end is not known
	return a.retry(ctx, func(ctx context.Context) error {
		if committing {
			if committed, err := a.committed(ctx, runID, b); committed || err != nil {
				return err
			}
		}
		return pgx.BeginTxFunc(ctx, a.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `SELECT cleanup_notifications($1, $2, $3::text[]::notification_user_id[], $4)`,
				a.cfg.MaxNotifications, a.cfg.MinKeep, b.userIDs, runID)
			committing = err == nil
			return err
		})
	})
}

// committed tells if a batch has been committed although no answer came. (Its transaction id would not tell, because after
// a crash the server may give the same id to another transaction.)
func (a *app) committed(ctx context.Context, runID int64, b batch) (committed bool, err error) {
	// Waits for the end of a transaction that is still committing.
	if _, err := a.pool.Exec(ctx, `SELECT FROM notification_cleanup_runs WHERE id = $1 FOR UPDATE`, runID); err != nil {
		return false, err
	}
	err = a.pool.QueryRow(ctx,
		`SELECT EXISTS (SELECT FROM notifications AS n JOIN notification_cleanup_runs AS r ON n.deleted_at = r.started_at
			WHERE r.id = $1 AND n.user_id = ANY ($2::text[]::notification_user_id[]))`,
		runID, b.userIDs).Scan(&committed)
	return committed, err
}

// finish counts the users who are over the limit with nothing to delete, and closes the run, both once.
func (a *app) finish(ctx context.Context, runID int64, idle int) error {
	return a.retry(ctx, func(ctx context.Context) error {
		_, err := a.pool.Exec(ctx,
			`UPDATE notification_cleanup_runs SET finished_at = clock_timestamp(),
				users_over_limit = users_over_limit + $2, users_still_over_limit = users_still_over_limit + $2
			WHERE id = $1 AND finished_at IS NULL`,
			runID, idle)
		return err
	})
}

// retry calls f until it succeeds or fails for good, with growing pauses, for about half a minute.
func (a *app) retry(ctx context.Context, f func(context.Context) error) error {
	backoff := retry.WithMaxRetries(retries,
		retry.WithJitterPercent(20, retry.WithCappedDuration(retryLongest, retry.NewExponential(retryFirst))))
	return retry.Do(ctx, backoff, func(ctx context.Context) error {
		err := f(ctx)
		if err == nil || ctx.Err() != nil || !transient(err) {
			return err
		}
		a.log.Warn("retrying", "error", oneLine(err))
		return retry.RetryableError(err)
	})
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
		"53300", // too many connections
		"23505": // two runs that opened in the same microsecond
		return true
	}
	return strings.HasPrefix(pgErr.Code, "08") // connection exceptions
}

// progress returns a function to call after each batch, and one to call at the end: they move a bar where stderr is a
// terminal, else they log a line now and then.
func (a *app) progress(doing string, expected int64) (done func(count int64), end func()) {
	last := time.Now()
	show, end := func(total int64) {
		if time.Since(last) >= logInterval {
			a.log.Info(doing, "notifications_done", total, "notifications_expected", expected)
			last = time.Now()
		}
	}, func() {}
	if isTerminal(a.stderr) && expected > 0 {
		bar := progressbar.NewOptions64(expected,
			progressbar.OptionSetWriter(a.stderr),
			progressbar.OptionSetDescription(doing),
			progressbar.OptionSetRenderBlankState(true), // starts its clock
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("notifications"),
			progressbar.OptionFullWidth(),
		)
		show = func(total int64) { _ = bar.Set64(min(total, expected)) }
		end = func() { fmt.Fprintln(a.stderr) }
	}

	var mu sync.Mutex
	var total int64
	return func(count int64) {
		mu.Lock()
		defer mu.Unlock()
		total += count
		show(total)
	}, end
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
