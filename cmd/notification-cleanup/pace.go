package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
)

func (a *app) paceCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:     "pace RUN_ID",
		GroupID: control,
		Short:   "give a run that is under way another pace, whoever works on it",
		Long: "Gives a run this PAUSE_FACTOR and MAX_REPLICA_LAG from its next batch on, " +
			"whoever works on the run.",
		Example:     "  notification-cleanup pace 7 --pause-factor 3",
		Args:        takesRunID,
		Annotations: map[string]string{alwaysWrites: "yes"},
		RunE:        a.connected(a.pace),
	}, "PAUSE_FACTOR", "MAX_REPLICA_LAG")
}

func (a *app) pace(ctx context.Context, args []string) error {
	paced, err := database.Transaction[bool](ctx, a.db, `
		SELECT pace_notification_cleanup($1::text::bigint, $2, nullif(make_interval(secs => $3), '0'))`,
		args[0], a.cfg.PauseFactor, a.cfg.MaxReplicaLag.Seconds())
	if err != nil {
		return err
	}
	says := "run " + args[0] + " goes on at this pace from its next batch on"
	if !paced {
		says = "nothing is left of run " + args[0] + ": it has ended"
	}
	return a.say("paced", paced, says)
}
