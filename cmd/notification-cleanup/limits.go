package main

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/terminal"
)

// limitsToTry are drawn beside MAX_NOTIFICATIONS.
var limitsToTry = []int32{100, 250, 500, 1000, 2000, 5000, 10000}

// barWidth is that of the longest bar in a drawing.
const barWidth = 25

//go:embed limits.sql
var limitsQuery string

func (a *app) limitsCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:     "limits",
		GroupID: look,
		Short: "show what run would delete with each of several limits, " +
			"and how many notifications users have",
		Example: "  notification-cleanup limits --min-keep 50",
		Args:    noArguments,
		RunE:    a.connected(a.limits),
	}, "MAX_NOTIFICATIONS", "MIN_KEEP")
}

// limit is what a run with this limit would do.
type limit struct {
	MaxNotifications       int64
	UsersOverLimit         int64
	DeletableNotifications int64
	DeletablePercent       float64
	UsersStillOverLimit    int64
	Users                  int64 // who have any notifications
}

// limits draws what some limits would delete, MAX_NOTIFICATIONS among them, and how many
// notifications users have.
func (a *app) limits(ctx context.Context, _ []string) error {
	var tried []int32
	for _, limit := range append(slices.Clone(limitsToTry), a.cfg.MaxNotifications) {
		if limit >= a.cfg.MinKeep {
			tried = append(tried, limit)
		}
	}
	if a.cfg.JSON() {
		return a.writeJSON(ctx, `SELECT * FROM preview_notification_limits($1, $2)`,
			tried, a.cfg.MinKeep)
	}
	limits, err := database.All[limit](ctx, a.db, limitsQuery, tried, a.cfg.MinKeep)
	if err != nil {
		return err
	}
	if err := a.draw(limitColumns, limitRows, limits); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	return a.draw(inboxSizeColumns, inboxSizeRows, limits)
}

// draw writes a table with bars as wide as there is room for.
func (a *app) draw(
	columns []terminal.Column,
	rows func(limits []limit, barWidth int) [][]string,
	limits []limit,
) error {
	room := a.stdout.Room(columns, rows(limits, 0))
	return a.writeTable(columns, rows(limits, max(min(room, barWidth), 1)))
}

var limitColumns = []terminal.Column{
	{Title: "limit", Numbers: true},
	{Title: "users over it", Numbers: true},
	{Title: "still over it", Numbers: true},
	{Title: "to delete", Numbers: true},
	{Title: "of all", Numbers: true},
	{},
}

func limitRows(limits []limit, barWidth int) (rows [][]string) {
	most := int64(1)
	for _, l := range limits {
		most = max(most, l.DeletableNotifications)
	}
	for _, l := range limits {
		rows = append(rows, []string{
			terminal.Number(l.MaxNotifications),
			terminal.Number(l.UsersOverLimit),
			terminal.Number(l.UsersStillOverLimit),
			terminal.Number(l.DeletableNotifications),
			fmt.Sprintf("%.1f %%", l.DeletablePercent),
			terminal.Bar(float64(l.DeletableNotifications)/float64(most), barWidth),
		})
	}
	return rows
}

var inboxSizeColumns = []terminal.Column{
	{Title: "notifications"},
	{Title: "users", Numbers: true},
	{Title: "(logarithmic)"},
}

// inboxSizeRows tell how many users have how many notifications, from one limit to the next.
func inboxSizeRows(limits []limit, barWidth int) (rows [][]string) {
	users := make([]int64, len(limits)+1)
	most := 1.0
	for i := range users {
		more, fewer := limits[0].Users, int64(0)
		if i > 0 {
			more = limits[i-1].UsersOverLimit
		}
		if i < len(limits) {
			fewer = limits[i].UsersOverLimit
		}
		users[i] = more - fewer
		most = max(most, math.Log1p(float64(users[i])))
	}
	from := int64(1)
	for i, count := range users {
		sizes := terminal.Number(from) + " and more"
		if i < len(limits) {
			sizes = fmt.Sprintf("%s to %s",
				terminal.Number(from), terminal.Number(limits[i].MaxNotifications))
			from = limits[i].MaxNotifications + 1
		}
		rows = append(rows, []string{
			sizes,
			terminal.Number(count),
			terminal.Bar(math.Log1p(float64(count))/most, barWidth),
		})
	}
	return rows
}
