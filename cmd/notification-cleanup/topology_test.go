package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestAStandbyShowsWhatWouldGoAndCleansUpOnceItIsPromoted(t *testing.T) {
	t.Parallel()
	pgtest.Slow(t)
	primary := pgtest.NewServer(t)
	d := primary.New()
	standby := primary.Standby()
	d = d.OpenSession()
	d.Exec(pgtest.Inboxes) // so this has been streamed
	d.Cleanup("2000")
	d.Cleanup("2000") // everything needs a second run
	replayed := func(d *pgtest.Database) string {
		return fmt.Sprintf(
			"SELECT pg_last_wal_replay_lsn() >= '%s'",
			pgtest.One[string](d, "SELECT pg_current_wal_lsn()::text"),
		)
	}
	reached := replayed(d)
	looks := [][]string{{"preview"}, {"run", "--dry-run"}, {"stats"}, {"history"}}
	look := func() (result string) {
		for _, args := range looks {
			stdout, stderr, status := command(t, d, nil, args...)
			if result += stdout; status != 0 {
				t.Errorf("%v: exit status %d: %s", args, status, stderr)
			}
		}
		return result
	}
	want := look()

	writing := d
	d = d.OnServer(standby)
	d.Eventually(reached)
	if got := look(); got != want {
		t.Errorf("the standby says\n%s, the primary\n%s", got, want)
	}
	for _, call := range pgtest.EveryRoutine[2:] {
		d.Refused(call, "25006")
	}
	for _, args := range [][]string{{"run"}, {"restore", "1"}, {"purge"}, {"migrate", "down"}} {
		stdout, stderr, status := command(t, d, nil, args...)
		if last := stderr[strings.LastIndex(stderr, "\n")+1:]; status != 1 ||
			!strings.Contains(last, "read-only transaction") ||
			strings.Contains(stderr, "retrying") { // it was a standby from the beginning
			t.Errorf("%v: exit status %d, stdout %s, stderr %s", args, status, stdout, stderr)
		}
	}

	// Once it is promoted, it goes on with the run that the primary had begun.
	writing.Batch(writing.Plan("batch_size => 100"))
	d.Eventually(replayed(writing))
	d.Exec("SELECT pg_promote()")
	stdout, stderr, status := command(t, d, nil)
	line, _, _ := strings.Cut(stdout, "\n")
	expectWholeRun(t, d, status, line, stderr)
	if !strings.HasPrefix(line, `{"id":3,`) || strings.Count(stdout, "\n") != 2 {
		t.Errorf("stdout %s, want run 3 and one of its own", stdout)
	}
	d.WantEnded("the promotion")
}

// pgbouncer starts PgBouncer in a mode before the database, and returns its URL.
func pgbouncer(t *testing.T, d *pgtest.Database, mode string) string {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path = "/usr/sbin/pgbouncer"
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("no PgBouncer on this machine: apt-get install pgbouncer")
	}
	s := pgtest.PrepareServer(t) // for its folder
	config, err := pgx.ParseConfig(d.URL())
	if err != nil {
		t.Fatal(err)
	}
	password := ""
	if config.Password != "" {
		password = "password=" + config.Password
	}
	ini := fmt.Sprintf(`[databases]
%s = host=%s port=%d user=%s %s
[pgbouncer]
listen_addr =
unix_socket_dir = %s
listen_port = 6432
auth_type = any
pool_mode = %s
default_pool_size = 2
`, d.Name, config.Host, config.Port, config.User, password, s.Dir, mode)
	file := filepath.Join(s.Dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(ini), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := s.Command(path, file)
	stderr := new(pgtest.Output)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("PgBouncer says %v\n%s", cmd.ProcessState, stderr)
		}
	})
	for socket := filepath.Join(s.Dir, ".s.PGSQL.6432"); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return fmt.Sprintf("postgres:///%s?host=%s&port=6432&user=any", d.Name, s.Dir)
		}
	}
}

func TestPgBouncerInTransactionMode(t *testing.T) {
	t.Parallel()
	pgtest.Slow(t)
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	before := pgtest.One[string](d, pgtest.LiveChecksum)
	pooled := map[string]string{"DATABASE_URL": pgbouncer(t, d, "transaction")}
	stdout, stderr, status := command(t, d, pooled, "run", "--batch-size", "100", "--workers", "4")
	expectWholeRun(t, d, status, stdout, stderr)
	if got := pgtest.One[string](d, `
		SELECT application_name FROM notification_cleanup_runs`); got != "notification-cleanup" {
		t.Errorf("application_name is %q", got)
	}
	for _, args := range [][]string{{"preview"}, {"stats"}, {"history"}, {"restore", "1"}, {"purge"}} {
		if stdout, stderr, status := command(t, d, pooled, args...); status != 0 {
			t.Errorf("%v: exit status %d, stdout %s, stderr %s", args, status, stdout, stderr)
		}
	}
	if pgtest.One[string](d, pgtest.LiveChecksum) != before {
		t.Error("not all is restored")
	}
	_, stderr, status = command(t, d, pooled, "stats", "--schema", "public")
	if status != 2 || !strings.Contains(stderr, "search_path") || !strings.Contains(stderr, "HINT") {
		t.Errorf("--schema: exit status %d, stderr %s", status, stderr)
	}
}

func TestASignalStopsTheStatementBehindPgBouncer(t *testing.T) {
	t.Parallel()
	pgtest.Slow(t)
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	d.BlockUser2()
	cmd, stdout, stderr := process(t, pgbouncer(t, d, "transaction"), "run", "--batch-size", "100")
	d.Eventually(pgtest.Blocked)
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 3 ||
		!strings.Contains(stdout.String(), `"notifications_deleted":1000`) {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	d.Eventually(pgtest.NotBlocked)
}
