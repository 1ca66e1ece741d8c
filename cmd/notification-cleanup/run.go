package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/terminal"
)

var runSettings = []string{
	"MAX_NOTIFICATIONS", "MIN_KEEP", "MAX_DELETIONS", "DRY_RUN",
	"WORKERS", "BATCH_SIZE", "PAUSE_FACTOR", "MAX_REPLICA_LAG",
}

func (a *app) runCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:     "run",
		GroupID: cleanup,
		Short:   "clean up, and print the record of the run",
		Long: "Plans a run, works on it until nothing is left to delete, and prints its record. " +
			"If an earlier run with the same limits has not ended, that run is continued first.",
		Example: "  notification-cleanup run --workers 2 --timeout 2h\n" +
			"  notification-cleanup run --dry-run",
		Args: noArguments,
		RunE: a.connected(a.run),
	}, runSettings...)
}

// run plans a run, does its batches and prints its record, also when it ends early. What an
// earlier call has left is done first, as the run that it is.
func (a *app) run(ctx context.Context, _ []string) error {
	if a.cfg.DryRun {
		return a.preview(ctx, nil)
	}
	a.warnOfMismatch(a.installed)
	// By their numbers, because a clock may be set back.
	newestBefore, err := database.Read[int64](ctx, a.db,
		`SELECT coalesce(max(id), 0) FROM notification_cleanup_runs`)
	if err != nil {
		return err
	}
	for {
		plan, err := a.plan(ctx)
		if err != nil {
			return err
		}
		continued := plan.ID <= newestBefore
		rewritten, err := a.workOff(ctx, plan, continued)
		if err != nil {
			return err
		}
		if !continued && !rewritten { // else plan our own, or anew
			return nil
		}
	}
}

// planned is what the program has to know of a plan.
type planned struct {
	ID                   int64 // 0 while the cleanup is suspended
	UsersOverLimit       int64
	NotificationsPlanned int64
}

//go:embed plan.sql
var planQuery string

func (a *app) plan(ctx context.Context) (planned, error) {
	plan, err := database.Transaction[planned](ctx, a.db, planQuery,
		a.cfg.MaxNotifications, a.cfg.MinKeep, a.cfg.BatchSize,
		a.cfg.PauseFactor, a.cfg.MaxReplicaLag.Seconds(), a.cfg.MaxDeletions)
	switch {
	case err != nil:
		return planned{}, fmt.Errorf("plan: %w", err)
	case plan.ID == 0:
		return planned{}, errSuspended
	default:
		return plan, nil
	}
}

// workOff does what is planned, and reports it.
func (a *app) workOff(
	ctx context.Context,
	plan planned,
	continued bool,
) (rewritten bool, err error) {
	if plan.NotificationsPlanned == 0 && a.log.People && !a.cfg.JSON() {
		_, err := fmt.Fprintln(a.stdout, a.nothing(plan.UsersOverLimit))
		return false, err
	}
	start := time.Now()
	a.log.Info("planned run",
		"run_id", plan.ID,
		"users_over_limit", plan.UsersOverLimit,
		"notifications_planned", plan.NotificationsPlanned,
		"continued", continued)
	if plan.NotificationsPlanned == 0 { // and it has ended
		a.log.Info("nothing to delete", "run_id", plan.ID)
	} else {
		err = a.doBatches(ctx, plan)
	}
	end, reportErr := a.report(ctx, plan.ID, start)
	if err := errors.Join(err, reportErr); err != nil {
		return false, err
	}
	if end.FinishedAt == nil && !end.Rewritten {
		return false, errGivenUp
	}
	return end.Rewritten, nil
}

// doBatches does the batches of a run on WORKERS connections until none is left, and returns the
// first error that no retry could mend. A worker that gets no connection leaves; that is an error
// only when none is left.
func (a *app) doBatches(ctx context.Context, plan planned) error {
	progress := terminal.NewProgress(a.log, "deleting", plan.NotificationsPlanned)
	defer progress.End()
	workers, ctx := errgroup.WithContext(ctx)
	var left atomic.Int32
	for range a.cfg.Workers {
		workers.Go(func() error {
			err := a.work(ctx, plan.ID, progress)
			if errors.Is(err, database.ErrNoConnection) && left.Add(1) < a.cfg.Workers {
				a.log.Warn("a worker leaves, the others go on", "error", database.OneLine(err))
				return nil
			}
			return err
		})
	}
	return workers.Wait()
}

// work does batch after batch.
func (a *app) work(ctx context.Context, runID int64, progress *terminal.Progress) error {
	const batch = `
		SELECT r.notifications_deleted + batch
		FROM notification_cleanup_runs AS r, cleanup_next_batch($1) AS batch
		WHERE r.id = $1`
	for {
		total, err := database.Transaction[*int64](ctx, a.db, batch, runID)
		if err != nil || total == nil { // NULL: no batch is left
			return err
		}
		progress.Show(*total)
	}
}

// nothing says that there are so many users over the limit, but nothing to delete.
func (a *app) nothing(users int64) string {
	return fmt.Sprintf("nothing to delete (users over the limit of %s: %s)",
		terminal.Number(int64(a.cfg.MaxNotifications)), terminal.Number(users))
}
