package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/notification-cleanup/notification-cleanup/cmd/with-postgres/cluster"
)

// citusNodes are the coordinator and two workers.
const citusNodes = 3

// startServers starts the server, or the cluster, and returns the URL of its database. stop, to be
// called in any case, returns when nothing of it is left.
func startServers(
	o options,
	signals <-chan os.Signal,
) (databaseURL string, stop func(), err error) {
	var servers []*server
	stop = func() {
		for _, s := range slices.Backward(servers) {
			s.stop()
		}
	}
	bin, err := findServer(o.variable)
	if err != nil {
		return "", stop, err
	}
	nodes := 1
	if o.citus {
		nodes = citusNodes
		if !hasFile(bin, "../lib/citus.so") {
			return "", stop, fmt.Errorf("no Citus beside the server in %s: "+
				"set PG_BIN to the bin of a PostgreSQL that has it (it builds from source)", bin)
		}
	}
	var urls []string
	for range nodes {
		s := &server{bin: bin}
		servers = append(servers, s)
		if err := s.start(o, signals); err != nil {
			return "", stop, err
		}
		urls = append(urls, connectionURL(s.dir))
	}
	if o.citus {
		if err := cluster.Introduce(context.Background(), urls...); err != nil {
			return "", stop, fmt.Errorf("make a cluster: %w", err)
		}
	}
	return urls[0], stop, nil
}

// interruptedError is a signal that came before the server was ready.
type interruptedError struct{ signal os.Signal }

// Error implements error.
func (e interruptedError) Error() string { return e.signal.String() }

// server is a throw-away server in a folder of its own.
type server struct {
	bin    string        // the folder with its programs
	dir    string        // its own folder: log, data and socket
	log    *os.File      // of initdb and of the server
	leash  *os.File      // it ends when this is closed
	exited chan struct{} // closed when nothing of it runs
}

// start starts the server and returns when it is ready.
func (s *server) start(o options, signals <-chan os.Signal) (err error) {
	parents := []string{"/dev/shm", os.TempDir(), "/tmp"}
	if o.durable {
		parents = []string{"/var/tmp", os.TempDir(), "/tmp"}
	}
	if s.dir, err = makeFolder(parents...); err != nil {
		return fmt.Errorf("make a folder for the server: %w", err)
	}
	settings := settingsFor(o, s.bin)
	if o.citus { // where a node connects to itself
		settings = append(settings, "citus.local_hostname='"+s.dir+"'")
	}
	if err := s.supervise(settings); err != nil {
		return fmt.Errorf("start a server: %w", err)
	}
	return s.awaitReady(signals)
}

// stop returns when nothing of the server is left.
func (s *server) stop() {
	if s.exited != nil {
		s.leash.Close()
		<-s.exited
	}
	if s.dir != "" { // the supervisor has removed it, unless it did not start
		os.RemoveAll(s.dir)
	}
}

// supervisor is a shell script that runs a server until the leash, a pipe on descriptor 3, ends:
// closed by us, or by the kernel when we were killed. SIGTERM goes first because a shell starts
// background commands with SIGQUIT (stop at once) ignored: it is lost on a server that has just
// begun.
const supervisor = `
bin=$1 dir=$2; shift 2
"$bin/initdb" -D "$dir/data" -U postgres --auth=trust --encoding=UTF8 --no-locale --no-sync && {
	printf '%s\n' "$@" >>"$dir/data/postgresql.conf"
	"$bin/postgres" -D "$dir/data" -k "$dir" & server=$!
	{ cat <&3 >/dev/null; kill -TERM $server; kill -QUIT $server; } & leash=$!
	wait $server
	kill $leash
}
rm -rf "$dir"`

// supervise starts the supervisor, which starts the server.
func (s *server) supervise(settings []string) (err error) {
	shell := exec.Command("/bin/sh", "-c", supervisor, "with-postgres", s.bin, s.dir)
	shell.Args = append(shell.Args, settings...)
	// The user postgres may have no access to our folder.
	shell.Dir = "/"
	shell.Env = append(environment(), "LC_ALL=C")          // for lastError
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of reach of a terminal's Ctrl-C
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		return err
	}
	var end *os.File
	if end, s.leash, err = os.Pipe(); err != nil {
		return err
	}
	defer end.Close()
	shell.Stdout, shell.Stderr, shell.ExtraFiles = s.log, s.log, []*os.File{end}
	if os.Geteuid() == 0 {
		if shell.SysProcAttr.Credential, err = giveToPostgres(s.dir); err != nil {
			return err
		}
	}
	if err := shell.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func() { _ = shell.Wait(); close(s.exited) }()
	return nil
}

// awaitReady returns when the server answers.
func (s *server) awaitReady(signals <-chan os.Signal) error {
	timeout := time.After(time.Minute)
	for !s.isReady() {
		select {
		case sig := <-signals:
			return interruptedError{sig}
		case <-s.exited:
			return fmt.Errorf("start a server: %s", s.lastError())
		case <-timeout:
			return fmt.Errorf("server not ready after a minute: %s", s.lastError())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// isReady tells if the server says so, in the eighth line of its file.
func (s *server) isReady() bool {
	file, _ := os.ReadFile(filepath.Join(s.dir, "data", "postmaster.pid"))
	lines := strings.Split(string(file), "\n")
	return len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"
}

// lastError returns the log's last line that names an error, else its last line: a server that
// fails closes with "is shut down".
func (s *server) lastError() string {
	// This works although the file's name is gone.
	text, _ := io.ReadAll(io.NewSectionReader(s.log, 0, 1<<20))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	fatal := regexp.MustCompile(`.*(FATAL|PANIC|error):.*`).FindAllString(string(text), -1)
	if fatal != nil {
		lines = fatal
	}
	return lines[len(lines)-1]
}

// makeFolder makes an empty folder in the first of the parents that has room and where the path of
// a socket is short enough (104 bytes with the closing zero on macOS, 108 on Linux).
func makeFolder(parents ...string) (dir string, err error) {
	for _, parent := range parents {
		if parent == "/dev/shm" && !hasRoom(parent) {
			continue
		}
		if parent, err = filepath.Abs(parent); err != nil {
			continue
		}
		if len(parent+"/with-postgres-0123456789/.s.PGSQL.5432") >= 104 {
			continue
		}
		if dir, err = os.MkdirTemp(parent, "with-postgres-"); err == nil {
			return dir, nil
		}
	}
	return "", cmp.Or(err, errors.New("no folder's path is short enough for a socket"))
}

// hasRoom tells if there are 4 GB: memory is fast, but a container's is often 64 MB.
func hasRoom(dir string) bool {
	var disk syscall.Statfs_t
	return syscall.Statfs(dir, &disk) == nil && uint64(disk.Bavail)*uint64(disk.Bsize) >= 4<<30
}

// giveToPostgres gives dir to the user postgres and returns what it takes to run as that user.
func giveToPostgres(dir string) (*syscall.Credential, error) {
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf(
			"PostgreSQL refuses root, and there is no user postgres to run it as: %w", err)
	}
	uid, _ := strconv.Atoi(account.Uid) // always a number on Unix
	gid, _ := strconv.Atoi(account.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
}

// connectionURL returns the URL of the server with a socket in dir. A space is %20 because libpq
// does not read + as one.
func connectionURL(dir string) string {
	host := strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(dir))
	return "postgres:///postgres?host=" + host + "&user=postgres"
}
