package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/config"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
)

func (a *app) suspendCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:         "suspend REASON",
		GroupID:     control,
		Short:       "suspend the cleanup: nobody cleans up until somebody calls resume",
		Example:     "  notification-cleanup suspend 'until the incident is over'",
		Args:        takesReason,
		Annotations: map[string]string{alwaysWrites: "yes"},
		RunE: a.connected(func(ctx context.Context, args []string) error {
			if err := a.suspend(ctx, args); err != nil {
				return err
			}
			return a.say("suspended", true, "suspended: nobody cleans up until "+
				"notification-cleanup resume")
		}),
	})
}

func takesReason(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return config.UsageError(cmd.Name() +
			" takes a reason, in quotes: whoever finds the cleanup suspended will want to know why")
	}
	return nil
}

// suspend suspends the job, for a reason.
func (a *app) suspend(ctx context.Context, args []string) error {
	const suspend = `SELECT suspend_notification_cleanup($1)`
	_, err := database.Transaction[bool](ctx, a.db, suspend, args[0])
	if err == nil {
		a.log.Info("suspended the cleanup", "reason", args[0])
	}
	return err
}

func (a *app) resumeCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:         "resume",
		GroupID:     control,
		Short:       "end the suspension; the next run continues what was left",
		Example:     "  notification-cleanup resume",
		Args:        noArguments,
		Annotations: map[string]string{alwaysWrites: "yes"},
		RunE:        a.connected(a.resume),
	})
}

func (a *app) resume(ctx context.Context, _ []string) error {
	resumed, err := database.Transaction[bool](ctx, a.db, `SELECT resume_notification_cleanup()`)
	if err != nil {
		return err
	}
	says := "resumed: the next run goes on with what was left"
	if !resumed {
		says = "nothing was suspended"
	}
	return a.say("resumed", resumed, says)
}

// say writes a fact to stdout: by name as JSON, in words for people.
func (a *app) say(name string, fact bool, words string) error {
	if a.cfg.JSON() {
		return json.NewEncoder(a.stdout).Encode(map[string]bool{name: fact})
	}
	_, err := fmt.Fprintln(a.stdout, words)
	return err
}
