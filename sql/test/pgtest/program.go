package pgtest

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

const module = "github.com/notification-cleanup/notification-cleanup"

// programFolder is where the program was compiled to, if it was.
var programFolder atomic.Value

var compileProgram = sync.OnceValues(func() (path string, err error) {
	folder, err := os.MkdirTemp("", "notification-cleanup-test-")
	if err != nil {
		return "", err
	}
	programFolder.Store(folder)
	path = filepath.Join(folder, "notification-cleanup")
	source := module + "/cmd/notification-cleanup"
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, source).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func removeProgram() {
	if folder, compiled := programFolder.Load().(string); compiled {
		_ = os.RemoveAll(folder)
	}
}

// ProgramPath is where the program is: compiled from the source as it is now.
func ProgramPath(t TB) string {
	t.Helper()
	path, err := compileProgram()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Program runs a command line against the database, with more variables in its environment.
func (d *Database) Program(
	env map[string]string,
	args ...string,
) (stdout, stderr string, status int) {
	d.T.Helper()
	cmd := d.program(env, args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); cmd.ProcessState == nil {
		d.T.Fatal(err)
	}
	return out.String(), log.String(), cmd.ProcessState.ExitCode()
}

// StartProgram starts it, and does not wait for its end.
func (d *Database) StartProgram(args ...string) (cmd *exec.Cmd, stdout, stderr *Output) {
	d.T.Helper()
	cmd, stdout, stderr = d.program(nil, args...), new(Output), new(Output)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		d.T.Fatal(err)
	}
	d.T.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, stdout, stderr
}

func (d *Database) program(env map[string]string, args ...string) *exec.Cmd {
	d.T.Helper()
	variables := map[string]string{"DATABASE_URL": d.URL(), "FORMAT": "json"}
	maps.Copy(variables, env)
	cmd := exec.Command(ProgramPath(d.T), args...)
	cmd.Env = os.Environ()
	for name, value := range variables {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// Output is what somebody has written so far.
type Output struct {
	lock    sync.Mutex
	written strings.Builder
}

func (o *Output) Write(p []byte) (int, error) {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.written.Write(p)
}

func (o *Output) String() string {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.written.String()
}

// Len is how much that is.
func (o *Output) Len() int { return len(o.String()) }

// Ways are the ways to run the cleanup, in batches of one page where there are batches.
var Ways = map[string]func(d *Database){
	"function": func(d *Database) {
		d.Exec(`SELECT cleanup_notifications()`)
	},
	"procedure": func(d *Database) {
		d.Exec(`CALL cleanup_notifications_in_batches(batch_size => 100)`)
	},
	"program": func(d *Database) {
		_, stderr, status := d.Program(nil, "--workers", "2", "--batch-size", "100")
		if status != 0 {
			d.T.Fatalf("exit status %d: %s", status, stderr)
		}
	},
}
