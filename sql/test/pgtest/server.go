package pgtest

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

// Server is a server that one test may crash, restart, fill or replicate. It is of the same
// version as the server of all tests.
type Server struct {
	Dir        string    // holds the data and the socket
	Admin      *pgx.Conn // in the database postgres
	Settings   []string  // more of the server's options
	Workers    []*Server // where it is the coordinator of a cluster
	t          *testing.T
	credential *syscall.Credential // of the user who runs the server; nil: us
	within     []string            // command that runs the server, of which it takes the place
	leash      io.Closer
	ended      chan struct{} // closed when the server has ended
}

// NewServer starts a server with a new cluster, with two workers where the tests are for Citus.
func NewServer(t *testing.T) *Server {
	t.Helper()
	s := PrepareServer(t)
	s.Initialise()
	for range server.workers {
		worker := PrepareServer(t)
		worker.Initialise()
		worker.Settings = citusSettings
		s.Settings, s.Workers = citusSettings, append(s.Workers, worker)
	}
	s.Start()
	return s
}

// PrepareServer makes the folder of a server.
func PrepareServer(t *testing.T) *Server {
	t.Helper()
	if _, err := os.Stat(filepath.Join(server.bin, "initdb")); err != nil {
		t.Fatalf("this test starts a server of its own,"+
			" with the programs of the server at TEST_DATABASE_URL, but: %v", err)
	}
	dir, err := os.MkdirTemp("", "own-server-")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, Dir: dir}
	t.Cleanup(s.remove)
	if os.Geteuid() == 0 { // PostgreSQL refuses root
		s.credential = credentialOf(t, "postgres")
		if err := os.Chown(dir, int(s.credential.Uid), int(s.credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func credentialOf(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	account, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// remove ends the server, and removes its folder.
func (s *Server) remove() {
	if s.leash != nil {
		s.leash.Close()
		<-s.ended
	}
	if log, err := os.ReadFile(s.log()); s.t.Failed() && err == nil {
		s.t.Logf("the server's log ends\n%s", log[max(0, len(log)-4000):])
	}
	_ = os.RemoveAll(s.Dir)
}

// Initialise makes the server's data, with more options of initdb.
func (s *Server) Initialise(options ...string) {
	s.t.Helper()
	s.Run("initdb", append([]string{"-D", s.data(), "-U", "postgres", "--auth=trust",
		"--encoding=UTF8", "--no-locale", "--no-sync"}, options...)...)
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }
func (s *Server) log() string  { return filepath.Join(s.Dir, "log") }

// url is the address of a database of this server.
func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&user=postgres", database, s.Dir)
}

// Command is a command of the user who runs the server.
func (s *Server) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential}
	return cmd
}

// Run runs one of PostgreSQL's programs to its end.
func (s *Server) Run(program string, args ...string) {
	s.t.Helper()
	out, err := s.Command(filepath.Join(server.bin, program), args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// Start starts the server and its workers, unless they run, and waits until they take connections.
// What a kill has left may refuse it for a moment.
func (s *Server) Start() {
	s.t.Helper()
	for _, worker := range s.Workers {
		worker.Start()
	}
	var err error
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if s.leash == nil {
			s.launch()
		}
		if s.Admin, err = pgx.Connect(context.Background(), s.url("postgres")); err == nil {
			return
		}
		select {
		case <-s.ended:
			s.leash = nil
		default:
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatalf("the server did not start: %v", err)
}

// leashed runs a server until its standard input ends: when this process ends, however, no server
// is left.
const leashed = `
	exec 3<&0
	"$@" &
	server=$!
	{ cat <&3 >/dev/null; kill -QUIT $server; } &
	wait $server`

// launch starts the server's process.
func (s *Server) launch() {
	s.t.Helper()
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	postgres := []string{filepath.Join(server.bin, "postgres"), "-D", s.data(), "-k", s.Dir,
		"-c", "listen_addresses=", "-c", "port=5432", "-c", "fsync=off"}
	cmd := s.Command("/bin/sh",
		slices.Concat([]string{"-c", leashed, "sh"}, s.within, postgres, s.Settings)...)
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
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	s.ended = ended
}

// postmaster is the server's first process.
func (s *Server) postmaster() int {
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

// Stop ends the server as an administrator would: SIGINT breaks the connections.
func (s *Server) Stop() {
	s.t.Helper()
	signal(syscall.SIGINT, s.postmaster())
	s.wait()
}

// Kill ends all processes of the server at once. The first one is halted before, so that it starts
// no other meanwhile.
func (s *Server) Kill() {
	s.t.Helper()
	postmaster := s.postmaster()
	signal(syscall.SIGSTOP, postmaster)
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", postmaster)) // of Linux
	if err != nil {
		s.t.Fatal(err)
	}
	for _, child := range strings.Fields(string(children)) {
		pid, _ := strconv.Atoi(child)
		signal(syscall.SIGKILL, pid)
	}
	signal(syscall.SIGKILL, postmaster)
	s.wait()
}

// KillABackend ends one other session in the database, one at work if there is any. The server
// then starts anew by itself.
func (s *Server) KillABackend(d *Database) {
	s.t.Helper()
	const busy = `
		SELECT pid
		FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()
		ORDER BY state = 'active' DESC, random()
		LIMIT 1`
	for _, pid := range All[int](d, busy) {
		signal(syscall.SIGKILL, pid)
		// Until the server knows; it takes no connection then before it has recovered.
		for syscall.Kill(pid, 0) == nil {
			time.Sleep(time.Millisecond)
		}
	}
}

func signal(which syscall.Signal, pid int) {
	_ = syscall.Kill(pid, which) // fails only when the process has just ended
}

func (s *Server) wait() {
	<-s.ended
	_ = s.Admin.Close(context.Background())
	s.leash = nil
}

// Standby makes a hot standby of the server.
func (s *Server) Standby() *Server {
	s.t.Helper()
	standby := PrepareServer(s.t)
	if _, err := os.Stat(filepath.Join(server.bin, "pg_basebackup")); err == nil {
		standby.Run("pg_basebackup", "-D", standby.data(), "-d", s.url(""), "--checkpoint=fast",
			"--no-sync", "--write-recovery-conf")
	} else { // in a package of the server alone
		s.copyTo(standby)
	}
	standby.Start()
	return standby
}

// copyTo copies the data to a server that becomes a standby.
func (s *Server) copyTo(standby *Server) {
	s.t.Helper()
	s.Stop()
	if out, err := exec.Command("cp", "-a", s.data(), standby.data()).CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(standby.data(), "standby.signal"), nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
	standby.Settings = append(standby.Settings,
		"-c", fmt.Sprintf("primary_conninfo=host=%s user=postgres", s.Dir))
	s.Start()
}

// WithSmallDisk runs the server in a mount namespace of its own, with a file system of 48 MB in a
// folder.
func (s *Server) WithSmallDisk(folder string) {
	s.t.Helper()
	const mount = `mount -t tmpfs -o size=48m,mode=700,uid=$1 tmpfs "$2" && shift 2 && exec "$@"`
	if s.credential != nil {
		s.within = []string{"unshare", "--mount",
			"sh", "-c", mount, "sh", fmt.Sprint(s.credential.Uid), folder,
			"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"}
	} else { // whoever is not root may mount as the root of a user namespace
		s.within = []string{"unshare", "--mount", "--map-root-user",
			"sh", "-c", mount, "sh", "0", folder,
			"unshare", fmt.Sprint("--map-user=", os.Getuid())}
	}
}

// New makes a database with all migrations applied, with more options of CREATE DATABASE.
func (s *Server) New(options ...string) *Database {
	s.t.Helper()
	if s.Workers != nil {
		return s.Adopt("app", distributed, options...)
	}
	return s.Adopt("app", "SELECT", options...)
}

// Adopt makes a database in which the migrations found what these statements had made; in a
// cluster, on each node.
func (s *Server) Adopt(name, statements string, options ...string) *Database {
	s.t.Helper()
	d := &Database{T: s.t, Name: name, own: s, script: &script{}}
	var databases []string
	for _, node := range append([]*Server{s}, s.Workers...) {
		databases = append(databases, node.url(name))
		create := "CREATE DATABASE " + name + " " + strings.Join(options, " ")
		if _, err := node.Admin.Exec(context.Background(), create); err != nil {
			s.t.Fatal(err)
		}
	}
	if s.Workers != nil {
		if err := cluster.Introduce(context.Background(), databases...); err != nil {
			s.t.Fatal(err)
		}
	}
	d.OpenSession().Exec(statements)
	d.Migrate()
	return d.OpenSession()
}
