package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"
)

// TB is what *testing.T and *rapid.T have in common.
type TB interface {
	rapid.TB
	Cleanup(func())
	Context() context.Context
}

// Database is a test's own database and one session in it. Its methods end the test when a
// statement fails.
type Database struct {
	T       TB
	Name    string
	Conn    *pgx.Conn
	own     *Server // nil: the server of all tests
	session int
	script  *script
}

// script is what the sessions of a test did, to be repeated in psql when the test has failed.
type script struct {
	sync.Mutex
	statements []string
	sessions   int
}

// New makes a database with all migrations applied.
func New(t *testing.T) *Database {
	t.Helper()
	return create(t, server.template)
}

// Empty makes a database with nothing in it.
func Empty(t *testing.T) *Database {
	t.Helper()
	return create(t, server.empty)
}

// Adopt makes a database in which the migrations found what these statements had made.
func Adopt(t *testing.T, statements ...string) *Database {
	t.Helper()
	d := Empty(t)
	for _, statement := range statements {
		d.Exec(statement)
	}
	d.Note("-- notification-cleanup migrate")
	d.Migrate()
	d.Conn = d.Connect() // with the search_path that the statements may have set for the database
	return d
}

func create(t *testing.T, template string) *Database {
	t.Helper()
	server.Lock()
	server.created++
	d := &Database{T: t, Name: fmt.Sprint(server.prefix, server.created), script: &script{}}
	server.Unlock()
	err := onServer("CREATE DATABASE %s TEMPLATE %s %s", d.Name, template, server.strategy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.drop)
	return d.OpenSession()
}

// drop is the end of a test: it prints what the test did when that has failed.
func (d *Database) drop() {
	if d.T.Failed() {
		d.T.Logf("to repeat it in psql:\n%s", strings.Join(d.script.statements, "\n"))
		if os.Getenv("KEEP_DATABASES") == "1" {
			d.T.Logf("kept: psql '%s'", d.URL())
			return
		}
	}
	err := onServer("DROP DATABASE IF EXISTS %s WITH (FORCE)", d.Name)
	for range len(server.workers) * 5 { // Citus may just have come back
		if err != nil {
			err = onServer("DROP DATABASE IF EXISTS %s WITH (FORCE)", d.Name)
		}
	}
	if err != nil {
		d.T.Errorf("%v", err)
	}
	if err := onServer("DROP ROLE IF EXISTS %s", d.RoleName()); err != nil {
		d.T.Errorf("%v", err)
	}
}

// URL is the address of the database.
func (d *Database) URL() string {
	if d.own != nil {
		return d.own.url(d.Name)
	}
	return databaseURL(d.Name)
}

// RoleName is the one role that a test may create: roles belong to the whole server.
func (d *Database) RoleName() string { return d.Name + "_role" }

// Role makes a role that has these privileges only. It is dropped with the database.
func (d *Database) Role(privileges ...string) string {
	d.T.Helper()
	d.Exec("CREATE ROLE " + d.RoleName() + "; REVOKE ALL ON SCHEMA public FROM PUBLIC")
	for _, privilege := range privileges {
		d.Exec("GRANT " + privilege + " TO " + d.RoleName())
	}
	return d.RoleName()
}

// RoleTo makes a role that has the grants for these uses only, such as "clean up" or "purge".
func (d *Database) RoleTo(uses ...string) string {
	d.T.Helper()
	role := d.Role()
	d.GrantUses(role, uses...)
	return role
}

// GrantUses executes what notification_cleanup_grants() returns.
func (d *Database) GrantUses(role string, uses ...string) {
	d.T.Helper()
	for _, grant := range d.GrantsFor(role, uses...) {
		d.Exec(grant)
	}
}

// GrantsFor is what notification_cleanup_grants() returns.
func (d *Database) GrantsFor(role string, uses ...string) []string {
	d.T.Helper()
	const grants = "SELECT notification_cleanup_grants($1::text::regrole, $2::text[])"
	return All[string](d, grants, role, uses)
}

// OpenSession opens another session in the same database.
func (d *Database) OpenSession() *Database {
	d.T.Helper()
	return d.sessionOn(d.Connect())
}

// sessionOn is a session with this connection.
func (d *Database) sessionOn(conn *pgx.Conn) *Database {
	d.script.Lock()
	defer d.script.Unlock()
	d.script.sessions++
	session := *d
	session.Conn, session.session = conn, d.script.sessions
	return &session
}

// OnServer opens a session in the database of the same name on another server, a standby.
func (d *Database) OnServer(s *Server) *Database {
	d.T.Helper()
	there := *d
	there.own = s
	return there.OpenSession()
}

// Cases is for a test that has many cases, one after another. What begin returns is the same
// session for the next of them. What is printed when the test has failed is what was done before
// the first case, and what the last one did.
func (d *Database) Cases() (begin func(t TB) *Database) {
	before := slices.Clone(d.script.statements)
	return func(t TB) *Database {
		d.script.statements = slices.Clone(before)
		session := *d
		session.T = t
		return &session
	}
}

// Connect opens another connection to the same database.
func (d *Database) Connect() *pgx.Conn {
	d.T.Helper()
	config, err := pgx.ParseConfig(d.URL())
	if err != nil {
		d.T.Fatal(err)
	}
	return d.connectWith(config)
}

func (d *Database) connectWith(config *pgx.ConnConfig) *pgx.Conn {
	d.T.Helper()
	// Nothing here takes as long, unless it waits for a lock that it should not wait for.
	config.RuntimeParams["statement_timeout"] = "60s"
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(context.Background(), config)
	if err != nil {
		d.T.Fatal(err)
	}
	d.T.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// WithNotices opens a session that keeps what it is told.
func (d *Database) WithNotices() (session *Database, notices func() string) {
	d.T.Helper()
	config, err := pgx.ParseConfig(d.URL())
	if err != nil {
		d.T.Fatal(err)
	}
	told := new(Output)
	config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) {
		fmt.Fprintln(told, notice.Message)
	}
	return d.sessionOn(d.connectWith(config)), told.String
}

// Cron opens a session in the database of pg_cron, and tells if the server has that.
func Cron(t *testing.T) (session *Database, exists bool) {
	t.Helper()
	name, err := url.PathUnescape(strings.TrimPrefix(server.url.Path, "/"))
	if err != nil {
		t.Fatal(err)
	}
	session = (&Database{T: t, Name: name, script: &script{}}).OpenSession()
	const here = `
		SELECT coalesce(current_setting('cron.database_name', true) = current_database(), false)`
	return session, One[bool](session, here)
}

// NeedCron is Cron for a test that needs it. Only servers that PG_BIN names may be without.
func NeedCron(t *testing.T) (session *Database) {
	t.Helper()
	session, exists := Cron(t)
	switch {
	case exists:
	case os.Getenv("PG_BIN") != "":
		t.Skip("the server in PG_BIN has no pg_cron")
	default:
		t.Fatal("no pg_cron on this server: apt-get install postgresql-15-cron and run make test, " +
			"or set shared_preload_libraries = 'pg_cron' and cron.database_name")
	}
	return session
}

// SetForDatabase makes a setting the default in the database.
func SetForDatabase(setting string) string {
	return "DO $do$ BEGIN EXECUTE format('ALTER DATABASE %I SET ', current_database())" +
		" || $setting$" + setting + "$setting$; END $do$"
}

// SetSearchPath makes a search_path the default in the database.
func SetSearchPath(path string) string { return SetForDatabase("search_path = " + path) }
