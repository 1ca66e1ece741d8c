package main

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/spf13/cobra"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/terminal"
	"github.com/notification-cleanup/notification-cleanup/migrations"
)

// versionTable is goose's table for our versions, beside an application's own goose_db_version.
const versionTable = "notification_cleanup_schema_version"

func (a *app) migrateCommand() *cobra.Command {
	writes := map[string]string{alwaysWrites: "yes"}
	up := a.connected(a.migrateUp)
	cmd := a.takes(&cobra.Command{
		Use:     "migrate",
		GroupID: install,
		Short:   "install, upgrade or uninstall; without a subcommand it is up",
		Example: "  notification-cleanup migrate up\n" +
			`  notification-cleanup migrate script | psql "$DATABASE_URL"`,
		Args:        noArguments,
		Annotations: writes,
		RunE:        up,
	}, "CREATE_TABLE")
	cmd.AddCommand(
		a.takes(&cobra.Command{
			Use:         "up",
			Short:       "install, or upgrade to the version of this program",
			Example:     "  notification-cleanup migrate up --schema cleanup",
			Args:        noArguments,
			Annotations: writes,
			RunE:        up,
		}, "CREATE_TABLE"),
		a.takes(&cobra.Command{
			Use:         "down",
			Short:       "uninstall; keep all notifications, and the history of the runs",
			Example:     "  notification-cleanup migrate down",
			Args:        noArguments,
			Annotations: writes,
			RunE:        a.connected(a.migrateDown),
		}),
		a.takes(&cobra.Command{
			Use:   "adopt",
			Short: "adopt the table again, after a column was altered or the schema renamed",
			Long: "Adopts the table as it is now, after id, user_id or created_at was altered, or the " +
				"schema was renamed: replaces types, routines and queue. It keeps the history, the " +
				"grants and a suspension, and gives up a run that has not ended.",
			Example:     "  notification-cleanup migrate adopt",
			Args:        noArguments,
			Annotations: writes,
			RunE:        a.connected(a.migrateAdopt),
		}),
		a.takes(&cobra.Command{
			Use:     "status",
			Short:   "show which migrations are applied",
			Example: "  notification-cleanup migrate status",
			Args:    noArguments,
			RunE:    a.connected(a.migrateStatus),
		}),
		a.scriptCommand(),
	)
	return cmd
}

// migrateUp applies every pending migration, and builds the indexes that are missing.
func (a *app) migrateUp(ctx context.Context, _ []string) error {
	return a.migrate(ctx, func(ctx context.Context, m *migration) error {
		if m.moved != nil {
			return m.moved
		}
		if err := m.applyPending(ctx); err != nil {
			return err
		}
		return m.makeReady(ctx)
	})
}

// leaves is what an uninstallation leaves, and what is in its way.
type leaves struct {
	SoftDeleted int64   // by runs whose history stays
	UnderWay    *string // a run, and who works on it
}

//go:embed leaves.sql
var leavesQuery string

// migrateDown rolls all migrations back, unless somebody works on a run.
func (a *app) migrateDown(ctx context.Context, _ []string) error {
	return a.migrate(ctx, func(ctx context.Context, m *migration) error {
		left, err := database.One[leaves](ctx, a.db, leavesQuery)
		if err != nil && !database.NotInstalled(err) {
			return err
		}
		if left.UnderWay != nil {
			return fmt.Errorf("migrate down: %s: stop it first, or wait", *left.UnderWay)
		}
		err = m.patiently(ctx, func() error {
			results, err := m.DownTo(ctx, 0)
			return a.logMigrations(results, err)
		})
		if err != nil {
			return err
		}
		a.log.Info("uninstalled; notifications and their deleted_at stay, and so does the history, "+
			"with which a later up can restore what runs have deleted",
			"soft_deleted_notifications", left.SoftDeleted)
		return nil
	})
}

func (a *app) migrateStatus(ctx context.Context, _ []string) error {
	db := stdlib.OpenDB(*a.db.Config().ConnConfig)
	defer db.Close()
	migrator, err := newMigrator(db)
	if err != nil {
		return fmt.Errorf("load migrations: %w", err)
	}
	return a.writeStatus(ctx, migrator)
}

// isMigration tells if a command is migrate, or one of those behind it.
func isMigration(cmd *cobra.Command) bool {
	return cmd.Name() == "migrate" || cmd.Parent() != nil && cmd.Parent().Name() == "migrate"
}

// logMigrations logs what goose has done, and returns its error without the text of the migration,
// which goose puts into it.
func (a *app) logMigrations(results []*goose.MigrationResult, err error) error {
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		results = partial.Applied
	}
	for _, r := range results {
		if r == nil {
			continue
		}
		a.log.Info("migrated",
			"direction", r.Direction,
			"name", path.Base(r.Source.Path),
			"duration_seconds", r.Duration.Seconds())
	}
	var pgErr *pgconn.PgError
	switch {
	case partial != nil && errors.As(err, &pgErr):
		name := path.Base(partial.Failed.Source.Path)
		return fmt.Errorf("migrate %s %s: %w", partial.Failed.Direction, name, pgErr)
	case err != nil:
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// migrationState is a line of the status.
type migrationState struct {
	Version   int64      `json:"version"`
	Name      string     `json:"name"`
	State     string     `json:"state"`
	AppliedAt *time.Time `json:"applied_at"`
}

// writeStatus prints what is applied, and logs where that is not all of the truth.
func (a *app) writeStatus(ctx context.Context, migrator *goose.Provider) error {
	found, err := a.inspect(ctx)
	var moved *movedError
	if errors.As(err, &moved) {
		a.log.Warn(moved.Error())
	} else if err != nil {
		return err
	}
	a.warnOfMismatch(found)
	states, err := migrator.Status(ctx)
	if err != nil {
		return fmt.Errorf("read migration status: %w", err)
	}
	if found != nil && found.IsHere && states[0].State == goose.StatePending {
		a.log.Warn("goose knows nothing of what is installed here, as in a copy of the schema: " +
			"migrate up notes it")
	}
	columns := []terminal.Column{
		{Title: "version", Numbers: true}, {Title: "name"}, {Title: "state"}, {Title: "applied at"},
	}
	var rows [][]string
	objects := json.NewEncoder(a.stdout)
	for _, s := range states {
		m := migrationState{s.Source.Version, path.Base(s.Source.Path), string(s.State), nil}
		if s.State == goose.StateApplied {
			second := s.AppliedAt.Truncate(time.Second)
			m.AppliedAt = &second
		}
		if a.cfg.JSON() {
			if err := objects.Encode(m); err != nil {
				return err
			}
		}
		rows = append(rows,
			[]string{fmt.Sprint(m.Version), m.Name, m.State, terminal.Time(m.AppliedAt)})
	}
	if a.cfg.JSON() {
		return nil
	}
	return a.writeTable(columns, rows)
}

// buildIndexes executes what notification_cleanup_indexes() says: a migration has no loop for the
// partitions of a table. What the table behind a view lacks is only printed, for its owner.
func (a *app) buildIndexes(ctx context.Context, db *sql.DB) error {
	type step struct {
		Statement string
		IsView    bool
	}
	steps, err := database.All[step](ctx, a.db, `
		SELECT i.statement, c.relkind = 'v' AS is_view
		FROM notification_cleanup_indexes() AS i, pg_class AS c
		WHERE i.statement IS NOT NULL AND c.oid = 'notifications'::regclass`)
	for _, s := range steps {
		if s.IsView {
			fmt.Fprintln(a.stderr, s.Statement+";")
			continue
		}
		a.log.Info("building index", "statement", s.Statement)
		if _, err := db.ExecContext(ctx, s.Statement); err != nil {
			return err
		}
	}
	return err
}

// lockID is the advisory lock of a migration, whoever does it.
var lockID = int64(crc32.ChecksumIEEE([]byte(versionTable)))

// newMigrator returns goose over the embedded migrations.
func newMigrator(db *sql.DB, options ...goose.ProviderOption) (*goose.Provider, error) {
	return goose.NewProvider(goose.DialectPostgres, db, migrations.FS, append(options,
		goose.WithTableName(versionTable),
		goose.WithDisableGlobalRegistry(true),
	)...)
}
