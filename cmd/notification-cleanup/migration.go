package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
)

const (
	migrateName   = "notification-cleanup migrate" // by which it is known who waits
	watchInterval = time.Second
	lockTries     = 5
	lockPause     = 500 * time.Millisecond // after the first, and each time twice as long
)

// A migration is goose, alone at work in the database, and watched.
type migration struct {
	*goose.Provider
	db     *sql.DB
	config *pgx.ConnConfig // of db, for a connection beside it
	app    *app
	moved  *movedError // adopt and down work all the same
}

// migrate does something while no other migration does anything, says what it waits for, and
// writes the status when it is done.
func (a *app) migrate(ctx context.Context, do func(context.Context, *migration) error) error {
	config := a.db.Config().ConnConfig.Copy()
	config.RuntimeParams["application_name"] = migrateName
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(a.allowTable))
	defer db.Close()
	provider, err := newMigrator(db)
	if err != nil {
		return fmt.Errorf("load migrations: %w", err)
	}
	conn, err := pgx.ConnectConfig(ctx, a.db.Config().ConnConfig.Copy())
	if err != nil {
		return err
	}
	defer unlock(context.WithoutCancel(ctx), conn)
	m := &migration{Provider: provider, db: db, config: config, app: a}
	if err := m.waitForOthers(ctx, conn); err != nil {
		return err
	}
	if err := m.recognise(ctx); err != nil {
		return err
	}
	if err := m.watched(ctx, do); err != nil {
		return err
	}
	return a.writeStatus(ctx, provider)
}

// recognise looks at what is there before it is changed. It refuses what a later version of the
// program has installed. Where goose has nothing noted of what is there, as pg_dump --schema-only
// leaves it, that is noted.
func (m *migration) recognise(ctx context.Context) error {
	found, err := m.app.inspect(ctx)
	if !errors.As(err, &m.moved) && err != nil {
		return err
	}
	if found == nil || !found.IsHere || found.Version == 0 {
		return nil
	}
	if found.Version > programVersion {
		says, advice := found.mismatch()
		return fmt.Errorf("%s. HINT: %s", says, advice)
	}
	var hasTable, isNoted bool
	err = m.db.QueryRowContext(ctx, `
		SELECT to_regclass(format('%I.`+versionTable+`', current_schema())) IS NOT NULL`).
		Scan(&hasTable)
	if err == nil && hasTable {
		err = m.db.QueryRowContext(ctx,
			`SELECT EXISTS (SELECT FROM `+versionTable+` WHERE version_id > 0)`).Scan(&isNoted)
	} else if err == nil {
		_, err = m.GetDBVersion(ctx) // creates it
	}
	if err != nil || isNoted {
		return err
	}
	_, err = m.db.ExecContext(ctx, `
		INSERT INTO `+versionTable+` (version_id, is_applied)
		SELECT version_id, true
		FROM generate_series(0, $1::bigint) AS version_id
		WHERE version_id NOT IN (SELECT v.version_id FROM `+versionTable+` AS v)`, found.Version)
	if err == nil {
		m.app.log.Warn("goose knew nothing of what is installed here, as in a copy of the schema: noted",
			"version", found.Version)
	}
	return err
}

// allowTable tells the first migration of CREATE_TABLE.
func (a *app) allowTable(ctx context.Context, conn *pgx.Conn) error {
	if !a.cfg.CreateTable {
		return nil
	}
	_, err := conn.Exec(ctx, `SET notification_cleanup.create_table = on`)
	return err
}

//go:embed migrators.sql
var migratorsQuery string

// waitForOthers takes the advisory lock of migrations, and holds it until the connection ends. It
// belongs to a transaction, so that it cannot be left behind on a connection of PgBouncer. CREATE
// INDEX CONCURRENTLY waits for the end of each transaction that it sees with a snapshot: so an
// attempt that fails ends its own, and the one that holds the lock executes nothing any more.
func (m *migration) waitForOthers(ctx context.Context, conn *pgx.Conn) error {
	var told time.Time
	for {
		got, err := tryLock(ctx, conn)
		if err != nil || got {
			return err
		}
		if time.Since(told) > waitInterval {
			told = time.Now()
			m.tell(ctx, "waiting for another migration", migratorsQuery, lockID)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func tryLock(ctx context.Context, conn *pgx.Conn) (got bool, err error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return false, err
	}
	for _, sql := range []string{
		`SET LOCAL idle_in_transaction_session_timeout = 0`,
		fmt.Sprintf(`SELECT pg_try_advisory_xact_lock(%d)`, lockID),
	} {
		rows, _ := tx.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol) // keeps no snapshot
		for rows.Next() {
			err = rows.Scan(&got)
		}
		if err = errors.Join(err, rows.Err()); err != nil {
			return false, err
		}
	}
	if !got {
		return false, tx.Rollback(ctx)
	}
	return true, nil
}

// unlock gives back the lock of waitForOthers and its connection. It does not leave the lock to the
// end of the connection, which PgBouncer may notice a little later.
func unlock(ctx context.Context, conn *pgx.Conn) {
	_, _ = conn.Exec(ctx, `ROLLBACK`) // or else the server does it
	_ = conn.Close(ctx)
}

//go:embed blockers.sql
var blockersQuery string

// watched does something, and says every now and then whom it waits for.
func (m *migration) watched(ctx context.Context, do func(context.Context, *migration) error) error {
	done := make(chan error, 1)
	go func() { done <- do(ctx, m) }()
	ticks := time.NewTicker(watchInterval)
	defer ticks.Stop()
	var told time.Time
	for {
		select {
		case err := <-done:
			return err
		case <-ticks.C:
			if time.Since(told) > waitInterval && m.tell(ctx, "waiting", blockersQuery, migrateName) {
				told = time.Now()
			}
		}
	}
}

// inTheWay is a process that somebody waits for.
type inTheWay struct {
	PID         int32 `db:"pid"`
	User        string
	Application string
	State       string
	Statement   string
}

// find finds who is in the way, by a query.
func (m *migration) find(ctx context.Context, query string, arg any) []inTheWay {
	all, _ := database.All[inTheWay](ctx, m.app.db, query, arg) // else nobody is known
	return all
}

// tell logs who is in the way, and returns if anybody is.
func (m *migration) tell(ctx context.Context, message, query string, arg any) bool {
	all := m.find(ctx, query, arg)
	for _, w := range all {
		m.app.log.Warn(message, "for_process", w.PID, "user", w.User, "application", w.Application,
			"state", w.State, "statement", w.Statement)
	}
	return len(all) > 0
}

// applyPending applies what is not applied yet, one migration after the other.
func (m *migration) applyPending(ctx context.Context) error {
	for {
		pending, err := m.pending(ctx)
		if err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		if pending == "" {
			return nil
		}
		m.app.log.Info("applying", "name", pending)
		err = m.patiently(ctx, func() error {
			result, err := m.UpByOne(ctx)
			return m.app.logMigrations([]*goose.MigrationResult{result}, err)
		})
		if err != nil {
			return err
		}
	}
}

// makeReady builds the indexes that are missing, and tries what a run will do.
func (m *migration) makeReady(ctx context.Context) error {
	if err := m.app.buildIndexes(ctx, m.db); err != nil {
		return fmt.Errorf("build indexes: %w", err)
	}
	m.app.rehearse(ctx)
	return nil
}

// pending is the name of the next migration, or nothing.
func (m *migration) pending(ctx context.Context) (string, error) {
	version, err := m.GetDBVersion(ctx)
	if err != nil {
		return "", err
	}
	for _, source := range m.ListSources() {
		if source.Version > version {
			return path.Base(source.Path), nil
		}
	}
	return "", nil
}

// patiently tries again what did not get a lock in time: whoever waits for a lock on a table stops
// the application there, so each attempt is short, and the pauses grow.
func (m *migration) patiently(ctx context.Context, do func() error) error {
	pause := lockPause
	for try := 1; ; try++ {
		err := do()
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "55P03" {
			return err
		}
		if try == lockTries {
			return fmt.Errorf("%w; in the way: %s", err, m.holders(ctx))
		}
		m.app.log.Warn("did not get a lock in time, tries again", "pause", pause.String())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

//go:embed holders.sql
var holdersQuery string

// holders names who has locks on the notifications.
func (m *migration) holders(ctx context.Context) string {
	names := []string{}
	for _, w := range m.find(ctx, holdersQuery, migrateName) {
		names = append(names, fmt.Sprintf("process %d (%s, %s, %s)",
			w.PID, w.User, w.Application, w.State))
	}
	if len(names) == 0 {
		return "nobody who is still there"
	}
	return strings.Join(names, ", ")
}
