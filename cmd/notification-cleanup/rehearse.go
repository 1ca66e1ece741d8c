package main

import (
	"context"
	_ "embed"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
)

//go:embed rehearse.sql
var rehearseQuery string

// rehearsed is what became of a step.
type rehearsed struct{ Step, Outcome, Message, Detail, Advice string }

// rehearse tries what a run will do with one notification, and logs what would fail. That is no
// failure of the migration, which is done.
func (a *app) rehearse(ctx context.Context) {
	steps, err := database.All[rehearsed](ctx, a.db, rehearseQuery)
	if err != nil {
		a.log.Warn("not rehearsed", "error", database.OneLine(err))
	}
	for _, s := range steps {
		attributes := []any{"step", s.Step, "outcome", s.Outcome, "message", s.Message}
		switch s.Outcome {
		case "fails", "kept", "refused":
			a.log.Warn("rehearsed", append(attributes, "detail", s.Detail, "advice", s.Advice)...)
		default:
			a.log.Info("rehearsed", attributes...)
		}
	}
}
