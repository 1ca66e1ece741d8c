package main

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/terminal"
)

// prometheus is the format of the textfile collector.
const prometheus = "prometheus"

//go:embed health.sql
var healthQuery string

func (a *app) healthCommand() *cobra.Command {
	cmd := a.takes(&cobra.Command{
		Use:     "health",
		GroupID: look,
		Short:   "show what a monitor asks for; fail if no run has finished for MAX_AGE",
		Example: "  notification-cleanup health\n" +
			"  notification-cleanup health --format prometheus > cleanup.prom",
		Args: noArguments,
		RunE: a.connected(a.health),
	}, "MAX_AGE")
	cmd.Flags().Lookup("format").Usage += "; or prometheus"
	return cmd
}

// health is the row of the view.
type health struct {
	LastFinishedAt        *time.Time
	LastOutcome           string
	Age                   *float64 // of the last finished run, in seconds by the server's clock
	UsersStillOverLimit   *int64
	RunsUnfinished        int64
	NotificationsToVacuum int64
	Suspension            *string
	NotificationsRefused  int64
}

// health prints what a monitor asks, and fails when it has to wake somebody: no run has finished
// for MAX_AGE, whatever the reason.
func (a *app) health(ctx context.Context, _ []string) error {
	h, err := database.One[health](ctx, a.db, healthQuery)
	if err != nil {
		return err
	}
	problem := h.problem(a.cfg.MaxAge.Seconds())
	switch a.cfg.Format {
	case prometheus:
		err = a.writeMetrics(h, problem == nil)
	case "json":
		err = a.writeJSON(ctx, `SELECT * FROM notification_cleanup_health`)
	default:
		err = a.writeTable(make([]terminal.Column, 2), h.rows())
	}
	if err != nil {
		return err
	}
	return problem
}

// problem is why somebody has to be woken.
func (h health) problem(maxAge float64) error {
	switch {
	case h.LastOutcome == "in the future":
		return fmt.Errorf("unhealthy: the newest run is in the future, the clock was ahead")
	case h.Age == nil:
		return fmt.Errorf("unhealthy: no run has ever finished")
	case *h.Age > maxAge:
		return fmt.Errorf("unhealthy: no run has finished for %s",
			terminal.Span(time.Duration(*h.Age)*time.Second))
	}
	return nil
}

func (h health) rows() [][]string {
	count := func(n *int64) string {
		if n == nil {
			return "-"
		}
		return terminal.Number(*n)
	}
	finished := "-"
	if h.LastFinishedAt != nil && h.Age != nil {
		age := time.Duration(*h.Age) * time.Second
		finished = terminal.Time(h.LastFinishedAt) + ", " + terminal.Span(age) + " ago"
	}
	rows := [][]string{
		{"last run finished", finished},
		{"outcome", h.LastOutcome},
		{"users still over the limit", count(h.UsersStillOverLimit)},
		{"runs unfinished", terminal.Number(h.RunsUnfinished)},
		{"notifications to vacuum", terminal.Number(h.NotificationsToVacuum)},
	}
	if h.NotificationsRefused > 0 {
		refused := terminal.Number(h.NotificationsRefused) + " notifications, by undo or purge"
		rows = append(rows, []string{"refused", refused})
	}
	if h.Suspension != nil {
		rows = append(rows, []string{"suspended", *h.Suspension})
	}
	return rows
}

// metric is one of a value, with the help that Prometheus shows.
type metric struct {
	name  string
	help  string
	value float64
}

func (h health) metrics(healthy bool) []metric {
	all := []metric{
		{"healthy", "Whether a run has finished within MAX_AGE.", numeric(healthy)},
		{"suspended", "Whether the cleanup is suspended.", numeric(h.Suspension != nil)},
		{"stopped", "Whether a stopped run waits for the next one.", numeric(h.LastOutcome == "stopped")},
		{"runs_unfinished", "Runs of the last 36 hours without an end.", float64(h.RunsUnfinished)},
		{"notifications_to_vacuum", "Notifications deleted since the last VACUUM.",
			float64(h.NotificationsToVacuum)},
		{"notifications_refused", "Notifications whose undo or purge was refused within a day.",
			float64(h.NotificationsRefused)},
	}
	if h.LastFinishedAt != nil {
		all = append(all, metric{"last_finished_timestamp_seconds",
			"When the last finished run ended.", float64(h.LastFinishedAt.Unix())})
	}
	if h.UsersStillOverLimit != nil {
		all = append(all, metric{"users_still_over_limit",
			"Users that the last finished run left over the limit.", float64(*h.UsersStillOverLimit)})
	}
	return all
}

func numeric(fact bool) float64 {
	if fact {
		return 1
	}
	return 0
}

// writeMetrics writes gauges in Prometheus' text format.
func (a *app) writeMetrics(h health, healthy bool) error {
	for _, m := range h.metrics(healthy) {
		name := "notification_cleanup_" + m.name
		_, err := fmt.Fprintf(a.stdout, "# HELP %s %s\n# TYPE %s gauge\n%s %.0f\n",
			name, m.help, name, name, m.value)
		if err != nil {
			return err
		}
	}
	return nil
}
