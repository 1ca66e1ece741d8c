package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/notification-cleanup/notification-cleanup/cmd/with-postgres/cluster"
)

// ownServer is a server that one test may crash, restart, fill or replicate. It is of the same version as the server of all tests.
type ownServer struct {
	t          *testing.T
	dir        string              // holds the data and the socket
	credential *syscall.Credential // of the user who runs the server; nil: us
	settings   []string
	workers    []*ownServer // where it is the coordinator of a cluster
	within     []string     // command that runs the server, of which it takes the place
	leash      io.Closer
	ended      chan struct{} // closed when the server has ended
	admin      *pgx.Conn
}

// newServer starts a server with a new cluster, with two workers where the tests are for Citus.
func newServer(t *testing.T) *ownServer {
	t.Helper()
	s := prepareServer(t)
	s.initialise()
	for range server.workers {
		worker := prepareServer(t)
		worker.initialise()
		worker.settings = citusSettings
		s.settings, s.workers = citusSettings, append(s.workers, worker)
	}
	s.start()
	return s
}

func (s *ownServer) initialise() {
	s.t.Helper()
	s.exec("initdb", "-D", s.data(), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
}

// prepareServer makes the folder of a server.
func prepareServer(t *testing.T) *ownServer {
	t.Helper()
	if _, err := os.Stat(filepath.Join(server.bin, "initdb")); err != nil {
		t.Fatalf("this test starts a server of its own, with the programs of the server at TEST_DATABASE_URL, but: %v", err)
	}
	dir, err := os.MkdirTemp("", "own-server-")
	if err != nil {
		t.Fatal(err)
	}
	s := &ownServer{t: t, dir: dir}
	t.Cleanup(func() {
		if s.leash != nil {
			s.leash.Close()
			<-s.ended
		}
		if log, err := os.ReadFile(s.log()); t.Failed() && err == nil {
			t.Logf("the server's log ends\n%s", log[max(0, len(log)-4000):])
		}
		_ = os.RemoveAll(dir)
	})
	if os.Geteuid() == 0 { // PostgreSQL refuses root
		account, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(account.Uid)
		gid, _ := strconv.Atoi(account.Gid)
		s.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *ownServer) data() string { return filepath.Join(s.dir, "data") }
func (s *ownServer) log() string  { return filepath.Join(s.dir, "log") }

// url is the address of a database of this server.
func (s *ownServer) url(database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&user=postgres", database, s.dir)
}

// command is a command of the user who runs the server.
func (s *ownServer) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential}
	return cmd
}

// exec runs one of the server's programs to its end.
func (s *ownServer) exec(program string, args ...string) {
	s.t.Helper()
	if out, err := s.command(filepath.Join(server.bin, program), args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// leashed runs a server until its standard input ends: when this process ends, however, no server is left.
const leashed = `exec 3<&0; "$@" & server=$!; { cat <&3 >/dev/null; kill -QUIT $server; } & wait $server`

// start starts the server and its workers, unless they run, and waits until they take connections. What a kill has left may refuse it for
// a moment.
func (s *ownServer) start() {
	s.t.Helper()
	for _, worker := range s.workers {
		worker.start()
	}
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if s.leash == nil {
			cmd := s.command("/bin/sh", slices.Concat([]string{"-c", leashed, "sh"}, s.within, []string{filepath.Join(server.bin, "postgres"),
				"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "port=5432", "-c", "fsync=off"}, s.settings)...)
			if s.within != nil {
				cmd.SysProcAttr.Credential = nil // the command may need to be root
			}
			cmd.Stdout, cmd.Stderr = log, log
			if s.leash, err = cmd.StdinPipe(); err == nil {
				err = cmd.Start()
			}
			if err != nil {
				s.t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() { defer close(ended); _ = cmd.Wait() }()
			s.ended = ended
		}
		if s.admin, err = pgx.Connect(context.Background(), s.url("postgres")); err == nil {
			return
		}
		select {
		case <-s.ended:
			s.leash = nil
		default:
		}
	}
	s.t.Fatalf("the server did not start: %v", err)
}

// postmaster is the server's first process.
func (s *ownServer) postmaster() int {
	s.t.Helper()
	file, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		s.t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(file), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// stop ends the server as an administrator would: SIGINT breaks the connections.
func (s *ownServer) stop() {
	s.t.Helper()
	s.signal(syscall.SIGINT, s.postmaster())
	s.wait()
}

// kill ends all processes of the server at once. The first one is halted before, so that it starts no other meanwhile.
func (s *ownServer) kill() {
	s.t.Helper()
	postmaster := s.postmaster()
	s.signal(syscall.SIGSTOP, postmaster)
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", postmaster)) // of Linux
	if err != nil {
		s.t.Fatal(err)
	}
	for _, child := range strings.Fields(string(children)) {
		pid, _ := strconv.Atoi(child)
		s.signal(syscall.SIGKILL, pid)
	}
	s.signal(syscall.SIGKILL, postmaster)
	s.wait()
}

func (s *ownServer) signal(signal syscall.Signal, pids ...int) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, signal) // fails only when the process has just ended
	}
}

func (s *ownServer) wait() {
	<-s.ended
	_ = s.admin.Close(context.Background())
	s.leash = nil
}

// migrated makes a database with all migrations applied.
func (s *ownServer) migrated(options ...string) *database {
	s.t.Helper()
	if s.workers != nil {
		return s.adopted("app", distributed, options...)
	}
	return s.adopted("app", "SELECT", options...)
}

// adopted makes a database in which the migrations found what these statements had made; in a cluster, on each node.
func (s *ownServer) adopted(name, create string, options ...string) *database {
	s.t.Helper()
	d := &database{t: s.t, name: name, own: s, script: &script{}}
	var databases []string
	for _, s := range append([]*ownServer{s}, s.workers...) {
		databases = append(databases, s.url(name))
		if _, err := s.admin.Exec(context.Background(), "CREATE DATABASE "+name+" "+strings.Join(options, " ")); err != nil {
			s.t.Fatal(err)
		}
	}
	if s.workers != nil {
		if err := cluster.Introduce(context.Background(), databases...); err != nil {
			s.t.Fatal(err)
		}
	}
	d.openSession().exec(create)
	if _, stderr, status := command(s.t, d, nil, "migrate", "up"); status != 0 {
		s.t.Fatalf("migrate up: %s", stderr)
	}
	return d.openSession()
}
