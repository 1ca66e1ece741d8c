package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"pgregory.net/rapid"
)

// Tests run on the server of TEST_DATABASE_URL, each in a database of its own: a clone of one that was migrated once. Where that is the
// coordinator of a Citus cluster, each of its nodes has such a clone, and the notifications are distributed.
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

// TestMain runs the tests, or, where a test has started this binary again, the program.
func TestMain(m *testing.M) {
	if os.Getenv("NOTIFICATION_CLEANUP_TEST_MAIN") == "1" {
		main()
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
	address := os.Getenv("TEST_DATABASE_URL")
	if address == "" {
		return 1, errors.New("TEST_DATABASE_URL is not set: run make test, or set it to the postgres:// URL of a superuser on a scratch server")
	}
	if server.url, err = url.Parse(address); err != nil || !strings.HasPrefix(server.url.Scheme, "postgres") {
		return 1, errors.New("TEST_DATABASE_URL is not valid: it takes postgres://user@host:port/database")
	}
	if server.conn, err = pgx.Connect(ctx, address); err != nil {
		return 1, err
	}
	defer server.conn.Close(ctx)
	server.prefix = fmt.Sprintf("notification_cleanup_test_%d_", os.Getpid())
	server.template = server.prefix + "template"
	const about = `SELECT CASE WHEN current_setting('server_version_num')::integer >= 150000 THEN 'STRATEGY file_copy' ELSE '' END,
		(SELECT setting FROM pg_config WHERE name = 'BINDIR')`
	if err := server.conn.QueryRow(ctx, about).Scan(&server.strategy, &server.bin); err != nil {
		return 1, err
	}
	defer dropLeftovers()
	server.empty = "template0"
	if err := findCluster(ctx); err != nil {
		return 1, fmt.Errorf("make a cluster's template database: %w", err)
	}
	if err := onServer("CREATE DATABASE %s TEMPLATE %s %s", server.template, server.empty, server.strategy); err != nil {
		return 1, err
	}
	if err := distributeIn(ctx, databaseURL(server.template)); err != nil {
		return 1, fmt.Errorf("distribute the template database: %w", err)
	}
	if err := migrateUp(ctx, server.template); err != nil {
		return 1, fmt.Errorf("migrate the template database: %w", err)
	}
	if err := closeTemplate(server.template); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

func dropLeftovers() {
	if server.workers != nil {
		_ = onServer("DROP DATABASE IF EXISTS %s WITH (FORCE)", server.empty)
	}
	_ = onServer("DROP DATABASE IF EXISTS %s", server.template)
	if os.Getenv("KEEP_DATABASES") == "1" {
		return
	}
	const leftovers = `
		SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database WHERE starts_with(datname, $1)
		UNION ALL
		SELECT format('DROP ROLE %I', rolname) FROM pg_roles WHERE starts_with(rolname, $1)`
	rows, _ := server.conn.Query(context.Background(), leftovers, server.prefix)
	statements, _ := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, statement := range statements {
		_ = onServer("%s", statement)
	}
}

// onServer executes a statement outside of the tests' databases, on each node of a cluster. One at a time, because a database can be
// copied by one session at a time only.
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

func migrateUp(ctx context.Context, name string, options ...goose.ProviderOption) error {
	db, err := sql.Open("pgx", databaseURL(name))
	if err != nil {
		return err
	}
	defer db.Close()
	migrator, err := newMigrator(db, options...)
	if err != nil {
		return err
	}
	_, err = migrator.Up(ctx)
	return err
}

// testingT is what *testing.T and *rapid.T have in common.
type testingT interface {
	rapid.TB
	Cleanup(func())
	Context() context.Context
}

// database is a test's own database and one session in it. Its methods end the test when a statement fails.
type database struct {
	t       testingT
	name    string
	own     *ownServer // nil: the server of all tests
	conn    *pgx.Conn
	session int
	script  *script
}

// script is what the sessions of a test did, to be repeated in psql when the test has failed.
type script struct {
	statements []string
	sessions   int
}

// newDatabase makes a database with all migrations applied.
func newDatabase(t *testing.T) *database {
	t.Helper()
	return createDatabase(t, server.template)
}

// databaseOf is newDatabase for a kind of table: plain, or one of partitionedTables, each of which is migrated once.
func databaseOf(t *testing.T, kind string) *database {
	t.Helper()
	if kind == "plain" {
		return newDatabase(t)
	}
	templates.Lock()
	defer templates.Unlock()
	template := server.prefix + "template_" + strings.ReplaceAll(kind, " ", "_")
	if !templates.made[kind] {
		if err := onServer("CREATE DATABASE %s TEMPLATE template0 %s", template, server.strategy); err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.Connect(t.Context(), databaseURL(template))
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Exec(t.Context(), partitionedTables[kind])
		conn.Close(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		migrateTo(t, &database{t: t, name: template}, "up")
		templates.made[kind] = true
	}
	return createDatabase(t, template)
}

var templates = struct {
	sync.Mutex
	made map[string]bool
}{made: map[string]bool{}}

// partitionedTables are like the table that the migrations create. The first 60 notifications of insert are in two partitions by time.
var partitionedTables = map[string]string{
	"hash of the user": `CREATE TABLE notifications (` + uuidColumns + `PRIMARY KEY (id, user_id)) PARTITION BY HASH (user_id);
		CREATE TABLE p0 PARTITION OF notifications FOR VALUES WITH (MODULUS 3, REMAINDER 0);
		CREATE TABLE p1 PARTITION OF notifications FOR VALUES WITH (MODULUS 3, REMAINDER 1);
		CREATE TABLE p2 PARTITION OF notifications FOR VALUES WITH (MODULUS 3, REMAINDER 2)`,
	"range of time": `CREATE TABLE notifications (` + uuidColumns + `PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
		CREATE TABLE p0 PARTITION OF notifications FOR VALUES FROM (MINVALUE) TO ('2025-01-01 00:30Z');
		CREATE TABLE p1 PARTITION OF notifications FOR VALUES FROM ('2025-01-01 00:30Z') TO ('2025-01-01 01:00Z');
		CREATE TABLE p2 PARTITION OF notifications DEFAULT`,
}

const uuidColumns = `id uuid DEFAULT gen_random_uuid(), user_id uuid NOT NULL, title text, message text, status text DEFAULT 'unread',
	created_at timestamptz NOT NULL DEFAULT now(), `

// emptyDatabase makes a database with nothing in it.
func emptyDatabase(t *testing.T) *database {
	t.Helper()
	return createDatabase(t, server.empty)
}

// adopt makes a database in which the migrations found what these statements had made.
func adopt(t *testing.T, statements ...string) *database {
	t.Helper()
	d := emptyDatabase(t)
	for _, statement := range statements {
		d.exec(statement)
	}
	d.note("-- notification-cleanup migrate")
	migrateTo(t, d, "up")
	d.conn = d.connect() // with the search_path that the statements may have set for the database
	return d
}

func createDatabase(t *testing.T, template string) *database {
	t.Helper()
	server.Lock()
	server.created++
	d := &database{t: t, name: fmt.Sprint(server.prefix, server.created), script: &script{}}
	server.Unlock()
	if err := onServer("CREATE DATABASE %s TEMPLATE %s %s", d.name, template, server.strategy); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat it in psql:\n%s", strings.Join(d.script.statements, "\n"))
			if os.Getenv("KEEP_DATABASES") == "1" {
				t.Logf("kept: psql '%s'", d.url())
				return
			}
		}
		err := onServer("DROP DATABASE IF EXISTS %s WITH (FORCE)", d.name)
		for range len(server.workers) * 5 { // Citus may just have come back
			if err != nil {
				err = onServer("DROP DATABASE IF EXISTS %s WITH (FORCE)", d.name)
			}
		}
		if err != nil {
			t.Error(err)
		}
		if err := onServer("DROP ROLE IF EXISTS %s", d.roleName()); err != nil {
			t.Error(err)
		}
	})
	return d.openSession()
}

func (d *database) url() string {
	if d.own != nil {
		return d.own.url(d.name)
	}
	return databaseURL(d.name)
}

// roleName is the one role that a test may create: roles belong to the whole server.
func (d *database) roleName() string { return d.name + "_role" }

// openSession opens another session in the same database.
func (d *database) openSession() *database {
	d.t.Helper()
	d.script.sessions++
	return &database{t: d.t, name: d.name, own: d.own, conn: d.connect(), session: d.script.sessions, script: d.script}
}

// connect opens another connection to the same database.
func (d *database) connect() *pgx.Conn {
	d.t.Helper()
	config, err := pgx.ParseConfig(d.url())
	if err != nil {
		d.t.Fatal(err)
	}
	// Nothing here takes as long, unless it waits for a lock that it should not wait for.
	config.RuntimeParams["statement_timeout"] = "10s"
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(context.Background(), config)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// note adds a statement to the script.
func (d *database) note(statement string) {
	if d.session > 1 {
		statement = fmt.Sprintf("/* session %d */ %s", d.session, statement)
	}
	d.script.statements = append(d.script.statements, strings.TrimRight(statement, "; \n\t")+";")
}

// exec executes a statement, or several when there are no args.
func (d *database) exec(statements string, args ...any) {
	d.t.Helper()
	d.note(statements)
	if _, err := d.conn.Exec(context.Background(), statements, args...); err != nil {
		d.t.Fatalf("%v\nin %s", err, statements)
	}
}

// refused executes a statement that must fail with this SQLSTATE.
func (d *database) refused(statement, code string) *pgconn.PgError {
	d.t.Helper()
	_, err := d.conn.Exec(context.Background(), statement)
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		d.t.Fatalf("error %v instead of %s in\n%s;", err, code, statement)
	}
	if pgErr.Code != code {
		d.t.Errorf("%v instead of %s in\n%s;", err, code, statement)
	}
	return pgErr
}

// collect returns the rows of a query.
func collect[T any](d *database, to pgx.RowToFunc[T], query string, args ...any) []T {
	d.t.Helper()
	rows, _ := d.conn.Query(context.Background(), query, args...)
	values, err := pgx.CollectRows(rows, to)
	if err != nil {
		d.t.Fatalf("%v\nin %s", err, query)
	}
	return values
}

// all returns the values of a query with one column.
func all[T any](d *database, query string, args ...any) []T {
	d.t.Helper()
	return collect(d, pgx.RowTo[T], query, args...)
}

// one returns the one value of a query.
func one[T any](d *database, query string, args ...any) T {
	d.t.Helper()
	values := all[T](d, query, args...)
	if len(values) != 1 {
		d.t.Fatalf("%d rows\nin %s", len(values), query)
	}
	return values[0]
}
