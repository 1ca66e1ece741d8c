package main

import (
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/notification-cleanup/notification-cleanup/migrations"
)

//go:embed grants.sql
var grantsQuery string

// migrateAdopt makes anew what depends on the types of the columns or on the name of the schema,
// after these were altered. In one transaction it does what the migrations do down and up, but for
// the indexes. History, suspension and grants are as they were; a run that has not ended is given
// up.
func (a *app) migrateAdopt(ctx context.Context, _ []string) error {
	return a.migrate(ctx, func(ctx context.Context, m *migration) error {
		if err := m.applyPending(ctx); err != nil { // so that what is made anew is all that there is
			return err
		}
		conn, err := pgx.ConnectConfig(ctx, m.config.Copy())
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		err = m.patiently(ctx, func() error { return pgx.BeginFunc(ctx, conn, adoptAnew(ctx)) })
		if err != nil {
			return fmt.Errorf("adopt anew: %w", err)
		}
		a.log.Info("adopted the table as it is now")
		return m.makeReady(ctx)
	})
}

func adoptAnew(ctx context.Context) func(pgx.Tx) error {
	return func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, grantsQuery)
		grants, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("read grants: %w", err)
		}
		steps := []string{
			`SET LOCAL lock_timeout = '500ms'`, // or the application would queue behind it
			`CREATE TEMPORARY TABLE suspension_before ON COMMIT DROP AS
				SELECT s.* FROM notification_cleanup_suspension AS s`,
		}
		names, _ := fs.Glob(migrations.FS, "*.sql")
		names = slices.DeleteFunc(names, func(name string) bool {
			return strings.HasSuffix(name, "_indexes.sql") // which depend on no types of ours
		})
		for _, name := range slices.Backward(names) {
			steps = append(steps, downStatements(name))
		}
		for _, name := range names {
			steps = append(steps, upStatements(name))
		}
		steps = append(steps,
			`INSERT INTO notification_cleanup_suspension
				SELECT s.* FROM pg_temp.suspension_before AS s`,
			strings.Join(grants, ";\n"),
		)
		for _, step := range steps {
			// All statements of a step at once, as psql -c sends them.
			if err := tx.Conn().PgConn().Exec(ctx, step).Close(); err != nil {
				return err
			}
		}
		return nil
	}
}

// downStatements is the part of an embedded migration that uninstalls.
func downStatements(name string) string {
	text, _ := fs.ReadFile(migrations.FS, name) // which is there, as it was found
	_, down, _ := strings.Cut(string(text), "-- +goose Down")
	return down
}
