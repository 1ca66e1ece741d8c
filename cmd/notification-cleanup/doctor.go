package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/terminal"
)

//go:embed before_installation.sql
var beforeInstallationQuery string

func (a *app) doctorCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:     "doctor",
		GroupID: look,
		Short:   "show what is not well, and what to do about it",
		Long: "Shows what is not well, and what to do about it. Before an installation, it shows " +
			"what migrate up would do, or why it would refuse.",
		Example: "  notification-cleanup doctor",
		Args:    noArguments,
		RunE:    a.connected(a.doctor),
	})
}

// finding is a row of the doctor.
type finding struct {
	Name     string  `json:"name"`
	Severity string  `json:"severity"`
	Found    string  `json:"found"`
	Advice   *string `json:"advice"`
}

// failure is the severity of what breaks the next run.
const failure = "failure"

// severityColors are those of the words. Yellow and cyan cannot be read on white, nor blue on
// black.
var severityColors = map[string]text.Color{
	"ok":      text.FgGreen,
	"note":    text.Reset,
	"warning": text.FgMagenta,
	failure:   text.FgRed,
}

// doctor prints what is wrong and what to do, or, before an installation, what that would do. It
// fails where a check has the severity failure.
func (a *app) doctor(ctx context.Context, _ []string) error {
	findings, err := database.All[finding](ctx, a.db, `SELECT * FROM notification_cleanup_doctor()`)
	if database.NotInstalled(err) {
		findings, err = a.beforeInstallation(ctx)
	} else {
		findings = append(findings, a.installed.finding())
	}
	if err != nil {
		return err
	}
	if err := a.writeFindings(findings); err != nil {
		return err
	}
	failures := 0
	for _, f := range findings {
		if f.Severity == failure {
			failures++
		}
	}
	if failures > 0 {
		return fmt.Errorf("something is wrong, in %d of the checks", failures)
	}
	return nil
}

func (a *app) writeFindings(findings []finding) error {
	if a.cfg.JSON() {
		objects := json.NewEncoder(a.stdout)
		objects.SetEscapeHTML(false)
		for _, f := range findings {
			if err := objects.Encode(f); err != nil {
				return err
			}
		}
		return nil
	}
	columns := []terminal.Column{{Title: " "}, {Title: "what"}, {Title: "found, and -> what to do"}}
	var rows [][]string
	for _, f := range findings {
		word := a.stdout.Paint(f.Severity, severityColors[f.Severity])
		rows = append(rows, []string{word, f.Name, f.Found})
		if f.Advice != nil && *f.Advice != "" {
			rows = append(rows, []string{"", "", "-> " + *f.Advice})
		}
	}
	return a.writeTable(columns, rows)
}

// before is what decides about an installation.
type before struct {
	MayInstall   bool
	HasTable     bool
	HasDeletedAt bool
}

// beforeInstallation tells what an installation would do or refuse.
func (a *app) beforeInstallation(ctx context.Context) ([]finding, error) {
	refusal, err := a.firstMigration(ctx)
	if refusal == nil {
		return nil, err
	}
	b, err := database.One[before](ctx, a.db, beforeInstallationQuery)
	if err != nil {
		return nil, err
	}
	rights := finding{Name: "rights", Severity: "ok", Found: "enough to install"}
	if !b.MayInstall {
		advice := "It takes the owner of the table, with CREATE on its schema, on the primary."
		rights = finding{"rights", failure, "not enough to install", &advice}
	}
	return []finding{rights, b.installation(refusal)}, nil
}

// installation is what the first migration would do. Up to its first change, which fails in a
// read-only transaction, it had no objection.
func (b before) installation(refusal *pgconn.PgError) finding {
	const readOnly = "25006"
	f := finding{Name: "installation", Severity: "note"}
	switch {
	case refusal.Code != readOnly:
		f.Severity = failure
		f.Found = "migrate up refuses: " + refusal.Message
		if refusal.Hint != "" {
			f.Advice = &refusal.Hint
		}
	case !b.HasTable:
		f.Found = "none; migrate up creates notifications"
	case b.HasDeletedAt:
		f.Found = "none; migrate up adopts notifications as it is"
	default:
		f.Found = "none; migrate up adopts notifications, and adds deleted_at"
	}
	return f
}

// firstMigration tries the first two, which check and create, where nothing can be written: they
// refuse there what they would refuse, or end at the first change.
func (a *app) firstMigration(ctx context.Context) (refusal *pgconn.PgError, err error) {
	readOnly := pgx.TxOptions{AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, a.db.Pool, readOnly, func(tx pgx.Tx) error {
		up := upStatements("00001_checks.sql") + upStatements("00002_tables.sql")
		return tx.Conn().PgConn().Exec(ctx, up).Close()
	})
	errors.As(err, &refusal)
	return refusal, err
}
