package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/notification-cleanup/notification-cleanup/migrations"
)

// versionTable is goose's table for our versions, beside an application's own goose_db_version.
const versionTable = "notification_cleanup_schema_version"

// migrate applies every pending migration (direction "up" or ""), rolls all of them back ("down") or does neither
// ("status"), and prints their states.
func (a *app) migrate(ctx context.Context, direction string, config *pgx.ConnConfig) error {
	db := stdlib.OpenDB(*config)
	defer db.Close()
	migrator, err := newMigrator(db)
	if err != nil {
		return fmt.Errorf("load migrations: %w", err)
	}
	var results []*goose.MigrationResult
	switch direction {
	case "down":
		results, err = migrator.DownTo(ctx, 0)
	case "", "up":
		results, err = migrator.Up(ctx)
	}
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		results = partial.Applied
	}
	for _, r := range results {
		a.log.Info("migrated", "direction", r.Direction, "name", path.Base(r.Source.Path), "duration_seconds", r.Duration.Seconds())
	}
	var pgErr *pgconn.PgError
	switch {
	case partial != nil && errors.As(err, &pgErr): // without the text of the migration, which goose puts into its error
		return fmt.Errorf("migrate %s %s: %w", partial.Failed.Direction, path.Base(partial.Failed.Source.Path), pgErr)
	case err != nil:
		return fmt.Errorf("migrate: %w", err)
	}

	if direction == "" || direction == "up" {
		if err := a.buildIndexes(ctx, db); err != nil {
			return fmt.Errorf("build indexes: %w", err)
		}
		a.rehearse(ctx)
	}
	states, err := migrator.Status(ctx)
	if err != nil {
		return fmt.Errorf("read migration status: %w", err)
	}
	var versions []int64
	var names, words []string
	var times []*time.Time
	for _, s := range states {
		versions, names, words, times = append(versions, s.Source.Version), append(names, path.Base(s.Source.Path)), append(words, string(s.State)), append(times, nil)
		if s.State == goose.StateApplied {
			times[len(times)-1] = &s.AppliedAt
		}
	}
	return a.print(ctx, `SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz(0)[]) AS m (version, name, state, applied_at)`,
		versions, names, words, times)
}

// buildIndexes executes what notification_cleanup_indexes() says: a migration has no loop for the partitions of a table. What the table
// behind a view lacks is only printed, for its owner.
func (a *app) buildIndexes(ctx context.Context, db *sql.DB) error {
	locker, err := newLocker()
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := locker.SessionLock(ctx, conn); err != nil { // until db is closed
		return err
	}
	type step struct {
		Statement string
		Print     bool
	}
	rows, _ := a.pool.Query(ctx, `SELECT statement, relkind = 'v' FROM notification_cleanup_indexes(), pg_class
		WHERE statement IS NOT NULL AND oid = 'notifications'::regclass`)
	steps, err := pgx.CollectRows(rows, pgx.RowToStructByPos[step])
	for _, s := range steps {
		if s.Print {
			fmt.Fprintln(a.stderr, s.Statement+";")
			continue
		}
		a.log.Info("building index", "statement", s.Statement)
		if _, err := a.pool.Exec(ctx, s.Statement); err != nil {
			return err
		}
	}
	return err
}

// lockID is the advisory lock of a migration, whoever does it.
var lockID = int64(crc32.ChecksumIEEE([]byte(versionTable)))

// newLocker lets concurrent migrators wait for each other, up to an hour: building the live index of a large table takes its time.
func newLocker() (lock.SessionLocker, error) {
	return lock.NewPostgresSessionLocker(
		lock.WithLockID(lockID),
		lock.WithLockTimeout(1, 3600),
	)
}

// newMigrator returns goose over the embedded migrations.
func newMigrator(db *sql.DB, options ...goose.ProviderOption) (*goose.Provider, error) {
	locker, err := newLocker()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, migrations.FS, append(options,
		goose.WithTableName(versionTable),
		goose.WithSessionLocker(locker),
		goose.WithDisableGlobalRegistry(true),
	)...)
}
