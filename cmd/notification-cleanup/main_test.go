package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
	"github.com/sethvargo/go-envconfig"
	"golang.org/x/sys/unix"
)

// TestMain runs the tests, or, where a test has started this binary again, the program.
func TestMain(m *testing.M) {
	if os.Getenv("NOTIFICATION_CLEANUP_TEST_MAIN") == "1" {
		main()
		return
	}
	pgtest.Main(m)
}

// command runs a command line in this process against the database.
func command(
	t pgtest.TB,
	d *pgtest.Database,
	env map[string]string,
	args ...string,
) (stdout, stderr string, status int) {
	t.Helper()
	variables := map[string]string{"DATABASE_URL": d.URL(), "FORMAT": "json"}
	for name, value := range env {
		variables[name] = value
	}
	var out, log bytes.Buffer
	status = execute(t.Context(), args, envconfig.MapLookuper(variables), &out, &log)
	return out.String(), strings.TrimSuffix(log.String(), "\n"), status
}

// process starts the program as a process of its own.
func process(
	t *testing.T,
	dsn string,
	args ...string,
) (cmd *exec.Cmd, stdout, stderr *pgtest.Output) {
	t.Helper()
	stdout, stderr = new(pgtest.Output), new(pgtest.Output)
	cmd = exec.Command(os.Args[0], args...)
	cmd.Env = append(
		os.Environ(),
		"NOTIFICATION_CLEANUP_TEST_MAIN=1",
		"DATABASE_URL="+dsn,
		"FORMAT=json",
	)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, stdout, stderr
}

// asText runs a command line in this process with text as its format.
func asText(t *testing.T, d *pgtest.Database, args ...string) string {
	t.Helper()
	stdout, stderr, status := command(t, d, map[string]string{"FORMAT": "text"}, args...)
	if status != 0 {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	return stdout
}

// onTerminal runs the program on a terminal of so many columns, and returns what it shows there.
func onTerminal(t *testing.T, columns uint16, env []string, args ...string) string {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(
		int(keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: columns},
	); err != nil {
		t.Fatal(err)
	}
	screen, err := os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = slices.Concat(
		os.Environ(),
		[]string{"NOTIFICATION_CLEANUP_TEST_MAIN=1", "NO_COLOR=", "TERM=xterm"},
		env,
	)
	cmd.Stdout, cmd.Stderr = screen, screen
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	screen.Close()
	shown, _ := io.ReadAll(keyboard) // ends with an error when nobody has the screen open
	_ = cmd.Wait()
	return strings.ReplaceAll(string(shown), "\r\n", "\n")
}

// blockedProgram starts the program on the inboxes, and waits until it stands in a batch of user 2,
// which release lets go on.
func blockedProgram(
	t *testing.T,
	d *pgtest.Database,
) (cmd *exec.Cmd, stdout, stderr *pgtest.Output, release func()) {
	t.Helper()
	d.Exec(pgtest.Inboxes)
	release = d.BlockUser2()
	cmd, stdout, stderr = process(t, d.URL(), "run", "--batch-size", "100")
	d.Eventually(pgtest.Blocked)
	return cmd, stdout, stderr, release
}

func migrateTo(t *testing.T, d *pgtest.Database, direction string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, status := command(t, d, nil, "migrate", direction)
	if status != 0 {
		t.Fatalf("migrate %s: exit status %d: %s", direction, status, stderr)
	}
	return stdout, stderr
}

func expectWholeRun(t *testing.T, d *pgtest.Database, status int, stdout, stderr string) {
	t.Helper()
	type counts struct {
		Over    int `json:"users_over_limit"`
		Cleaned int `json:"users_cleaned"`
		Still   int `json:"users_still_over_limit"`
		Deleted int `json:"notifications_deleted"`
	}
	if got, want := pgtest.Decode[counts](t, stdout), (counts{3, 2, 1, 1950}); status != 0 ||
		got != want {
		t.Errorf("exit status %d, record %+v, want %+v, stderr %s", status, got, want, stderr)
	}
	if n := pgtest.One[int](d, `SELECT count(deleted_at) FROM notifications`); n != 1950 {
		t.Errorf("%d rows deleted, want 1950", n)
	}
}
