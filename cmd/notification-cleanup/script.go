package main

import (
	_ "embed"
	"io/fs"
	"regexp"
	"strings"
	"text/template"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"github.com/notification-cleanup/notification-cleanup/migrations"
)

//go:embed script.sql.tmpl
var scriptTemplate string

// script prints the SQL of all migrations for psql, which leaves out those that are applied. It needs no database.
func (a *app) script() error {
	var all []map[string]any
	names, _ := fs.Glob(migrations.FS, "*.sql")
	for _, name := range names {
		up := upStatements(name)
		version, _ := goose.NumericComponent(name)
		sql := regexp.MustCompile(`(?m)^-- \+goose .*\n`).ReplaceAllString(up, "")
		all = append(all, map[string]any{"Version": version, "Transaction": !strings.Contains(up, "+goose NO TRANSACTION"), "SQL": strings.TrimSpace(sql)})
	}
	return template.Must(template.New("").Parse(scriptTemplate)).Execute(a.stdout, map[string]any{"By": version(), "Migrations": all,
		"Schema": pgx.Identifier{a.cfg.Schema}, "Table": versionTable, "Lock": lockID})
}

// upStatements is the part of an embedded migration that installs.
func upStatements(name string) string {
	text, _ := fs.ReadFile(migrations.FS, name) // which is there, as it was found or named here
	up, _, _ := strings.Cut(string(text), "-- +goose Down")
	return up
}
