package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/terminal"
)

// topOnTerminal is how many users a preview shows there, unless TOP says otherwise.
const topOnTerminal = 20

func (a *app) previewCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:     "preview",
		GroupID: cleanup,
		Short:   "show what run would delete, a row for each user over the limit",
		Example: "  notification-cleanup preview --max-notifications 500 --top 10",
		Args:    noArguments,
		RunE:    a.connected(a.preview),
	}, "MAX_NOTIFICATIONS", "MIN_KEEP", "TOP")
}

// inbox is a user over the limit.
type inbox struct {
	User      string
	Total     int64
	Unread    int64
	Deletable int64
}

func (i inbox) cells() []string {
	return []string{
		i.User,
		terminal.Number(i.Total),
		terminal.Number(i.Unread),
		terminal.Number(i.Deletable),
	}
}

var inboxColumns = []terminal.Column{
	{Title: "user id"},
	{Title: "total", Numbers: true},
	{Title: "unread", Numbers: true},
	{Title: "deletable", Numbers: true},
}

// preview prints the users over the limit while they come; as text with a line for the total, and
// on a terminal no more than 20.
func (a *app) preview(ctx context.Context, _ []string) error {
	const preview = ` FROM preview_notification_cleanup($1, $2)`
	top := a.cfg.Top
	if a.cfg.JSON() {
		return a.writeJSON(ctx, `SELECT *`+preview+` LIMIT nullif($3::bigint, 0)`,
			a.cfg.MaxNotifications, a.cfg.MinKeep, top)
	}
	if top == 0 && a.stdout.Width > 0 {
		top = topOnTerminal
	}
	rows := terminal.NewStream(a.stdout, inboxColumns)
	var users int64
	var sum inbox
	err := database.Each(ctx, a.db, func(i inbox) error {
		users++
		sum = inbox{"", sum.Total + i.Total, sum.Unread + i.Unread, sum.Deletable + i.Deletable}
		if top > 0 && users > top {
			return nil
		}
		return rows.Write(i.cells())
	}, `SELECT user_id::text AS user, total_notifications AS total,
		unread_notifications AS unread, deletable_notifications AS deletable`+preview,
		a.cfg.MaxNotifications, a.cfg.MinKeep)
	if err != nil {
		return err
	}
	if users == 0 {
		_, err := fmt.Fprintln(a.stdout, a.nothing(0))
		return err
	}
	sum.User = "users: " + terminal.Number(users)
	if top > 0 && users > top {
		sum.User += ", shown: " + terminal.Number(top)
	}
	if err := rows.Write(sum.cells()); err != nil {
		return err
	}
	return rows.End()
}
