package main

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// rehearse tries what a run will do with one notification, and logs what would fail. That is no
// failure of the migration, which is done.
func (a *app) rehearse(ctx context.Context) {
	type step struct{ Step, Outcome, Message, Detail, Advice string }
	rows, _ := a.pool.Query(ctx, `
		SELECT
			step,
			outcome,
			coalesce(message, '') AS message,
			coalesce(detail, '') AS detail,
			coalesce(advice, '') AS advice
		FROM rehearse_notification_cleanup()`)
	steps, err := pgx.CollectRows(rows, pgx.RowToStructByName[step])
	if err != nil {
		a.log.Warn("not rehearsed", "error", oneLine(err))
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
