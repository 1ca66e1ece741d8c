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
		Short:   "undo one run",
		Long: "Brings back what a run deleted and is still there, batch by batch. " +
			"It can be stopped and called again.",
		Example: "  notification-cleanup restore 7 --dry-run\n  notification-cleanup restore 7",
		Args:    takesRunID,
		RunE:    a.connected(a.restore),
	}, "DRY_RUN", "BATCH_SIZE")
}

func (a *app) restore(ctx context.Context, args []string) error {
	const batch = `SELECT restore_next_batch($1::text::bigint, $2)`
	return a.repeat(ctx, chore{
		doing:  "restoring",
		done:   "restored",
		expect: query{restorableQuery, []any{args[0]}},
		batch:  query{batch, []any{args[0], a.cfg.BatchSize}},
	})
}
