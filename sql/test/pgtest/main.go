package pgtest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

var rounds = flag.Int("rounds", 1, "how often each test that kills something does so")

// Rounds is how often a test that kills something at random does so.
func Rounds() int { return *rounds }

// server is what TEST_DATABASE_URL names.
var server struct {
	sync.Mutex
	url      *url.URL
	conn     *pgx.Conn
	workers  []*pgx.Conn // of a Citus cluster
	prefix   string      // of every database and role of this process
	empty    string      // what a database with nothing in it is a clone of
	template string
	strategy string // the quickest way to copy a small database
	bin      string // folder of the server's programs
	created  int
}

// Main runs the tests of a suite, and ends the process.
func Main(m *testing.M, marks ...Mark) {
	if !wanted(marks) {
		return
	}
	status, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

func runTests(m *testing.M) (status int, err error) {
	ctx := context.Background()
	if err := findServer(ctx); err != nil {
		return 1, err
	}
	defer server.conn.Close(ctx)
	defer dropLeftovers()
	if err := makeTemplate(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// findServer connects to the server, and learns what it is.
func findServer(ctx context.Context) (err error) {
	address := os.Getenv("TEST_DATABASE_URL")
	if address == "" {
		return errors.New("TEST_DATABASE_URL is not set: run make test," +
			" or set it to the postgres:// URL of a superuser on a scratch server")
	}
	server.url, err = url.Parse(address)
	if err != nil || !strings.HasPrefix(server.url.Scheme, "postgres") {
		return errors.New("TEST_DATABASE_URL is not valid: it takes postgres://user@host:port/database")
	}
	if server.conn, err = pgx.Connect(ctx, address); err != nil {
		return err
	}
	server.prefix = fmt.Sprintf("notification_cleanup_test_%d_", os.Getpid())
	server.empty = "template0"
	server.template = server.prefix + "template"
	const about = `
		SELECT
			CASE
				WHEN current_setting('server_version_num')::integer >= 150000
				THEN 'STRATEGY file_copy'
				ELSE ''
			END,
			(SELECT setting FROM pg_config WHERE name = 'BINDIR')`
	return server.conn.QueryRow(ctx, about).Scan(&server.strategy, &server.bin)
}

// makeTemplate makes the database that those of the tests are clones of.
func makeTemplate(ctx context.Context) error {
	if err := findCluster(ctx); err != nil {
		return fmt.Errorf("make a cluster's template database: %w", err)
	}
	if err := makeEmpty(ctx); err != nil {
		return fmt.Errorf("make an empty database: %w", err)
	}
	err := onServer("CREATE DATABASE %s TEMPLATE %s %s",
		server.template, server.empty, server.strategy)
	if err != nil {
		return err
	}
	if err := distributeIn(ctx, databaseURL(server.template)); err != nil {
		return fmt.Errorf("distribute the template database: %w", err)
	}
	if err := migrateTemplate(ctx, server.template); err != nil {
		return fmt.Errorf("migrate the template database: %w", err)
	}
	return closeTemplate(server.template)
}

// makeEmpty makes an empty database in which not everybody may create objects. From version 15 on
// each one is.
func makeEmpty(ctx context.Context) error {
	var creators int
	const everybody = `
		SELECT count(*)
		FROM pg_namespace, aclexplode(nspacl)
		WHERE nspname = 'public' AND grantee = 0 AND privilege_type = 'CREATE'`
	err := server.conn.QueryRow(ctx, everybody).Scan(&creators)
	if err != nil || creators == 0 || server.workers != nil {
		return err
	}
	server.empty = server.prefix + "empty"
	err = onServer("CREATE DATABASE %s TEMPLATE template0 %s", server.empty, server.strategy)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, databaseURL(server.empty))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	return errors.Join(err, conn.Close(ctx))
}

func dropLeftovers() {
	removeProgram()
	if server.empty != "template0" {
		_ = onServer("DROP DATABASE IF EXISTS %s WITH (FORCE)", server.empty)
	}
	_ = onServer("DROP DATABASE IF EXISTS %s", server.template)
	if os.Getenv("KEEP_DATABASES") == "1" {
		return
	}
	const leftovers = `
		SELECT format('DROP DATABASE %I WITH (FORCE)', datname)
		FROM pg_database WHERE starts_with(datname, $1)
		UNION ALL
		SELECT format('DROP ROLE %I', rolname)
		FROM pg_roles WHERE starts_with(rolname, $1)`
	rows, _ := server.conn.Query(context.Background(), leftovers, server.prefix)
	statements, _ := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, statement := range statements {
		_ = onServer("%s", statement)
	}
}

// onServer executes a statement outside of the tests' databases, on each node of a cluster. One at
// a time, because only one session at a time can copy a database.
func onServer(format string, args ...any) error {
	server.Lock()
	defer server.Unlock()
	for _, conn := range append([]*pgx.Conn{server.conn}, server.workers...) {
		if _, err := conn.Exec(context.Background(), fmt.Sprintf(format, args...)); err != nil {
			return err
		}
	}
	return nil
}

func databaseURL(name string) string {
	u := *server.url
	u.Path = "/" + name
	return u.String()
}

// Path is where a file of the repository is, given by its path there.
func Path(file string) string {
	folder, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			break
		}
		if folder == filepath.Dir(folder) {
			panic("the tests do not run in the repository")
		}
		folder = filepath.Dir(folder)
	}
	return filepath.Join(folder, file)
}
