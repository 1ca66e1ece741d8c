package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/sethvargo/go-envconfig"
)

// inboxes fills three users over the limit: 1 has 1100 read, 2 has 1050 read, 3 has 1200 unread notifications.
const inboxes = `
	INSERT INTO notifications (id, user_id, status, created_at)
	SELECT md5(u || ' ' || i)::uuid, md5(u::text)::uuid, status, timestamptz '2025-01-01 00:00:00Z' + i * interval '1 minute'
	FROM (VALUES (1, 1100, 'read'), (2, 1050, 'read'), (3, 1200, 'unread')) AS inbox (u, size, status), generate_series(1, size) AS i`

// command runs a command line in this process against the database.
func command(t testingT, d *database, env map[string]string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	variables := map[string]string{"DATABASE_URL": d.url(), "FORMAT": "json"}
	for name, value := range env {
		variables[name] = value
	}
	var out, log bytes.Buffer
	err := run(t.Context(), args, envconfig.MapLookuper(variables), &out, &log)
	if err != nil {
		log.WriteString(oneLine(err))
	}
	return out.String(), log.String(), exitStatus(err)
}

// output is what a process has written so far.
type output struct {
	sync.Mutex
	strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.Lock()
	defer o.Unlock()
	return o.Builder.Write(p)
}

func (o *output) String() string {
	o.Lock()
	defer o.Unlock()
	return o.Builder.String()
}

// process starts the program as a process of its own.
func process(t *testing.T, dsn string, args ...string) (cmd *exec.Cmd, stdout, stderr *output) {
	t.Helper()
	stdout, stderr = new(output), new(output)
	cmd = exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "NOTIFICATION_CLEANUP_TEST_MAIN=1", "DATABASE_URL="+dsn, "FORMAT=json")
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, stdout, stderr
}

// eventually waits until the query returns true.
func eventually(t *testing.T, d *database, query string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !one[bool](d, query); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never true: %s", query)
		}
	}
}

func decode[T any](t *testing.T, line string) (value T) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &value); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	return value
}

func TestRunEqualsTheFunction(t *testing.T) {
	t.Parallel()
	deletedBy := func(run func(d *database)) (ids, record string) {
		d := newDatabase(t)
		d.exec(inboxes)
		run(d)
		return one[string](d, `SELECT string_agg(id::text, ' ' ORDER BY id) FROM notifications
				WHERE deleted_at = (SELECT started_at FROM notification_cleanup_runs)`),
			one[string](d, `SELECT (to_jsonb(r) - '{started_at,finished_at,application_name}'::text[] ||
				jsonb_build_object('finished', finished_at >= started_at))::text FROM notification_cleanup_runs AS r`)
	}
	ids, record := deletedBy(func(d *database) { d.exec(`SELECT cleanup_notifications()`) })
	for _, args := range [][]string{{}, {"run", "-batch-size", "1"}, {"-batch-size=1", "run", "-workers", "2"}} {
		gotIDs, gotRecord := deletedBy(func(d *database) {
			if _, stderr, status := command(t, d, nil, args...); status != 0 {
				t.Fatalf("%v: exit status %d: %s", args, status, stderr)
			}
		})
		if gotIDs != ids || gotRecord != record {
			t.Errorf("%v differs from the function:\n got %s\nwant %s\nsame ids: %v", args, gotRecord, record, gotIDs == ids)
		}
	}
}

func TestRunPrintsTheRecordWithTheColumnNames(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	stdout, _, _ := command(t, d, nil)
	want := one[string](d, `SELECT row_to_json(r)::text FROM notification_cleanup_runs AS r`)
	if stdout != want+"\n" {
		t.Errorf("stdout is %s, want %s", stdout, want)
	}
	stdout, _, _ = command(t, d, map[string]string{"FORMAT": "json"}, "history")
	if stdout != want+"\n" {
		t.Errorf("history is %s, want %s", stdout, want)
	}
}

func TestTheLogTellsThePlanAndTheEnd(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	_, stderr, _ := command(t, d, nil)
	for _, says := range []string{
		`msg="planned run" run_id=1 users_over_limit=3 notifications_planned=1950 continued=false`,
		`msg="finished run" run_id=1 users_cleaned=2 notifications_deleted=1950 notifications_skipped=0 duration_seconds=`,
	} {
		if !strings.Contains(stderr, says) {
			t.Errorf("no %s in %s", says, stderr)
		}
	}
}

func TestDryRunPrintsThePreviewAndWritesNothing(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	preview, _, _ := command(t, d, nil, "preview")
	stdout, stderr, status := command(t, d, map[string]string{"DRY_RUN": "true"})
	if status != 0 || stdout != preview || strings.Count(stdout, "\n") != 3 {
		t.Errorf("exit status %d, stdout %s, stderr %s, want the preview %s", status, stdout, stderr, preview)
	}
	if n := one[int](d, `SELECT count(deleted_at) + (SELECT count(*) FROM notification_cleanup_runs) FROM notifications`); n != 0 {
		t.Errorf("%d rows were written", n)
	}
}

func TestNothingToDoIsSaidAndRecorded(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	stdout, stderr, status := command(t, d, nil)
	record := decode[struct {
		Deleted    *int    `json:"notifications_deleted"`
		FinishedAt *string `json:"finished_at"`
	}](t, stdout)
	if status != 0 || !strings.Contains(stderr, "nothing to delete") || record.Deleted == nil || *record.Deleted != 0 || record.FinishedAt == nil {
		t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
	}
	if n := one[int](d, `SELECT count(*) FROM notification_cleanup_runs`); n != 1 {
		t.Errorf("%d runs recorded, want 1", n)
	}
}

func TestStatsCountLiveNotifications(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	stdout, _, _ := command(t, d, nil, "stats")
	if want := `{"total_notifications":3350,"users_with_notifications":3,"users_over_limit":3}` + "\n"; stdout != want {
		t.Errorf("stats are %s, want %s", stdout, want)
	}
}

func TestExitStatusAndOneLineForEachMistake(t *testing.T) {
	t.Parallel()
	d := emptyDatabase(t)
	const secret = "s3cr3t"
	for _, test := range []struct {
		name   string
		env    map[string]string
		args   []string
		status int
		says   string
	}{
		{"unknown command", nil, []string{"clean"}, 2, "unknown command"},
		{"unknown flag", nil, []string{"-dryrun"}, 2, "dryrun"},
		{"not a number", map[string]string{"MAX_NOTIFICATIONS": "many"}, nil, 2, "MAX_NOTIFICATIONS"},
		{"limit of 0", map[string]string{"MAX_NOTIFICATIONS": "0"}, nil, 2, "MAX_NOTIFICATIONS is 0"},
		{"keeps more than the limit", nil, []string{"-min-keep", "1001"}, 2, "MIN_KEEP is 1001"},
		{"no batch", nil, []string{"-batch-size", "0"}, 2, "BATCH_SIZE"},
		{"no worker", nil, []string{"-workers", "0"}, 2, "WORKERS"},
		{"negative pause", nil, []string{"-pause-factor", "-1"}, 2, "PAUSE_FACTOR is -1"},
		{"negative lag", nil, []string{"-max-replica-lag", "-1s"}, 2, "MAX_REPLICA_LAG is -1s"},
		{"negative time", nil, []string{"-timeout", "-1s"}, 2, "TIMEOUT"},
		{"unknown format", nil, []string{"-format", "xml"}, 2, "FORMAT"},
		{"not an id", nil, []string{"restore", "last"}, 2, "restore takes the id"},
		{"no id", nil, []string{"restore"}, 2, "restore takes the id"},
		{"several mistakes", map[string]string{"WORKERS": "0", "FORMAT": "xml"}, nil, 2, "WORKERS is 0, takes 1 to 64; FORMAT"},
		{"malformed URL", map[string]string{"DATABASE_URL": "postgres://u:" + secret + "%zz@h/d"}, nil, 2, "DATABASE_URL"},
		{"malformed port", map[string]string{"DATABASE_URL": "postgres://u:" + secret + "@h:port/d"}, nil, 2, "DATABASE_URL"},
		{"unreachable server", map[string]string{"DATABASE_URL": "postgres://u:" + secret + "@127.0.0.1:1/d"}, nil, 1, "connect to database"},
		{"not installed", nil, []string{"stats"}, 1, "notification-cleanup migrate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, status := command(t, d, test.env, test.args...)
			if status != test.status || !strings.Contains(stderr, test.says) {
				t.Errorf("exit status %d, stderr %q, want %d and %q", status, stderr, test.status, test.says)
			}
			if stdout != "" || strings.Contains(stderr, "\n") || strings.Contains(stderr, secret) {
				t.Errorf("stdout %q, stderr %q: want nothing, and one line without the password", stdout, stderr)
			}
		})
	}
}

func TestTheProcessExitsWithTheStatus(t *testing.T) {
	t.Parallel()
	cmd, stdout, stderr := process(t, "postgres://u:s3cr3t@127.0.0.1:1/d")
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || stdout.Len() > 0 || strings.Count(stderr.String(), "\n") != 1 || strings.Contains(stderr.String(), "s3cr3t") {
		t.Errorf("exit status %d, stdout %q, stderr %q", cmd.ProcessState.ExitCode(), stdout, stderr)
	}
}

func TestFlagsWinOverVariablesAndEmptyVariablesCountAsUnset(t *testing.T) {
	t.Parallel()
	env := envconfig.MapLookuper(map[string]string{"MIN_KEEP": "7", "WORKERS": "3", "TIMEOUT": "", "BATCH_SIZE": "", "FORMAT": ""})
	cfg, words, err := loadConfig(t.Context(), []string{"-min-keep", "5", "migrate", "-dry-run", "up"}, env)
	if err != nil || cfg.MinKeep != 5 || cfg.Workers != 3 || !cfg.DryRun || cfg.BatchSize != 10000 || cfg.Format != "text" || !slices.Equal(words, []string{"migrate", "up"}) {
		t.Errorf("config %+v, words %q, error %v", cfg, words, err)
	}
}

func TestHelpNamesEveryVariable(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	if err := run(t.Context(), []string{"-help"}, envconfig.MapLookuper(nil), &stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	for field := range configFields() {
		if name := flagName(field); !strings.Contains(stdout.String(), "-"+name+" ") {
			t.Errorf("no flag -%s in the help", name)
		}
	}
}

func TestRetriesOnlyWhatMayBeGoneAtTheNextAttempt(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"40001": true, "40P01": true, "55P03": true, "57P01": true, "57P02": true, "57P03": true, "53300": true, "08006": true,
		"22023": false, "25006": false, "42501": false, "57014": false, "53100": false,
	} {
		if got := transient(fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code})); got != want {
			t.Errorf("transient is %v for SQLSTATE %s", got, code)
		}
	}
	if !transient(io.ErrUnexpectedEOF) {
		t.Error("a lost connection is not transient")
	}
}

// blockUser2 makes every update of user 2 wait for advisory lock 1, which the returned function releases.
func blockUser2(d *database) (release func()) {
	d.exec(`CREATE FUNCTION block() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
		BEGIN
			PERFORM pg_advisory_xact_lock_shared(1);
			RETURN NEW;
		END $$`)
	d.exec(`CREATE TRIGGER block BEFORE UPDATE ON notifications FOR EACH ROW WHEN (OLD.user_id = md5('2')::uuid) EXECUTE FUNCTION block()`)
	d.exec(`SELECT pg_advisory_lock(1)`)
	return func() { d.exec(`SELECT pg_advisory_unlock(1)`) }
}

// blockedProgram starts the program on the inboxes, and waits until it stands in a batch of user 2, which release lets go on.
func blockedProgram(t *testing.T, d *database) (cmd *exec.Cmd, stdout, stderr *output, release func()) {
	t.Helper()
	d.exec(inboxes)
	release = blockUser2(d)
	cmd, stdout, stderr = process(t, d.url(), "run", "-batch-size", "1")
	eventually(t, d, blocked)
	return cmd, stdout, stderr, release
}

const blocked = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid())`

// alone is true when no other session is at work, or on its way out: a backend answers before it lets go of its locks.
const alone = `SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND state <> 'idle'`

func TestCtrlCReportsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	for name, arguments := range map[string][]string{"signal": nil, "TIMEOUT": {"-timeout", "5s"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(inboxes)
			release := blockUser2(d)
			cmd, stdout, stderr := process(t, d.url(), append([]string{"run", "-batch-size", "1"}, arguments...)...)
			if name == "signal" {
				eventually(t, d, blocked)
				_ = cmd.Process.Signal(os.Interrupt)
			}
			_ = cmd.Wait()
			record := decode[struct {
				Deleted    int     `json:"notifications_deleted"`
				FinishedAt *string `json:"finished_at"`
			}](t, stdout.String())
			if status := cmd.ProcessState.ExitCode(); status != 3 || record.Deleted != 1000 || record.FinishedAt != nil {
				t.Errorf("exit status %d, stdout %s, stderr %s", status, stdout, stderr)
			}
			if !strings.Contains(stderr.String(), "stopped early by") || !strings.Contains(stderr.String(), `msg="ended run early, the next one goes on from here"`) {
				t.Errorf("stderr does not say why: %s", stderr)
			}
			if n := one[int](d, `SELECT count(deleted_at) FROM notifications`); n != 1000 {
				t.Errorf("%d rows deleted, want the 1000 of the first batches", n)
			}

			// What it left is a run of its own for the next call, which prints both.
			release()
			next, log, status := command(t, d, nil, "run", "-batch-size", "1")
			want := one[string](d, `SELECT string_agg(row_to_json(r)::text || chr(10), '' ORDER BY id) FROM notification_cleanup_runs AS r`)
			if status != 0 || next != want || strings.Count(log, `msg="finished run"`) != 2 ||
				!strings.Contains(log, "run_id=1 users_over_limit=3 notifications_planned=1950 continued=true") ||
				!strings.Contains(log, "run_id=2 users_over_limit=1 notifications_planned=0 continued=false") {
				t.Errorf("exit status %d, stdout %s, want %s, stderr %s", status, next, want, log)
			}
			d.wantRuns("(1,1950,1950,2,f)", "(2,0,0,0,f)")
		})
	}
}

// Another session holds all batches but the one that the program is at, and gives the run up.
func TestARunThatSomebodyGivesUpStopsEarly(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	cmd, stdout, stderr, release := blockedProgram(t, d)
	other := d.openSession()
	other.exec("BEGIN; SELECT FROM notification_cleanup_batches WHERE NOT done FOR UPDATE SKIP LOCKED")
	release()
	restored := one[int](other, "SELECT restore_notifications(1)") // with the batch that it has waited for
	other.exec("COMMIT")
	_ = cmd.Wait()
	record := decode[struct {
		Deleted    int     `json:"notifications_deleted"`
		Restored   int     `json:"notifications_restored"`
		FinishedAt *string `json:"finished_at"`
	}](t, stdout.String())
	if status := cmd.ProcessState.ExitCode(); status != 3 || record.Deleted <= 1000 || record.Deleted >= 1950 ||
		record.Restored != record.Deleted || record.Restored != restored || record.FinishedAt != nil {
		t.Errorf("exit status %d, restored %d, stdout %s, stderr %s", status, restored, stdout, stderr)
	}
	if !strings.Contains(stderr.String(), "somebody stopped or restored the run") {
		t.Errorf("stderr does not say why: %s", stderr)
	}
	if n := one[int](d, `SELECT count(deleted_at) FROM notifications`); n != 0 {
		t.Errorf("%d rows are deleted", n)
	}
}

func TestAFailedRunHasNoEnd(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	d.exec(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$`)
	d.exec(`CREATE TRIGGER fail BEFORE UPDATE ON notifications FOR EACH ROW WHEN (OLD.user_id = md5('2')::uuid) EXECUTE FUNCTION fail()`)
	_, stderr, status := command(t, d, nil, "run", "-batch-size", "1")
	const record = `SELECT row(notifications_deleted, finished_at IS NULL)::text FROM notification_cleanup_runs`
	if got := one[string](d, record); status != 1 || got != "(1000,t)" {
		t.Errorf("exit status %d, the record is %s, want 1000 deleted and no end: %s", status, got, stderr)
	}
}

func TestATerminatedBatchIsRetriedAndCountedOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	cmd, stdout, stderr, release := blockedProgram(t, d)
	_ = cmd.Process.Signal(syscall.SIGSTOP) // a backend answers before it lets go of its locks
	d.exec(`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'notification-cleanup' AND datname = current_database()`)
	_ = cmd.Process.Signal(syscall.SIGCONT)
	release()
	_ = cmd.Wait()
	expectWholeRun(t, d, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String())
}

// stubborn is a user who is over the limit even after a run: a batch done twice, or an end, would count him twice.
const stubborn = `
	INSERT INTO notifications (user_id, status, created_at)
	SELECT md5('4')::uuid, CASE WHEN i <= 1500 THEN 'read' ELSE 'unread' END, '2025-01-01' FROM generate_series(1, 2700) AS i`

// expectRecord compares the one record.
func expectRecord(t *testing.T, d *database, want string, status int, stderr string) {
	t.Helper()
	const record = `SELECT row(users_over_limit, users_cleaned, users_still_over_limit, notifications_planned, notifications_deleted)::text FROM notification_cleanup_runs`
	if got := one[string](d, record); status != 0 || got != want {
		t.Errorf("exit status %d, record %s, want %s, stderr %s", status, got, want, stderr)
	}
	d.wantEnded("the lost connections")
}

func TestALostAnswerToCommitIsNotCountedTwice(t *testing.T) {
	t.Parallel()
	// Every other answer is lost: the clock's, the plan's, which is found again, and the first batch's. Of two batches, the end's, too.
	for name, test := range map[string]struct {
		more, size, record string
		lost               int
	}{
		"of a batch":        {stubborn, "100000", "(4,3,2,3350,3350)", 3},
		"that ends the run": {"", "1000", "(3,2,1,1950,1950)", 4},
		"many":              {stubborn, "500", "(4,3,2,3350,3350)", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(inboxes + ";" + test.more)
			_, stderr, status := command(t, d, map[string]string{"DATABASE_URL": losingCommit(t, d.url(), false)}, "run", "-batch-size", test.size)
			if n := strings.Count(stderr, "retrying"); n != test.lost && test.lost > 0 || n < 2 {
				t.Fatalf("%d connections were lost, want %d: %s", n, test.lost, stderr)
			}
			if strings.Count(stderr, `msg="planned run" run_id=1 `) != 1 || strings.Contains(stderr, "continued=true") {
				t.Errorf("the plan is not that of this call: %s", stderr)
			}
			expectRecord(t, d, test.record, status, stderr)
		})
	}
}

// A commit may be under way when its connection is lost: another plan waits for it, and another batch is none that it might count.
func TestACommitThatIsStillUnderWayIsNotCountedTwice(t *testing.T) {
	t.Parallel()
	const other = `SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%%%s(%%' AND %s AND pid <> pg_backend_pid()`
	for name, test := range map[string]struct{ trigger, size, waits string }{
		"the plan's": {"UPDATE OF notifications_planned ON notification_cleanup_runs", "1", fmt.Sprintf(other, "plan_notification_cleanup", "wait_event = 'advisory'")},
		// The next batch is done, but for the run's record.
		"a batch's": {"UPDATE OF notifications_deleted ON notification_cleanup_runs", "1", fmt.Sprintf(other, "cleanup_next_batch", "wait_event = 'transactionid'")},
		// There is no other batch: the next call returns 0, and so on.
		"the last batch's": {"UPDATE OF notifications_deleted ON notification_cleanup_runs", "100000", fmt.Sprintf(other, "cleanup_next_batch", "wait_event = 'PgSleep'")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(inboxes)
			d.exec(stubborn)
			d.exec(`CREATE FUNCTION block() RETURNS trigger LANGUAGE plpgsql AS $$
				BEGIN
					PERFORM pg_advisory_xact_lock_shared(1);
					RETURN NULL;
				END $$`)
			d.exec(`CREATE CONSTRAINT TRIGGER block AFTER ` + test.trigger + ` DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION block()`)
			d.exec(`SELECT pg_advisory_lock(1)`)
			cmd, _, stderr := process(t, losingCommit(t, d.url(), true), "run", "-batch-size", test.size)
			eventually(t, d, `SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND query = 'commit' AND wait_event = 'advisory'`)
			eventually(t, d, test.waits)
			d.exec(`SELECT pg_advisory_unlock(1)`)
			_ = cmd.Wait()
			expectRecord(t, d, "(4,3,2,3350,3350)", cmd.ProcessState.ExitCode(), stderr.String())
		})
	}
}

func expectWholeRun(t *testing.T, d *database, status int, stdout, stderr string) {
	t.Helper()
	type counts struct {
		Over    int `json:"users_over_limit"`
		Cleaned int `json:"users_cleaned"`
		Still   int `json:"users_still_over_limit"`
		Deleted int `json:"notifications_deleted"`
	}
	if got, want := decode[counts](t, stdout), (counts{3, 2, 1, 1950}); status != 0 || got != want {
		t.Errorf("exit status %d, record %+v, want %+v, stderr %s", status, got, want, stderr)
	}
	if n := one[int](d, `SELECT count(deleted_at) FROM notifications`); n != 1950 {
		t.Errorf("%d rows deleted, want 1950", n)
	}
}

// losingCommit is a proxy to the server that passes on each COMMIT, but drops the connection before the answer to every other one,
// the first included: when the answer is there, or at once. It returns the URL to use.
func losingCommit(t *testing.T, dsn string, atOnce bool) string {
	t.Helper()
	server, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	network, address := "tcp", server.Host
	if dir := server.Query().Get("host"); dir != "" {
		network, address = "unix", dir+"/.s.PGSQL.5432"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	var commits atomic.Int32
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial(network, address)
			if err != nil {
				client.Close()
				continue
			}
			var answering atomic.Bool
			answering.Store(true)
			go func() {
				defer client.Close()
				buffer := make([]byte, 1<<16)
				for {
					n, err := backend.Read(buffer)
					if err != nil || !answering.Load() {
						return // the commit is answered, so it is done, but nobody hears of it
					}
					if _, err := client.Write(buffer[:n]); err != nil {
						return
					}
				}
			}()
			go func() {
				defer backend.Close()
				buffer := make([]byte, 1<<16)
				for {
					n, err := client.Read(buffer)
					if err != nil {
						return
					}
					if bytes.HasPrefix(buffer[:n], []byte("\x00\x00\x00\x10\x04\xd2\x16\x2e")) {
						return // a CancelRequest, which pgx sends after a lost connection, is lost too
					}
					lost := bytes.Contains(buffer[:n], []byte("commit\x00")) && commits.Add(1)%2 == 1
					if lost {
						answering.Store(false)
					}
					if _, err := backend.Write(buffer[:n]); err != nil {
						return
					}
					if lost && atOnce {
						client.Close()
					}
				}
			}()
		}
	}()
	query := server.Query()
	query.Del("host")
	query.Set("sslmode", "disable")
	user := server.Query().Get("user")
	query.Del("user")
	if server.User == nil {
		server.User = url.User(user)
	}
	server.Host, server.RawQuery = listener.Addr().String(), query.Encode()
	return server.String()
}
