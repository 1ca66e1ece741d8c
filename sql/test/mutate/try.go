package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	"github.com/pressly/goose/v3"
	"golang.org/x/sync/errgroup"
)

//go:embed smoke.sql
var smokeStatements string

// errNotKilled is the end of a run in which a mutant survived, or could not be tried.
var errNotKilled = errors.New("not every mutant was killed")

// tryAll tries the tree as it is, and then each mutant, and prints what became of each.
func (t *tree) tryAll(ctx context.Context, mutants []mutant, jobs int) error {
	original, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(original)
	if err := t.copyTo(original, nil); err != nil { // whoever waits for this may go on working
		return err
	}
	t = &tree{root: original, files: t.files, tests: t.tests}
	start := time.Now()
	killer, err := t.try(ctx, nil)
	printResult("without a mutant", verdictOf(killer, err, "RED", "green"), start, killer, err)
	if killer != "" || err != nil {
		return errors.New("the tests are red without a mutant, too: make test")
	}
	var mutex sync.Mutex // of the results
	counts := map[string]int{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(jobs)
	for _, m := range mutants {
		group.Go(func() error {
			start := time.Now()
			killer, err := t.try(ctx, &m)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			verdict := verdictOf(killer, err, "killed", "SURVIVED")
			mutex.Lock()
			defer mutex.Unlock()
			counts[verdict]++
			printResult(m.String(), verdict, start, killer, err)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	fmt.Printf("%d killed, %d survived, %d errors\n",
		counts["killed"], counts["SURVIVED"], counts["ERROR"])
	if counts["killed"] < len(mutants) {
		return errNotKilled
	}
	return nil
}

func verdictOf(killer string, err error, red, green string) string {
	switch {
	case err != nil:
		return "ERROR"
	case killer != "":
		return red
	default:
		return green
	}
}

func printResult(name, verdict string, start time.Time, killer string, err error) {
	if err != nil {
		killer = err.Error()
	}
	fmt.Printf("%-72s %-8s %4.0fs %s\n", name, verdict, time.Since(start).Seconds(), killer)
}

// try tests a copy of the tree with the changes of a mutant, or as it is, on a server of its own,
// and returns the first test that went red, with what it said. The error says why a mutant cannot
// be tried.
func (t *tree) try(ctx context.Context, m *mutant) (killer string, err error) {
	folder, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	trial := trial{
		source:    filepath.Join(folder, "source"),
		temporary: filepath.Join(folder, "tmp"),
	}
	err = errors.Join(
		os.Chmod(folder, 0o755), // the server's user reads some files of the tests
		os.Mkdir(trial.temporary, 0o755),
		t.copyTo(trial.source, m),
	)
	if err != nil {
		return "", err
	}
	if err := trial.build(ctx); err != nil {
		return "", err
	}
	stop, err := trial.startServer()
	if err != nil {
		return "", err
	}
	defer stop()
	if err := trial.smoke(ctx); err != nil {
		return "", err
	}
	for _, step := range t.steps(m) {
		if killer, err := trial.test(ctx, step); killer != "" || err != nil {
			return killer, err
		}
	}
	return "", nil
}

// trial is a copy of the tree and a server, for one mutant.
type trial struct {
	source    string
	temporary string // what the tests leave behind when they are killed
	url       string // of the server
}

// build freezes the routines and compiles the program. Without that a test that compiles it would
// seem to kill a mutant that Go does not understand.
func (t *trial) build(ctx context.Context) error {
	snapshot := exec.CommandContext(ctx, "make", "--no-print-directory", "snapshot")
	snapshot.Dir = t.source
	if output, err := snapshot.CombinedOutput(); err != nil {
		return fmt.Errorf("make snapshot: %w: %s", err, lastLine(string(output)))
	}
	program := exec.CommandContext(ctx, "go", "build", "./cmd/...")
	program.Dir = t.source
	if output, err := program.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, lastLine(string(output)))
	}
	return nil
}

// startServer starts a server that ends when stop is called, or when this process ends, since it
// waits for the end of a pipe.
func (t *trial) startServer() (stop func(), err error) {
	const untilEnd = `echo "$TEST_DATABASE_URL"; cat >/dev/null`
	server := exec.Command("with-postgres", "-env", "TEST_DATABASE_URL", "sh", "-c", untilEnd)
	server.Env = append(os.Environ(), "TEST_DATABASE_URL=")  // not the one that may be there already
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C is for us
	var problems bytes.Buffer
	server.Stderr = &problems
	input, inputErr := server.StdinPipe()
	output, outputErr := server.StdoutPipe()
	if err := errors.Join(inputErr, outputErr); err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = input.Close()
		_ = server.Wait()
	}
	address, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		stop()
		return nil, fmt.Errorf("start a server: %s", lastLine(problems.String()))
	}
	t.url = strings.TrimSpace(address)
	return stop, nil
}

// smoke applies the migrations and executes every routine once, in a database of its own, and fails
// where PostgreSQL does not understand one.
func (t *trial) smoke(ctx context.Context) error {
	own, err := t.createDatabase(ctx, "smoke")
	if err != nil {
		return err
	}
	db, err := sql.Open("pgx", own)
	if err != nil {
		return err
	}
	defer db.Close()
	migrations := os.DirFS(filepath.Join(t.source, "migrations"))
	migrator, err := goose.NewProvider(goose.DialectPostgres, db, migrations,
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("load migrations: %w", err)
	}
	var pgErr *pgconn.PgError
	if _, err = migrator.Up(ctx); errors.As(err, &pgErr) {
		return fmt.Errorf("migrate: %w", pgErr) // without the text of the migration
	} else if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for statement := range strings.SplitSeq(smokeStatements, ";\n") {
		_, err := conn.ExecContext(ctx, statement)
		// Any other class of errors is for the tests to find.
		if errors.As(err, &pgErr) && strings.HasPrefix(pgErr.Code, "42") {
			return fmt.Errorf("%s: %w", lastLine(statement), pgErr)
		}
	}
	return ctx.Err()
}

// createDatabase creates a database on the server, and returns its URL.
func (t *trial) createDatabase(ctx context.Context, name string) (string, error) {
	own, err := url.Parse(t.url)
	if err != nil {
		return "", err
	}
	own.Path = "/" + name
	db, err := sql.Open("pgx", t.url)
	if err != nil {
		return "", err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "CREATE DATABASE "+name)
	return own.String(), err
}

// test runs the tests of a step up to the first red one, and returns its name and what it said.
func (t *trial) test(ctx context.Context, s step) (killer string, err error) {
	arguments := []string{
		"test", "-json", "-count=1", "-p=1", "-vet=off", "-short", "-timeout=15m",
	}
	if s.tests != nil {
		arguments = append(arguments, "-run", "^("+strings.Join(s.tests, "|")+")$")
	}
	for _, folder := range s.folders {
		arguments = append(arguments, "./"+folder)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	tests := exec.CommandContext(ctx, "go", arguments...)
	tests.Dir = t.source
	tests.Env = append(os.Environ(),
		"TEST_DATABASE_URL="+t.url, "TMPDIR="+t.temporary,
		"RAPID_SHRINKTIME=1ms", // nobody reads the case
	)
	tests.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	tests.Cancel = func() error { return syscall.Kill(-tests.Process.Pid, syscall.SIGKILL) }
	tests.WaitDelay = 10 * time.Second // for what the tests have started
	var problems bytes.Buffer
	tests.Stderr = &problems
	output, err := tests.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := tests.Start(); err != nil {
		return "", err
	}
	killer, err = firstRed(output)
	stopped := killer != "" || err != nil
	if stopped {
		stop() // -failfast would not do, because all parallel tests have begun
	}
	waitErr := tests.Wait()
	if !stopped && waitErr != nil {
		return "", fmt.Errorf("go test: %w: %s", waitErr, lastLine(problems.String()))
	}
	return killer, err
}

// event is a line of go test -json.
type event struct {
	Action      string
	Test        string
	Output      string
	FailedBuild string
}

// complaint is the first line of what a test says when it fails.
var complaint = regexp.MustCompile(`^\s+\w+\.go:\d+: \S`)

// firstRed reads what go test -json prints until a test has failed, and returns its name and what
// it said. The error says why the tests could not run.
func firstRed(output io.Reader) (killer string, err error) {
	var said, compilerSaid, hanging string
	complaints := map[string]string{} // the first of each test
	for decoder := json.NewDecoder(output); ; {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return "", nil
		} else if err != nil {
			return "", fmt.Errorf("go test -json: %w", err)
		}
		switch {
		case e.Action == "build-output" && !strings.HasPrefix(e.Output, "#"):
			compilerSaid += e.Output
		case e.Action == "output" && strings.HasPrefix(e.Output, "panic: test timed out"):
			hanging = " (test timed out)"
		case e.Action == "output" && e.Test == "" && e.Output != "FAIL\n":
			said += e.Output
		case e.Action == "output" && complaint.MatchString(e.Output):
			if complaints[e.Test] == "" {
				complaints[e.Test] = " " + firstLine(e.Output)
			}
		case e.Action != "fail":
		case e.FailedBuild != "":
			return "", fmt.Errorf("go build: %s", firstLine(compilerSaid))
		case e.Test != "":
			test, _, _ := strings.Cut(e.Test, "/")
			return test + hanging + complaints[e.Test], nil
		case hanging != "":
			return hanging, nil
		default:
			return "", fmt.Errorf("the tests did not run: %s", firstLine(said))
		}
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}
