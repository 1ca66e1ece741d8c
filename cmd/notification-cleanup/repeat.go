package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/terminal"
)

// A query is a statement that returns a number, with its arguments.
type query struct {
	sql  string
	args []any
}

// A chore is done batch after batch, until one returns NULL.
type chore struct {
	doing, done string
	expect      query // how many notifications there are to do
	batch       query
	refused     query // how many refuse, and are stepped over
}

// repeat does a chore, and prints how many notifications that were, also when it fails. With
// DRY_RUN it only prints how many there are.
func (a *app) repeat(ctx context.Context, c chore) error {
	expected, err := database.Read[int64](ctx, a.db, c.expect.sql, c.expect.args...)
	if err != nil {
		return fmt.Errorf("count notifications: %w", err)
	}
	if a.cfg.DryRun {
		return a.writeCount("to_be_"+c.done, expected)
	}
	a.log.Info("started "+c.doing, "notifications_expected", expected)
	total, err := a.repeatBatch(ctx, c, expected)
	if exitStatus(err) == 2 { // there is no such run
		return err
	}
	a.log.Info(c.done, "notifications_"+c.done, total)
	err = errors.Join(err, a.writeCount(c.done, total))
	if err != nil {
		return err
	}
	return a.checkRefused(ctx, c)
}

// checkRefused is an error where notifications refuse, now or within the last day.
func (a *app) checkRefused(ctx context.Context, c chore) error {
	refused, err := database.Read[int64](ctx, a.db, c.refused.sql, c.refused.args...)
	if err != nil {
		return fmt.Errorf("count what refuses: %w", err)
	}
	if refused > 0 {
		return fmt.Errorf(
			"%s notifications refuse to be %s: notification_cleanup_refused tells which, and why",
			terminal.Number(refused),
			c.done,
		)
	}
	return nil
}

func (a *app) repeatBatch(ctx context.Context, c chore, expected int64) (total int64, err error) {
	progress := terminal.NewProgress(a.log, c.doing, expected)
	defer progress.End()
	for {
		count, err := database.Transaction[*int64](ctx, a.db, c.batch.sql, c.batch.args...)
		if err != nil || count == nil {
			return total, err
		}
		total += *count
		progress.Show(total)
	}
}

// writeCount prints how many notifications were done.
func (a *app) writeCount(done string, count int64) error {
	if a.cfg.JSON() {
		return json.NewEncoder(a.stdout).Encode(map[string]int64{"notifications_" + done: count})
	}
	return a.writeTable([]terminal.Column{{}, {Numbers: true}}, [][]string{
		{"notifications " + strings.ReplaceAll(done, "_", " "), terminal.Number(count)},
	})
}
