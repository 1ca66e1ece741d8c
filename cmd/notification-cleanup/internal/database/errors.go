package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATEs that the program knows by name.
const (
	readOnly         = "25006"
	invalidParameter = "22023"
	noSuchFunction   = "42883"
	noSuchTable      = "42P01"
	noSuchObject     = "42704"
	noSuchColumn     = "42703"
	noSuchSchema     = "3F000"
	protocol         = "08P01"
	tooMany          = "53300"
)

// transientStates are the errors of a server that may be gone at the next attempt.
var transientStates = []string{
	"40001", // serialization failure
	"40P01", // deadlock
	"55P03", // lock not available
	"57P01", // shutting down
	"57P02", // crashed
	"57P03", // starting up
	tooMany,
	"08000", // connection exception, as the others of this class
	"08001", // could not connect
	"08003", // is not connected
	"08004", // was not let in
	"08006", // connection failure
	protocol,
}

// Transient tells if an error may be gone at the next attempt: it is one of the errors above, or
// of the network. What the server has answered otherwise, or the program has not understood, is
// never gone.
func Transient(err error) bool {
	var usage *MistakenError
	var dns *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &usage):
		return false
	case state(err) != "":
		return slices.Contains(transientStates, state(err))
	case errors.As(err, &dns):
		return dns.IsTimeout || dns.IsTemporary
	case errors.As(err, &network), pgconn.Timeout(err):
		return true
	}
	for _, lost := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, pgconn.ErrConnClosed} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

// state is the SQLSTATE of an error of the server, or nothing.
func state(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// NotInstalled tells if the server knows no such routine or table.
func NotInstalled(err error) bool {
	return state(err) == noSuchFunction || state(err) == noSuchTable
}

// misnamed tells if the server does not find what a function names, and not what the program has
// named: that is a trigger of the application, since our routines find what is ours. What raises
// such an error itself knows what it says.
func misnamed(err error) bool {
	names := []string{noSuchFunction, noSuchTable, noSuchObject, noSuchColumn, noSuchSchema}
	return slices.Contains(names, state(err)) && failedIn(err) != "" &&
		!strings.HasSuffix(failedIn(err), " RAISE") // in any language
}

// failedIn is the innermost function in which the server failed, as it says so, or nothing where
// the statement of the program was at fault.
func failedIn(err error) string {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return ""
	}
	innermost, _, _ := strings.Cut(pgErr.Where, "\n")
	return innermost
}

// Refused tells if the server refused an argument.
func Refused(err error) bool { return state(err) == invalidParameter }

// MistakenError is a connection that can never work as it is configured.
type MistakenError struct {
	Hint string
	err  error
}

// Error implements error.
func (e *MistakenError) Error() string { return e.err.Error() }

// Unwrap returns what the server said.
func (e *MistakenError) Unwrap() error { return e.err }

// explain recognises a connection that can never work, by what the server or PgBouncer says of
// it. The messages of PgBouncer are in English everywhere.
func explain(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err
	}
	var hint string
	switch unsupported := strings.Contains(pgErr.Message, "unsupported startup parameter"); {
	case unsupported && strings.HasSuffix(pgErr.Message, " search_path"):
		hint = "PgBouncer does not take SCHEMA: ALTER ROLE ... SET search_path instead."
	case unsupported, pgErr.Code == noSuchObject && failedIn(err) == "":
		hint = "DATABASE_URL takes the parameters of libpq and the settings of the server, " +
			"such as ?sslmode=require or ?search_path=app. See SCHEMA and WORKERS."
	case pgErr.Code == protocol && strings.Contains(pgErr.Message, "statement pooling"):
		hint = "The cleanup works through PgBouncer in transaction or session mode."
	default:
		return err
	}
	return &MistakenError{hint, err}
}

// OneLine is an error with PostgreSQL's detail and hint, on one line.
func OneLine(err error) string { return strings.Join(Lines(err), " ") }

// Lines is the same with the detail and the hint on lines of their own.
func Lines(err error) []string {
	message, detail, hint := err.Error(), "", ""
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		message = strings.Replace(message, connect.Error(), connectError(connect), 1)
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		detail, hint = pgErr.Detail, pgErr.Hint
	}
	switch {
	case misnamed(err):
		message += " CONTEXT: " + failedIn(err)
		hint = "A trigger of the application runs under the search_path that is pinned for the " +
			"cleanup. Let its function name the schema, or ALTER FUNCTION ... SET search_path = ...; " +
			"notification-cleanup doctor tells which."
	case NotInstalled(err):
		hint = "Is it installed here? See notification-cleanup migrate status, and SCHEMA."
	}
	var mistaken *MistakenError
	if errors.As(err, &mistaken) {
		hint = mistaken.Hint
	}
	oneLine := func(words string) string { return strings.Join(strings.Fields(words), " ") }
	lines := []string{oneLine(message)}
	if detail != "" {
		lines = append(lines, "DETAIL: "+oneLine(detail))
	}
	if hint != "" {
		lines = append(lines, "HINT: "+oneLine(hint))
	}
	return lines
}

// connectError says once what pgx says for each address that it tried, with and without TLS.
func connectError(err *pgconn.ConnectError) string {
	var reasons []string
	var collect func(error)
	collect = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range joined.Unwrap() {
				collect(err)
			}
			return
		}
		if reason := cause(err).Error(); !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	collect(err.Unwrap())
	return fmt.Sprintf("%s as user %s: %s",
		err.Config.Database, err.Config.User, strings.Join(reasons, "; "))
}

// cause is what the network or the server says of a failed attempt.
func cause(err error) error {
	var pgErr *pgconn.PgError
	var network *net.OpError
	switch {
	case errors.As(err, &pgErr):
		return pgErr
	case errors.As(err, &network):
		return network
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("timeout")
	}
	return err
}
