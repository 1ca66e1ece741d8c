package database

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"
)

// One returns the row of a query: columns by the names of the fields of T, or the only column.
func One[T any](ctx context.Context, d *Database, sql string, args ...any) (T, error) {
	rows, _ := d.Query(ctx, sql, args...)
	return pgx.CollectExactlyOneRow(rows, toRow[T]())
}

// All returns all rows of a query.
func All[T any](ctx context.Context, d *Database, sql string, args ...any) ([]T, error) {
	rows, _ := d.Query(ctx, sql, args...)
	return pgx.CollectRows(rows, toRow[T]())
}

// Each does something with each row of a query while they come, and holds none of them.
func Each[T any](
	ctx context.Context,
	d *Database,
	do func(T) error,
	sql string,
	args ...any,
) error {
	rows, _ := d.Query(ctx, sql, args...)
	defer rows.Close()
	scan := toRow[T]()
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return err
		}
		if err := do(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// WriteJSON writes each row of a query as an object, whose keys are the names of its columns, the
// way PostgreSQL writes them.
func WriteJSON(ctx context.Context, d *Database, w io.Writer, sql string, args ...any) error {
	return Each(ctx, d, func(object string) error {
		_, err := fmt.Fprintln(w, object)
		return err
	}, "SELECT row_to_json(r)::text FROM ("+sql+") AS r", args...)
}

// toRow returns how a row is read.
func toRow[T any]() pgx.RowToFunc[T] {
	kind := reflect.TypeFor[T]()
	if kind.Kind() == reflect.Struct && kind != reflect.TypeFor[time.Time]() {
		return pgx.RowToStructByName[T]
	}
	return pgx.RowTo[T]
}
