package main

import (
	"context"
	_ "embed"

	"github.com/spf13/cobra"
)

//go:embed restorable.sql
var restorableQuery string

func (a *app) restoreCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:     "restore RUN_ID",
		GroupID: undo,
		Short:   "undo one run: restore what it deleted",
		Long: "Restores what a run deleted, if it is still there, batch by batch. You can stop this, " +
			"and call it again. The next run with the same limits deletes the same again, unless the " +
			"cleanup is suspended. What a constraint or a trigger refuses is noted and skipped. " +
			"Then the exit status is 1.",
		Example: "  notification-cleanup restore 7 --dry-run\n" +
			"  notification-cleanup restore 7 --suspend 'run 7 deleted too much'",
		Args: takesRunID,
		RunE: a.connected(a.restore),
	}, "DRY_RUN", "SUSPEND", "BATCH_SIZE")
}

func (a *app) restore(ctx context.Context, args []string) error {
	if reason := a.cfg.Suspend; reason != "" && !a.cfg.DryRun {
		if err := a.suspend(ctx, []string{reason}); err != nil {
			return err
		}
	}
	const batch = `SELECT restore_next_batch($1::text::bigint, $2)`
	const refused = `
		SELECT count(*)
		FROM notification_cleanup_refused AS f
		JOIN notification_cleanup_runs AS r ON r.started_at = f.deleted_at
		WHERE f.operation = 'restore'
			AND r.id = $1::text::bigint`
	return a.repeat(ctx, chore{
		doing:   "restoring",
		done:    "restored",
		expect:  query{restorableQuery, []any{args[0]}},
		batch:   query{batch, []any{args[0], a.cfg.BatchSize}},
		refused: query{refused, []any{args[0]}},
	})
}
