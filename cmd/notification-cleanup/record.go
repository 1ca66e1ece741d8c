package main

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/terminal"
)

//go:embed record.sql
var recordQuery string

// record is what a run did.
type record struct {
	ID                    int64
	StartedAt             time.Time
	FinishedAt            *time.Time
	MaxNotifications      int64
	MinKeep               int64
	UsersOverLimit        int64
	UsersCleaned          int64
	UsersStillOverLimit   int64
	NotificationsPlanned  int64
	NotificationsDeleted  int64
	NotificationsSkipped  int64
	NotificationsChanged  int64
	NotificationsRestored int64
	Rewritten             bool // given up, because the table was rewritten or replaced since the plan
}

// message says in the log how the run ended.
func (r record) message() string {
	switch {
	case r.FinishedAt != nil:
		return "finished run"
	case r.Rewritten:
		return "gave run up, because its table was rewritten, and plans anew"
	default:
		return "ended run early, the next one goes on from here"
	}
}

// usersAreCounted tells if the record has its users, who are counted at the end of the run only.
func (r record) usersAreCounted() bool {
	return r.FinishedAt != nil || r.UsersCleaned > 0 || r.NotificationsDeleted == 0
}

// report logs and prints what the run has committed, also after ctx is done.
func (a *app) report(ctx context.Context, runID int64, start time.Time) (record, error) {
	ctx, cancel := reportContext(ctx)
	defer cancel()
	r, err := database.One[record](ctx, a.db, recordQuery, runID)
	if err != nil {
		err = fmt.Errorf("read the record of run %d: %w", runID, err)
		a.log.Error("no report", "error", database.OneLine(err)) // after a signal nobody else says so
		return r, err
	}
	facts := []any{"run_id", runID}
	if r.usersAreCounted() {
		facts = append(facts, "users_cleaned", r.UsersCleaned)
	}
	a.log.Info(r.message(), append(facts,
		"notifications_deleted", r.NotificationsDeleted,
		"notifications_skipped", r.NotificationsSkipped,
		"notifications_changed", r.NotificationsChanged,
		"duration_seconds", time.Since(start).Seconds())...)
	if a.cfg.JSON() {
		return r, a.writeJSON(ctx, `SELECT * FROM notification_cleanup_runs WHERE id = $1`, runID)
	}
	return r, a.writeTable([]terminal.Column{{}, {Numbers: true}, {}}, r.rows())
}

// rows are the record as people read it: a line for each number, and what it means.
func (r record) rows() [][]string {
	cleaned, stillOver := terminal.Number(r.UsersCleaned), terminal.Number(r.UsersStillOverLimit)
	cleanedSays := "at least one of theirs was deleted"
	stillOverSays := "by what is unread, of another status, or skipped"
	if !r.usersAreCounted() {
		cleaned, stillOver = "-", "-"
		cleanedSays, stillOverSays = "counted when the run has ended", "counted when the run has ended"
	}
	rows := [][]string{
		{"run", fmt.Sprint(r.ID), "of " + terminal.Time(&r.StartedAt) + r.outcome()},
		{"users over the limit", terminal.Number(r.UsersOverLimit),
			fmt.Sprintf("more than %s live notifications", terminal.Number(r.MaxNotifications))},
		{"  cleaned", cleaned, cleanedSays},
		{"  still over it", stillOver, stillOverSays},
		{"notifications planned", terminal.Number(r.NotificationsPlanned),
			fmt.Sprintf("read ones, without the newest %s of each user", terminal.Number(r.MinKeep))},
		{"  deleted", terminal.Number(r.NotificationsDeleted), ""},
		{"  skipped", terminal.Number(r.NotificationsSkipped), "another session held them"},
		{"  changed", terminal.Number(r.NotificationsChanged), "since the plan, or kept by a trigger"},
	}
	if r.NotificationsRestored > 0 {
		rows = append(rows, []string{"  restored", terminal.Number(r.NotificationsRestored), ""})
	}
	return rows
}

func (r record) outcome() string {
	if r.FinishedAt == nil {
		return ", not finished"
	}
	return ", finished after " + terminal.Span(r.FinishedAt.Sub(r.StartedAt))
}
