// Package database is how the program reaches PostgreSQL: its connections, transactions that are
// tried again, rows by name, and what an error means. It knows nothing of notifications.
package database

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Database is a pool of connections.
type Database struct {
	*pgxpool.Pool
	log   *slog.Logger
	wrote atomic.Bool // it was a primary once, so it may be one again
}

// ErrNoConnection is why something could not even begin.
var ErrNoConnection = errors.New("connect to database")

// Open connects. When patient, it goes on trying while a server may be on its way back.
func Open(
	ctx context.Context,
	config *pgxpool.Config,
	log *slog.Logger,
	patient bool,
) (*Database, error) {
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoConnection, err)
	}
	d := &Database{Pool: pool, log: log}
	connect := func(ctx context.Context) error { return d.withConnection(ctx, d.ping) }
	if patient {
		err = d.retry(ctx, connect)
	} else {
		err = explain(connect(ctx))
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	return d, nil
}

func (d *Database) ping(ctx context.Context, conn *pgxpool.Conn) error { return conn.Ping(ctx) }

// withConnection does something on a connection of its own.
func (d *Database) withConnection(
	ctx context.Context,
	do func(context.Context, *pgxpool.Conn) error,
) error {
	conn, err := d.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoConnection, err)
	}
	defer conn.Release()
	return do(ctx, conn)
}

// Transaction executes a statement that writes and returns a row, in a transaction of its own, and
// returns the row; a value that is no struct stands for a row of one column. It is tried again, for
// about half a minute. It is at READ COMMITTED, because at a stricter level workers would fail at
// each other's counts, and at the application's writes.
func Transaction[T any](ctx context.Context, d *Database, sql string, args ...any) (T, error) {
	row, err := Read[T](ctx, d, sql, args...)
	if err == nil {
		d.wrote.Store(true)
	}
	return row, err
}

// Read is Transaction for a statement that writes nothing, so that a standby answers it too.
func Read[T any](ctx context.Context, d *Database, sql string, args ...any) (T, error) {
	var row T
	err := d.retry(ctx, func(ctx context.Context) error {
		return d.withConnection(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
			options := pgx.TxOptions{IsoLevel: pgx.ReadCommitted}
			return pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) (err error) {
				rows, _ := tx.Query(ctx, sql, args...)
				row, err = pgx.CollectExactlyOneRow(rows, toRow[T]())
				return err
			})
		})
	})
	return row, err
}
