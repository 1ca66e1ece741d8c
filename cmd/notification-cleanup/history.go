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

//go:embed history.sql
var historyQuery string

func (a *app) historyCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:     "history",
		GroupID: look,
		Short:   "show the last runs, a line each; as JSON with all columns",
		Example: "  notification-cleanup history --limit 5",
		Args:    noArguments,
		RunE:    a.connected(a.history),
	}, "LIMIT")
}

// pastRun is a line of the history.
type pastRun struct {
	ID         int64
	StartedAt  time.Time
	FinishedAt *time.Time
	Users      int64
	Deleted    int64
	Skipped    int64
	Restored   int64
	IsStopped  bool
}

func (r pastRun) outcome() string {
	switch {
	case r.Restored > 0 && r.Restored >= r.Deleted:
		return "restored"
	case r.Restored > 0:
		return fmt.Sprintf("%s restored", terminal.Number(r.Restored))
	case r.FinishedAt != nil:
		return "finished"
	case r.IsStopped:
		return "stopped"
	default:
		return "unfinished"
	}
}

func (r pastRun) cells() []string {
	took, users := "", terminal.Number(r.Users)
	if r.FinishedAt != nil {
		took = terminal.Span(r.FinishedAt.Sub(r.StartedAt))
	} else if r.Users == 0 && r.Deleted > 0 {
		users = "-" // they are counted at the end
	}
	return []string{
		fmt.Sprint(r.ID),
		terminal.Time(&r.StartedAt),
		took,
		users,
		terminal.Number(r.Deleted),
		terminal.Number(r.Skipped),
		r.outcome(),
	}
}

var historyColumns = []terminal.Column{
	{Title: "id", Numbers: true},
	{Title: "when"},
	{Title: "how long", Numbers: true},
	{Title: "users", Numbers: true},
	{Title: "deleted", Numbers: true},
	{Title: "skipped", Numbers: true},
	{Title: "outcome"},
}

// history prints the last runs.
func (a *app) history(ctx context.Context, _ []string) error {
	if a.cfg.JSON() {
		const all = `SELECT * FROM notification_cleanup_runs ORDER BY id DESC LIMIT $1`
		return a.writeJSON(ctx, all, a.cfg.Limit)
	}
	runs, err := database.All[pastRun](ctx, a.db, historyQuery, a.cfg.Limit)
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		_, err := fmt.Fprintln(a.stdout, "no run yet")
		return err
	}
	var rows [][]string
	for _, run := range runs {
		rows = append(rows, run.cells())
	}
	return a.writeTable(historyColumns, rows)
}
