package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestMain lets the test binary be three programs: the tests, with-postgres itself, and a command
// that asks the server something.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "select-1":
		os.Exit(selectOne())
	case os.Getenv("BE_WITH_POSTGRES") != "":
		main()
	default:
		os.Exit(m.Run())
	}
}

// selectOne is the command: its exit status is 10 if the server at DATABASE_URL answers SELECT 1.
func selectOne() int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer conn.Close(ctx)
	var one int
	if err := conn.QueryRow(ctx, "SELECT 1").Scan(&one); err != nil || one != 1 {
		fmt.Fprintln(os.Stderr, one, err)
		return 1
	}
	return 10
}

// withPostgres returns with-postgres as a command, with the variables added to an environment that
// names no server. It has a session of its own, as in a terminal's foreground SIGINT is not passed
// on.
func withPostgres(t *testing.T, vars []string, args ...string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(append(os.Environ(), "BE_WITH_POSTGRES=1", "DATABASE_URL="), vars...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// output runs the command and returns what it wrote and its exit status.
func output(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// fakeServer returns a folder whose initdb and postgres are the scripts, in a place that the user
// postgres can reach. It is made before t.Parallel: a process that forks while a script is being
// written keeps it from being executed (ETXTBSY).
func fakeServer(t *testing.T, initdb, postgres string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fake-server-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{"initdb": initdb, "postgres": postgres} {
		program := []byte("#!/bin/sh\n" + script + "\n")
		if err := os.WriteFile(filepath.Join(dir, name), program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// running is a with-postgres whose command has told where the server is.
type running struct {
	cmd   *exec.Cmd
	stdin io.Closer
	dir   string // of the server
	pid   int    // of the server
}

// start starts with-postgres with a shell script as the command. The script writes its
// DATABASE_URL first, and its standard input ends when the test closes it.
func start(t *testing.T, script string) running {
	t.Helper()
	cmd := withPostgres(t, nil, "sh", "-c", script)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal("no URL from the command:", err)
	}
	r := running{cmd: cmd, stdin: stdin}
	u, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	r.dir = u.Query().Get("host")
	pidFile, err := os.ReadFile(filepath.Join(r.dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, _, _ := strings.Cut(string(pidFile), "\n")
	if r.pid, err = strconv.Atoi(pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(r.pid, 0); err != nil {
		t.Fatalf("server process %d: %v", r.pid, err)
	}
	return r
}

// wait waits for with-postgres to end and returns its exit status.
func (r running) wait(t *testing.T) int {
	t.Helper()
	if err := r.cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return r.cmd.ProcessState.ExitCode()
}

// left tells what is left of the server, "" if nothing.
func (r running) left() string {
	if err := syscall.Kill(r.pid, 0); !errors.Is(err, syscall.ESRCH) {
		return fmt.Sprintf("server process %d: %v", r.pid, err)
	}
	if _, err := os.Lstat(r.dir); !errors.Is(err, os.ErrNotExist) {
		return fmt.Sprintf("folder %s: %v", r.dir, err)
	}
	return ""
}

func TestGivesTheCommandAServer(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Variables that would lead pgx elsewhere, or the server's socket.
	vars := []string{
		"PGHOST=/nowhere",
		"PGPORT=1",
		"PGDATABASE=none",
		"PGOPTIONS=-c nonsense=1",
		"PGSERVICE=none",
	}
	_, stderr, status := output(t, withPostgres(t, vars, self, "select-1"))
	if status != 10 || stderr != "" {
		t.Errorf("status %d, stderr %q; want 10 and nothing", status, stderr)
	}
}

func TestSetsTheNamedVariableAndKeepsOnlyPGBin(t *testing.T) {
	t.Parallel()
	bin, err := findServer("")
	if err != nil {
		t.Fatal(err)
	}
	vars := []string{"PG_BIN=" + bin, "PGHOST=/nowhere", "TEST_URL="}
	const script = `echo "$TEST_URL,$DATABASE_URL,$PGHOST,$PG_BIN"`
	cmd := withPostgres(t, vars, "-env", "TEST_URL", "sh", "-c", script)
	stdout, stderr, status := output(t, cmd)
	before, after, found := strings.Cut(stdout, "&user=postgres,,,")
	if !found || !strings.HasPrefix(before, "postgres:///postgres?host=/") || after != bin+"\n" {
		t.Errorf("stdout %q, stderr %q, status %d", stdout, stderr, status)
	}
}

func TestADurableServerIsOnDiskAndSyncs(t *testing.T) {
	t.Parallel()
	const script = `psql "$DATABASE_URL" -XAtc "SHOW fsync"; echo "$DATABASE_URL"`
	stdout, stderr, status := output(t, withPostgres(t, nil, "-durable", "sh", "-c", script))
	if status != 0 || !strings.HasPrefix(stdout, "on\n") || strings.Contains(stdout, "/dev/shm") {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}

func TestKeepsAVariableThatIsSet(t *testing.T) {
	t.Parallel()
	// Without a server's programs, so that starting one would fail.
	vars := []string{"PG_BIN=/nonexistent", "PGHOST=here", "TEST_URL=postgres://mine"}
	const script = `echo "$TEST_URL $PGHOST"; exit 7`
	cmd := withPostgres(t, vars, "-env", "TEST_URL", "sh", "-c", script)
	stdout, stderr, status := output(t, cmd)
	if stdout != "postgres://mine here\n" || stderr != "" || status != 7 {
		t.Errorf("stdout %q, stderr %q, status %d", stdout, stderr, status)
	}
}

func TestLeavesNothingAfterTheCommandEnds(t *testing.T) {
	t.Parallel()
	for _, want := range []int{0, 7} {
		t.Run(fmt.Sprint("status ", want), func(t *testing.T) {
			t.Parallel()
			r := start(t, fmt.Sprintf(`echo "$DATABASE_URL"; cat; exit %d`, want))
			r.stdin.Close()
			if status := r.wait(t); status != want {
				t.Errorf("status %d, want %d", status, want)
			}
			if left := r.left(); left != "" {
				t.Error("left:", left)
			}
		})
	}
}

func TestReportsASignalThatKilledTheCommand(t *testing.T) {
	t.Parallel()
	r := start(t, `echo "$DATABASE_URL"; cat; kill -KILL $$`)
	r.stdin.Close()
	if status := r.wait(t); status != 128+9 {
		t.Errorf("status %d, want 137", status)
	}
	if left := r.left(); left != "" {
		t.Error("left:", left)
	}
}

func TestPassesSignalsOnAndLeavesNothing(t *testing.T) {
	t.Parallel()
	// Or under nohup it would be ignored by what is started here, too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			r := start(t, `echo "$DATABASE_URL"; exec cat`)
			if err := r.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if status := r.wait(t); status != 128+int(sig) {
				t.Errorf("status %d, want %d", status, 128+int(sig))
			}
			if left := r.left(); left != "" {
				t.Error("left:", left)
			}
		})
	}
}

func TestWaitsForACommandThatHandlesTheSignal(t *testing.T) {
	t.Parallel()
	r := start(t, `trap 'exit 9' TERM; echo "$DATABASE_URL"; while :; do sleep 0.05; done`)
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := r.wait(t); status != 9 {
		t.Errorf("status %d, want 9", status)
	}
	if left := r.left(); left != "" {
		t.Error("left:", left)
	}
}

func TestLeavesNothingWhenItIsKilled(t *testing.T) {
	t.Parallel()
	// It lives until the test closes its standard input.
	r := start(t, `echo "$DATABASE_URL"; exec cat`)
	defer r.stdin.Close()
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = r.cmd.Process.Wait() // not cmd.Wait, which would close the command's standard input
	left := r.left()
	for deadline := time.Now().Add(20 * time.Second); left != "" && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
		left = r.left()
	}
	if left != "" {
		t.Error("left:", left)
	}
}

func TestNamesTheWaysOutWithoutAServer(t *testing.T) {
	t.Parallel()
	vars := []string{"PG_BIN=/nonexistent", "TEST_URL="}
	_, stderr, status := output(t, withPostgres(t, vars, "-env", "TEST_URL", "true"))
	if status != 1 || !strings.HasPrefix(stderr, "with-postgres: ") ||
		strings.Count(stderr, "\n") != 1 {
		t.Errorf("status %d, stderr %q; want 1 and one line", status, stderr)
	}
	for _, way := range []string{"apt-get install postgresql", "PG_BIN", "TEST_URL", "docker run"} {
		if !strings.Contains(stderr, way) {
			t.Errorf("%q does not name %q", stderr, way)
		}
	}
}

func TestTellsWhyTheServerDidNotStart(t *testing.T) {
	servers := map[string]string{
		"initdb": fakeServer(t,
			"echo 'initdb: error: no room'; echo 'initdb: removing'; exit 1",
			"exit 1"),
		"postgres": fakeServer(t,
			"exit 0",
			"echo 'FATAL:  no room'; echo 'LOG:  database system is shut down'; exit 1"),
		"any": fakeServer(t,
			"echo 'first'; echo 'there is no room'; exit 1",
			"exit 1"),
	}
	t.Parallel()
	for name, bin := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, stderr, status := output(t, withPostgres(t, []string{"PG_BIN=" + bin}, "true"))
			if status != 1 || strings.Count(stderr, "\n") != 1 ||
				!strings.HasPrefix(stderr, "with-postgres: ") ||
				!strings.HasSuffix(stderr, "no room\n") {
				t.Errorf("status %d, stderr %q; want 1 and one line with the reason", status, stderr)
			}
		})
	}
}

func TestStopsWhenInterruptedWhileTheServerStarts(t *testing.T) {
	const initdb = `
		here=${0%/*}
		echo "$2" >"$here/datadir.new"
		mv "$here/datadir.new" "$here/datadir"
		sleep 0.3`
	bin := fakeServer(t, initdb, "exec sleep 1000")
	t.Parallel()
	if err := os.Chmod(bin, 0o777); err != nil { // initdb reports from there, as the user postgres
		t.Fatal(err)
	}
	cmd := withPostgres(t, []string{"PG_BIN=" + bin}, "echo", "command ran")
	var stdout strings.Builder
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dataDir []byte
	deadline := time.Now().Add(20 * time.Second)
	for len(dataDir) == 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
		dataDir, _ = os.ReadFile(filepath.Join(bin, "datadir"))
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its error is the exit status
	if status := cmd.ProcessState.ExitCode(); status != 128+15 || stdout.Len() > 0 {
		t.Errorf("status %d, stdout %q; want 143 and nothing", status, stdout.String())
	}
	dir := filepath.Dir(strings.TrimSpace(string(dataDir)))
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder %s is left: %v", dir, err)
	}
}

func TestRefusesWrongUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{},
		{"-nonsense", "true"},
		{"-env"},
		{"-env", "", "true"},
		{"-env", "A=B", "true"},
	} {
		_, stderr, status := output(t, withPostgres(t, nil, args...))
		if status != 2 || strings.Count(stderr, "\n") != 1 ||
			!strings.HasPrefix(stderr, "with-postgres: usage: ") {
			t.Errorf("%q: status %d, stderr %q; want 2 and the usage", args, status, stderr)
		}
	}
}

func TestTellsThatACommandIsNotThere(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"no-such-command", "/no/such/command"} {
		_, stderr, status := output(t, withPostgres(t, nil, name))
		if status != 127 || !strings.HasPrefix(stderr, "with-postgres: ") ||
			!strings.Contains(stderr, name) {
			t.Errorf("%s: status %d, stderr %q; want 127 and the name", name, status, stderr)
		}
	}
}

func TestEscapesTheFolderInTheURL(t *testing.T) {
	t.Parallel()
	const dir = "/tmp/a b&user=c+d%20?#é"
	config, err := pgx.ParseConfig(connectionURL(dir))
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != dir || config.User != "postgres" || config.Database != "postgres" {
		t.Errorf("host %q, user %q, database %q", config.Host, config.User, config.Database)
	}
}

func TestMakesAFolderThatASocketFitsIn(t *testing.T) {
	t.Parallel()
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 25))
	if err := os.Mkdir(long, 0o755); err != nil {
		t.Fatal(err)
	}
	short, err := os.MkdirTemp("/tmp", "short")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	dir, err := makeFolder(long, "/nonexistent", short)
	if err != nil || filepath.Dir(dir) != short {
		t.Errorf("folder %q, error %v; want one in %s", dir, err, short)
	}
}
