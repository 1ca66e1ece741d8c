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
)

// standby makes a hot standby of the server.
func (s *ownServer) standby() *ownServer {
	s.t.Helper()
	standby := prepareServer(s.t)
	if _, err := os.Stat(filepath.Join(server.bin, "pg_basebackup")); err == nil {
		standby.exec("pg_basebackup", "-D", standby.data(), "-d", s.url(""), "--checkpoint=fast", "--no-sync", "--write-recovery-conf")
	} else { // in a package of the server alone
		s.stop()
		if out, err := exec.Command("cp", "-a", s.data(), standby.data()).CombinedOutput(); err != nil {
			s.t.Fatalf("%v: %s", err, out)
		}
		if err := os.WriteFile(filepath.Join(standby.data(), "standby.signal"), nil, 0o600); err != nil {
			s.t.Fatal(err)
		}
		standby.settings = append(standby.settings, "-c", fmt.Sprintf("primary_conninfo=host=%s user=postgres", s.dir))
		s.start()
	}
	standby.start()
	return standby
}

func TestAStandbyShowsWhatWouldGoAndCleansUpOnceItIsPromoted(t *testing.T) {
	t.Parallel()
	primary := newServer(t)
	d := primary.migrated()
	standby := primary.standby()
	d = d.openSession()
	d.exec(inboxes) // so this has been streamed
	d.cleanup("2000")
	d.cleanup("2000") // everything needs a second run
	replayed := func(d *database) string {
		return fmt.Sprintf("SELECT pg_last_wal_replay_lsn() >= '%s'", one[string](d, "SELECT pg_current_wal_lsn()::text"))
	}
	reached := replayed(d)
	looks := [][]string{{"preview"}, {"run", "-dry-run"}, {"stats"}, {"history"}}
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
	d = (&database{t: t, name: d.name, own: standby, script: d.script}).openSession()
	eventually(t, d, reached)
	if got := look(); got != want {
		t.Errorf("the standby says\n%s, the primary\n%s", got, want)
	}
	for _, call := range everything[2:] {
		d.refused(call, "25006")
	}
	for _, args := range [][]string{{"run"}, {"restore", "1"}, {"purge"}, {"migrate", "down"}} {
		stdout, stderr, status := command(t, d, nil, args...)
		if last := stderr[strings.LastIndex(stderr, "\n")+1:]; status != 1 || !strings.Contains(last, "read-only transaction") {
			t.Errorf("%v: exit status %d, stdout %s, stderr %s", args, status, stdout, stderr)
		}
	}

	// Once it is promoted, it goes on with the run that the primary had begun.
	writing.batch(writing.plan("batch_size => 1"))
	eventually(t, d, replayed(writing))
	d.exec("SELECT pg_promote()")
	stdout, stderr, status := command(t, d, nil)
	line, _, _ := strings.Cut(stdout, "\n")
	expectWholeRun(t, d, status, line, stderr)
	if !strings.HasPrefix(line, `{"id":3,`) || strings.Count(stdout, "\n") != 2 {
		t.Errorf("stdout %s, want run 3 and one of its own", stdout)
	}
	d.wantEnded("the promotion")
}

// pgbouncer starts PgBouncer in transaction mode before the database, and returns its URL.
func pgbouncer(t *testing.T, d *database) string {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path = "/usr/sbin/pgbouncer"
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("no PgBouncer on this machine: apt-get install pgbouncer")
	}
	s := prepareServer(t) // for its folder
	config, err := pgx.ParseConfig(d.url())
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
pool_mode = transaction
default_pool_size = 2
`, d.name, config.Host, config.Port, config.User, password, s.dir)
	file := filepath.Join(s.dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(ini), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := s.command(path, file)
	stderr := new(output)
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
	for socket := filepath.Join(s.dir, ".s.PGSQL.6432"); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return fmt.Sprintf("postgres:///%s?host=%s&port=6432&user=any", d.name, s.dir)
		}
	}
}

func TestPgBouncerInTransactionMode(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	before := one[string](d, live)
	pooled := map[string]string{"DATABASE_URL": pgbouncer(t, d)}
	stdout, stderr, status := command(t, d, pooled, "run", "-batch-size", "1", "-workers", "4")
	expectWholeRun(t, d, status, stdout, stderr)
	if got := one[string](d, "SELECT application_name FROM notification_cleanup_runs"); got != "notification-cleanup" {
		t.Errorf("application_name is %q", got)
	}
	for _, args := range [][]string{{"preview"}, {"stats"}, {"history"}, {"restore", "1"}, {"purge"}} {
		if stdout, stderr, status := command(t, d, pooled, args...); status != 0 {
			t.Errorf("%v: exit status %d, stdout %s, stderr %s", args, status, stdout, stderr)
		}
	}
	if one[string](d, live) != before {
		t.Error("not all is restored")
	}
	_, stderr, status = command(t, d, pooled, "stats", "-schema", "public")
	if status != 1 || !strings.Contains(stderr, "search_path") || !strings.Contains(stderr, "HINT") {
		t.Errorf("-schema: exit status %d, stderr %s", status, stderr)
	}
}

func TestASignalStopsTheStatementBehindPgBouncer(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	blockUser2(d)
	cmd, stdout, stderr := process(t, pgbouncer(t, d), "run", "-batch-size", "1")
	eventually(t, d, blocked)
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 3 || !strings.Contains(stdout.String(), `"notifications_deleted":1000`) {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	eventually(t, d, "SELECT NOT ("+strings.TrimPrefix(blocked, "SELECT ")+")")
}

// withSmallDisk runs a server in a mount namespace of its own, with a file system of 48 MB in a folder.
func (s *ownServer) withSmallDisk(folder string) {
	s.t.Helper()
	const mount = `mount -t tmpfs -o size=48m,mode=700,uid=$1 tmpfs "$2" && shift 2 && exec "$@"`
	if s.credential != nil {
		s.within = []string{"unshare", "--mount", "sh", "-c", mount, "sh", fmt.Sprint(s.credential.Uid), folder,
			"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"}
	} else { // whoever is not root may mount as the root of a user namespace
		s.within = []string{"unshare", "--mount", "--map-root-user", "sh", "-c", mount, "sh", "0", folder, "unshare", fmt.Sprint("--map-user=", os.Getuid())}
	}
}

// TestLongAFullDiskLosesNothing is for make test-long: it needs the right to mount.
func TestLongAFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	s := prepareServer(t)
	folder := filepath.Join(s.dir, "small")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	s.initialise()
	s.withSmallDisk(folder)
	s.start()
	if _, err := s.admin.Exec(t.Context(), "CREATE TABLESPACE small LOCATION '"+folder+"'"); err != nil {
		t.Fatal(err)
	}
	d := s.migrated("TABLESPACE small")
	for way := range ways {
		d.exec(crowd)
		if way != "function" { // so that the disk is full under a batch
			d.plan("40, 10, batch_size => 1")
		}
		d.exec("CREATE TABLE filler (filling text) WITH (autovacuum_enabled = off); ALTER TABLE filler ALTER filling SET STORAGE PLAIN")
		for _, rows := range []int{1000, 100, 10, 1} {
			var err error
			for err == nil {
				_, err = d.conn.Exec(t.Context(), fmt.Sprintf("INSERT INTO filler SELECT repeat('x', 8000) FROM generate_series(1, %d)", rows))
			}
		}
		call := startCrowd(t, d, way)
		if <-call.ended; call.err == nil || !strings.Contains(call.err.Error(), "No space left on device") {
			t.Errorf("the %s did not find the disk full: %v", way, call.err)
		}
		d.wantNothingHalfDone("a full disk under the "+way, way)
		d.exec("DROP TABLE filler")
		if err := runCrowd(t, d, way); err != nil {
			t.Error(err)
		}
		d.wantCrowdServed("a full disk under the " + way)
	}
}
