package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/terminal"
)

func (a *app) statsCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:     "stats",
		GroupID: look,
		Short:   "count live notifications, their users, and the users over the limit",
		Example: "  notification-cleanup stats --format json",
		Args:    noArguments,
		RunE:    a.connected(a.stats),
	}, "MAX_NOTIFICATIONS")
}

type stats struct {
	TotalNotifications     int64
	UsersWithNotifications int64
	UsersOverLimit         int64
}

func (a *app) stats(ctx context.Context, _ []string) error {
	const query = `SELECT * FROM notification_stats($1)`
	if a.cfg.JSON() {
		return a.writeJSON(ctx, query, a.cfg.MaxNotifications)
	}
	s, err := database.One[stats](ctx, a.db, query, a.cfg.MaxNotifications)
	if err != nil {
		return err
	}
	return a.writeTable([]terminal.Column{{}, {Numbers: true}}, [][]string{
		{"live notifications", terminal.Number(s.TotalNotifications)},
		{"users who have any", terminal.Number(s.UsersWithNotifications)},
		{"  more than " + terminal.Number(int64(a.cfg.MaxNotifications)),
			terminal.Number(s.UsersOverLimit)},
	})
}
