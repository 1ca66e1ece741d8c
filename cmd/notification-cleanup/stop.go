package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
)

func (a *app) stopCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:         "stop RUN_ID",
		GroupID:     control,
		Short:       "stop a run after its batch, whoever works on it; the next run continues it",
		Example:     "  notification-cleanup stop 7",
		Args:        takesRunID,
		Annotations: map[string]string{alwaysWrites: "yes"},
		RunE:        a.connected(a.stop),
	})
}

func (a *app) stop(ctx context.Context, args []string) error {
	const stop = `SELECT stop_notification_cleanup($1::text::bigint)`
	stopped, err := database.Transaction[bool](ctx, a.db, stop, args[0])
	if err != nil {
		return err
	}
	says := "run " + args[0] + " is stopped: whoever works on it ends after the batch"
	if !stopped {
		says = "nothing is left of run " + args[0] + ": it has ended"
	}
	return a.say("stopped", stopped, says)
}
