package pgtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Note adds a statement to what is printed when the test has failed.
func (d *Database) Note(statement string) {
	d.script.Lock()
	defer d.script.Unlock()
	if d.session > 1 {
		statement = fmt.Sprintf("/* session %d */ %s", d.session, statement)
	}
	statement = strings.TrimRight(statement, "; \n\t") + ";"
	d.script.statements = append(d.script.statements, statement)
}

// Exec executes a statement, or several when there are no args.
func (d *Database) Exec(statements string, args ...any) {
	d.T.Helper()
	d.Note(statements)
	if _, err := d.Conn.Exec(context.Background(), statements, args...); err != nil {
		d.T.Fatalf("%v\nin %s", err, statements)
	}
}

// Refused executes a statement that must fail with this SQLSTATE.
func (d *Database) Refused(statement, code string) *pgconn.PgError {
	d.T.Helper()
	_, err := d.Conn.Exec(context.Background(), statement)
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		d.T.Fatalf("error %v instead of %s in\n%s;", err, code, statement)
	}
	if pgErr.Code != code {
		d.T.Errorf("%v instead of %s in\n%s;", err, code, statement)
	}
	return pgErr
}

// Collect returns the rows of a query.
func Collect[T any](d *Database, to pgx.RowToFunc[T], query string, args ...any) []T {
	d.T.Helper()
	rows, _ := d.Conn.Query(context.Background(), query, args...)
	values, err := pgx.CollectRows(rows, to)
	if err != nil {
		d.T.Fatalf("%v\nin %s", err, query)
	}
	return values
}

// All returns the values of a query with one column.
func All[T any](d *Database, query string, args ...any) []T {
	d.T.Helper()
	return Collect(d, pgx.RowTo[T], query, args...)
}

// One returns the one value of a query.
func One[T any](d *Database, query string, args ...any) T {
	d.T.Helper()
	values := All[T](d, query, args...)
	if len(values) != 1 {
		d.T.Fatalf("%d rows\nin %s", len(values), query)
	}
	return values[0]
}

// Eventually waits until the query returns true.
func (d *Database) Eventually(query string) {
	d.T.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !One[bool](d, query) {
		if time.Now().After(deadline) {
			d.T.Fatalf("never true: %s", query)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Decode returns what a text of JSON holds.
func Decode[T any](t TB, text string) (value T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return value
}
