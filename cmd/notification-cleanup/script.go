package main

import (
	"context"
	_ "embed"
	"io/fs"
	"regexp"
	"strings"
	"text/template"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
	"github.com/spf13/cobra"

	"github.com/notification-cleanup/notification-cleanup/migrations"
)

//go:embed script.sql.tmpl
var scriptTemplate string

func (a *app) scriptCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:     "script",
		Short:   "print what up would execute, for psql; this needs no database",
		Example: `  notification-cleanup migrate script | psql "$DATABASE_URL"`,
		Args:    noArguments,
		RunE:    a.configured(a.script),
	})
}

// script prints the SQL of all migrations for psql, which leaves out those that are applied.
func (a *app) script(context.Context, []string) error {
	type migration struct {
		Version     int64
		Transaction bool
		SQL         string
	}
	annotations := regexp.MustCompile(`(?m)^-- \+goose .*\n`)
	var all []migration
	names, _ := fs.Glob(migrations.FS, "*.sql")
	for _, name := range names {
		up := upStatements(name)
		version, _ := goose.NumericComponent(name)
		all = append(all, migration{
			Version:     version,
			Transaction: !strings.Contains(up, "+goose NO TRANSACTION"),
			SQL:         strings.TrimSpace(annotations.ReplaceAllString(up, "")),
		})
	}
	return template.Must(template.New("").Parse(scriptTemplate)).Execute(a.stdout, map[string]any{
		"By":         version(),
		"Migrations": all,
		"Schema":     pgx.Identifier{a.cfg.Schema},
		"Table":      versionTable,
		"Lock":       lockID,
	})
}

// upStatements is the part of an embedded migration that installs.
func upStatements(name string) string {
	text, _ := fs.ReadFile(migrations.FS, name) // which is there, as it was found or named here
	up, _, _ := strings.Cut(string(text), "-- +goose Down")
	return up
}
