// With-postgres runs a command against a PostgreSQL server: the one named by the environment, or else a throw-away server that lives as
// long as the command.
//
//	with-postgres [-env NAME] [-durable] [-citus] COMMAND [ARG ...]
//
// NAME (DATABASE_URL by default) is the environment variable with the connection URL. If it is set, COMMAND just replaces this program;
// otherwise it is set for COMMAND. The exit status is COMMAND's. A durable server keeps its data on disk, as one in production does; any
// other is as fast as it can be. With -citus it is a cluster: the URL is that of its coordinator, whose database knows two workers.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/notification-cleanup/notification-cleanup/cmd/with-postgres/cluster"
)

// supervise runs a server until the leash, a pipe on descriptor 3, ends: closed by us, or by the kernel when we were killed. SIGTERM goes
// first because a shell starts background commands with SIGQUIT (stop at once) ignored: it is lost on a server that has just begun.
const supervise = `
bin=$1 dir=$2; shift 2
"$bin/initdb" -D "$dir/data" -U postgres --auth=trust --encoding=UTF8 --no-locale --no-sync && {
	printf '%s\n' "$@" >>"$dir/data/postgresql.conf"
	"$bin/postgres" -D "$dir/data" -k "$dir" & server=$!
	{ cat <&3 >/dev/null; kill -TERM $server; kill -QUIT $server; } & leash=$!
	wait $server
	kill $leash
}
rm -rf "$dir"`

// settings trade safety for speed, as no data outlives the command. Dynamic shared memory lies with the data because the /dev/shm of a
// container is often too small for a parallel query.
var settings = []string{
	"listen_addresses=''", "port=5432", "max_connections=200", "timezone=UTC", "log_timezone=UTC",
	"fsync=off", "synchronous_commit=off", "full_page_writes=off",
	"shared_buffers=256MB", "max_wal_size=4GB", "dynamic_shared_memory_type=mmap",
}

// durableSettings undo what settings do for speed, for measurements.
var durableSettings = []string{
	"fsync=on", "synchronous_commit=on", "full_page_writes=on",
	"shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=15min",
}

// cronSettings load pg_cron where its package is installed. Background workers need no pg_hba entry.
var cronSettings = []string{
	"shared_preload_libraries=pg_cron", "cron.database_name=postgres", "cron.use_background_workers=on",
	"max_worker_processes=16",
}

// citusSettings load Citus, which has a worker process in each database, and opens connections between the nodes.
var citusSettings = []string{
	"shared_preload_libraries=citus", "max_worker_processes=100", "max_connections=500", "citus.enable_statistics_collection=off",
}

func main() {
	signals := make(chan os.Signal, 8)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(sig) { // so that nohup still works, here and for the command
			signal.Notify(signals, sig)
		}
	}
	status, err := run(os.Args[1:], signals)
	if err != nil {
		fmt.Fprintln(os.Stderr, "with-postgres:", err)
	}
	os.Exit(status)
}

// run does what the package comment says and returns the exit status.
func run(args []string, signals <-chan os.Signal) (int, error) {
	flags := flag.NewFlagSet("with-postgres", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error of ours is one line
	name := flags.String("env", "DATABASE_URL", "")
	durable := flags.Bool("durable", false, "")
	citus := flags.Bool("citus", false, "")
	if flags.Parse(args) != nil || flags.NArg() == 0 || *name == "" || strings.Contains(*name, "=") {
		return 2, errors.New("usage: with-postgres [-env NAME] [-durable] [-citus] COMMAND [ARG ...]")
	}
	path, err := exec.LookPath(flags.Arg(0))
	if err != nil {
		return 127, fmt.Errorf("find command: %w", err)
	}
	if os.Getenv(*name) != "" { // Exec returns only when it could not
		return 1, fmt.Errorf("run command: %w", syscall.Exec(path, flags.Args(), os.Environ()))
	}

	bin, err := findServer(*name)
	if err != nil {
		return 1, err
	}
	parents, options := []string{"/dev/shm", os.TempDir(), "/tmp"}, settings
	if *durable {
		parents, options = []string{"/var/tmp", os.TempDir(), "/tmp"}, slices.Concat(settings, durableSettings)
	}
	nodes := 1
	if _, err := os.Stat(filepath.Join(bin, "../lib/pg_cron.so")); err == nil {
		options = slices.Concat(options, cronSettings)
	}
	if *citus {
		if _, err := os.Stat(filepath.Join(bin, "../lib/citus.so")); err != nil {
			return 1, fmt.Errorf("no Citus beside the server in %s: set PG_BIN to the bin of a PostgreSQL that has it (it builds from source)", bin)
		}
		nodes, options = 3, slices.Concat(options, citusSettings)
	}
	command := exec.Command(path)
	command.Args = flags.Args()
	// The caller's PGPORT would move the server's socket, and PGSERVICE or PGOPTIONS would turn the command away from it.
	command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "PG_BIN=")
	})
	var databases []string
	for range nodes {
		dir, err := makeFolder(parents...)
		if err != nil {
			return 1, fmt.Errorf("make a folder for the server: %w", err)
		}
		defer os.RemoveAll(dir) // the supervisor has done so, unless it did not start
		own := options
		if *citus { // where a node connects to itself
			own = slices.Concat(options, []string{"citus.local_hostname='" + dir + "'"})
		}
		stop, status, err := startServer(bin, dir, own, command.Env, signals)
		defer stop()
		if err != nil || status != 0 {
			return status, err
		}
		databases = append(databases, connectionURL(dir))
	}
	if *citus {
		if err := cluster.Introduce(context.Background(), databases...); err != nil {
			return 1, fmt.Errorf("make a cluster: %w", err)
		}
	}
	command.Env = append(command.Env, *name+"="+databases[0])
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	return runCommand(command, signals)
}

// findServer returns the folder with the server's programs.
func findServer(env string) (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	version := func(dir string) float64 { // a number, as 9.6 is older than 15
		v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(dir)), 64)
		return v
	}
	slices.SortFunc(dirs, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if initdb, err = filepath.EvalSymlinks(initdb); err == nil {
			dirs = slices.Insert(dirs, 0, filepath.Dir(initdb))
		}
	}
	if bin := os.Getenv("PG_BIN"); bin != "" {
		dirs = []string{bin}
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil { // which says it itself if there is no postgres beside it
			return filepath.Abs(dir)
		}
	}
	return "", fmt.Errorf("no PostgreSQL server found: install one (apt-get install postgresql), or set PG_BIN to the folder of its "+
		"initdb and postgres, or set %s to the URL of a running one (docker run postgres)", env)
}

// makeFolder makes an empty folder in the first of the parents that has room and where the path of a socket is short enough (104 bytes
// with the closing zero on macOS, 108 on Linux).
func makeFolder(parents ...string) (dir string, err error) {
	for _, parent := range parents {
		var disk syscall.Statfs_t
		if parent == "/dev/shm" && (syscall.Statfs(parent, &disk) != nil || uint64(disk.Bavail)*uint64(disk.Bsize) < 4<<30) {
			continue // memory is fast, but a container's is often 64 MB
		}
		if parent, err = filepath.Abs(parent); err == nil && len(parent+"/with-postgres-0123456789/.s.PGSQL.5432") < 104 {
			if dir, err = os.MkdirTemp(parent, "with-postgres-"); err == nil {
				return dir, nil
			}
		}
	}
	return "", err
}

// startServer starts a server in dir and waits until it is ready; the status is 0 then. stop, to be called in any case, returns when
// nothing of the server is left.
func startServer(bin, dir string, options, env []string, signals <-chan os.Signal) (stop func(), status int, err error) {
	supervisor := exec.Command("/bin/sh", append([]string{"-c", supervise, "with-postgres", bin, dir}, options...)...)
	supervisor.Dir = "/"                                        // the user postgres may have no access to ours
	supervisor.Env = slices.Concat(env, []string{"LC_ALL=C"})   // for lastError
	supervisor.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of reach of a terminal's Ctrl-C
	log, logErr := os.Create(filepath.Join(dir, "log"))
	end, leash, pipeErr := os.Pipe()
	supervisor.Stdout, supervisor.Stderr, supervisor.ExtraFiles = log, log, []*os.File{end}
	if err = errors.Join(logErr, pipeErr); err == nil && os.Geteuid() == 0 {
		supervisor.SysProcAttr.Credential, err = giveToPostgres(dir)
	}
	if err == nil {
		err = supervisor.Start()
	}
	if err != nil {
		return func() {}, 1, fmt.Errorf("start a server: %w", err)
	}
	exited := make(chan struct{})
	go func() { _ = supervisor.Wait(); close(exited) }()
	stop = func() { leash.Close(); <-exited }

	timeout := time.After(time.Minute)
	for {
		select {
		case sig := <-signals:
			return stop, 128 + int(sig.(syscall.Signal)), nil
		case <-exited:
			return stop, 1, fmt.Errorf("start a server: %s", lastError(log))
		case <-timeout:
			return stop, 1, fmt.Errorf("server not ready after a minute: %s", lastError(log))
		case <-time.After(10 * time.Millisecond):
			pidFile, _ := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
			if lines := strings.Split(string(pidFile), "\n"); len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready" {
				return stop, 0, nil
			}
		}
	}
}

// giveToPostgres gives dir to the user postgres and returns what it takes to run as that user.
func giveToPostgres(dir string) (*syscall.Credential, error) {
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL refuses root, and there is no user postgres to run it as: %w", err)
	}
	uid, _ := strconv.Atoi(account.Uid) // always a number on Unix
	gid, _ := strconv.Atoi(account.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
}

// lastError returns the log's last line that names an error, else its last line: a server that fails closes with "is shut down".
func lastError(log *os.File) string {
	text, _ := io.ReadAll(io.NewSectionReader(log, 0, 1<<20)) // works although the file's name is gone
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if found := regexp.MustCompile(`.*(FATAL|PANIC|error):.*`).FindAllString(string(text), -1); found != nil {
		lines = found
	}
	return lines[len(lines)-1]
}

// connectionURL returns the URL of the server with a socket in dir. A space is %20 because libpq does not read + as one.
func connectionURL(dir string) string {
	return "postgres:///postgres?host=" + strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(dir)) + "&user=postgres"
}

// runCommand runs the command, passes signals on to it and returns its exit status as a shell would.
func runCommand(command *exec.Cmd, signals <-chan os.Signal) (int, error) {
	if err := command.Start(); err != nil {
		return 1, fmt.Errorf("run command: %w", err)
	}
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }() // the exit status is read below
	for {
		select {
		case sig := <-signals:
			if sig != syscall.SIGINT || !inForeground() {
				_ = command.Process.Signal(sig) // fails only when the command has just ended
			}
		case <-ended:
			if status := command.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
				return 128 + int(status.Signal()), nil
			}
			return command.ProcessState.ExitCode(), nil
		}
	}
}

// inForeground tells if a terminal's Ctrl-C goes to our process group. The command then has had its SIGINT, and to many programs a second
// one means to quit without cleaning up.
func inForeground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}
