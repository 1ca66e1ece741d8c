package main

import (
	"strings"
	"testing"
	"time"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// Of the six connections that the server allows, the test has some, and leaves one.
func TestAWorkerThatGetsNoConnectionLeavesAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	s := pgtest.PrepareServer(t)
	s.Settings = append(s.Settings,
		"-c", "max_connections=6",
		"-c", "superuser_reserved_connections=0",
		"-c", "max_wal_senders=0")
	s.Initialise()
	s.Start()
	d := s.New()
	d.Exec(pgtest.Inboxes)
	free := func() bool {
		return pgtest.One[bool](d, `
			SELECT count(*) < 5 FROM pg_stat_activity WHERE backend_type = 'client backend'`)
	}
	for free() {
		d.OpenSession()
	}
	stdout, stderr, status := command(t, d, nil, "run", "--workers", "3", "--batch-size", "100")
	expectWholeRun(t, d, status, stdout, stderr)
	if n := strings.Count(stderr, "a worker leaves"); n == 0 || n > 2 {
		t.Errorf("%d workers leave: %s", n, stderr)
	}
}

func TestConnectingIsRetriedLikeABatch(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	d := s.New()
	d.Exec(pgtest.Inboxes)
	s.Stop()
	cmd, stdout, stderr := process(t, d.URL(), "run")
	for !strings.Contains(stderr.String(), "retrying") {
		time.Sleep(time.Millisecond)
	}
	s.Start()
	_ = cmd.Wait()
	d = d.OpenSession()
	expectWholeRun(t, d, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String())
}

func TestAConnectionErrorIsToldOnce(t *testing.T) {
	t.Parallel()
	// A name with two addresses, with and without TLS: four attempts.
	cmd, _, stderr := process(t, "postgres://u@localhost:1/d?sslmode=prefer", "stats")
	_ = cmd.Wait()
	addresses := strings.Count(stderr.String(), "dial tcp ")
	if addresses > 2 || strings.Count(stderr.String(), "connect to database") != 1 ||
		strings.Count(stderr.String(), "connection refused") != addresses {
		t.Errorf("it says %s", stderr)
	}
}

func TestAnUnknownParameterOfTheURLIsAMistakeThatIsNamed(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	for _, parameter := range []string{"schema", "pool"} {
		separator := "?"
		if strings.Contains(d.URL(), "?") {
			separator = "&"
		}
		env := map[string]string{"DATABASE_URL": d.URL() + separator + parameter + "=x"}
		for _, args := range []string{"stats", "run"} {
			_, stderr, status := command(t, d, env, args)
			if status != 2 || !strings.Contains(stderr, `"`+parameter+`"`) ||
				!strings.Contains(stderr, "HINT: DATABASE_URL takes") {
				t.Errorf("%s, %s: exit status %d, stderr %s", parameter, args, status, stderr)
			}
		}
	}
}

func TestTheFinalErrorIsJSONWhereTheLogIs(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"restore", "7", "--log-format", "json"},
		{"stats", "--log-format", "json", "--workers", "2"},
	} {
		d := pgtest.New(t)
		_, stderr, status := command(t, d, nil, args...)
		lines := strings.Split(stderr, "\n")
		last := pgtest.Decode[struct {
			Level  string `json:"level"`
			Msg    string `json:"msg"`
			Status int    `json:"exit_status"`
		}](t, lines[len(lines)-1])
		if status != 2 || last.Status != 2 || last.Level != "ERROR" || last.Msg == "" {
			t.Errorf("exit status %d, stderr %s", status, stderr)
		}
	}
}

func TestPgBouncerInStatementModeIsAMistakeThatIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	pgtest.Slow(t)
	d := pgtest.New(t)
	env := map[string]string{"DATABASE_URL": pgbouncer(t, d, "statement")}
	_, stderr, status := command(t, d, env, "run")
	if status != 2 || strings.Contains(stderr, "retrying") ||
		!strings.Contains(stderr, "HINT: The cleanup works through PgBouncer in transaction") {
		t.Errorf("exit status %d, stderr %s", status, stderr)
	}
}

// A failover behind one name: who was the primary is read-only for a while.
func TestARunGoesOnWhenItsServerIsNoPrimaryForAWhile(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	cmd, stdout, stderr, release := blockedProgram(t, d)
	d.Exec(pgtest.SetForDatabase("default_transaction_read_only = on"))
	d.Exec(`
		SELECT pg_terminate_backend(pid, 5000)
		FROM pg_stat_activity
		WHERE application_name = 'notification-cleanup' AND datname = current_database()`)
	release()
	for !strings.Contains(stderr.String(), "25006") {
		time.Sleep(time.Millisecond)
	}
	d.Exec(pgtest.SetForDatabase("default_transaction_read_only = off"))
	_ = cmd.Wait()
	expectWholeRun(t, d, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String())
}
