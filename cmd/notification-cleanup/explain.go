package main

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/config"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/terminal"
)

//go:embed explain.sql
var explainQuery string

func (a *app) explainCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:     "explain USER",
		GroupID: look,
		Short:   "show why each notification of one user stays, would go, or went",
		Example: "  notification-cleanup explain 42",
		Args:    takesUser,
		RunE:    a.connected(a.explain),
	}, "MAX_NOTIFICATIONS", "MIN_KEEP")
}

func takesUser(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return config.UsageError(cmd.Name() + " takes the user_id of one user")
	}
	return nil
}

// explained is what becomes of a notification.
type explained struct {
	ID        string
	CreatedAt string
	Newest    *int64 // its rank among the read ones
	Fate      string
	Reason    string
}

func (e explained) cells() []string {
	newest := ""
	if e.Newest != nil {
		newest = terminal.Number(*e.Newest)
	}
	return []string{e.ID, e.time(), newest, e.Fate}
}

// time is in the local zone, to the second; infinity is as it is.
func (e explained) time() string {
	for _, layout := range []string{
		"2006-01-02 15:04:05.999999999-07",
		"2006-01-02 15:04:05.999999999-07:00",
		"2006-01-02 15:04:05.999999999", // without a zone it is UTC to the cleanup
	} {
		if at, err := time.Parse(layout, e.CreatedAt); err == nil {
			return terminal.Time(&at)
		}
	}
	return e.CreatedAt
}

var explainColumns = []terminal.Column{
	{Title: "id"},
	{Title: "created at"},
	{Title: "newest", Numbers: true},
	{Title: "fate"},
}

// roomForReasons is the width of a screen on which reasons have a column of their own. On a smaller
// one each stands below its notification, so that no id has to be broken.
const roomForReasons = 140

// explain prints the notifications of a user while they come.
func (a *app) explain(ctx context.Context, args []string) error {
	if a.cfg.JSON() {
		return a.writeJSON(ctx,
			`SELECT * FROM explain_notification_cleanup($1::text::notification_user_id, $2, $3)`,
			args[0], a.cfg.MaxNotifications, a.cfg.MinKeep)
	}
	below := a.stdout.Width > 0 && a.stdout.Width < roomForReasons
	columns := explainColumns
	if !below {
		columns = append(slices.Clone(columns), terminal.Column{Title: "because"})
	}
	rows := terminal.NewStream(a.stdout, columns)
	found := false
	err := database.Each(ctx, a.db, func(e explained) error {
		found = true
		if below {
			return rows.Write(e.cells(), e.Reason)
		}
		return rows.Write(append(e.cells(), e.Reason))
	}, explainQuery, args[0], a.cfg.MaxNotifications, a.cfg.MinKeep)
	if err != nil {
		return err
	}
	if !found {
		_, err := fmt.Fprintf(a.stdout, "user %s has no notifications\n", args[0])
		return err
	}
	return rows.End()
}
