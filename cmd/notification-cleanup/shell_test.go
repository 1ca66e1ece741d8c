package main

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"golang.org/x/sys/unix"
)

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
	if err := unix.IoctlSetWinsize(int(keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: columns}); err != nil {
		t.Fatal(err)
	}
	screen, err := os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = slices.Concat(os.Environ(), []string{"NOTIFICATION_CLEANUP_TEST_MAIN=1", "NO_COLOR=", "TERM=xterm"}, env)
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

// asText runs a command line in this process with text as its format.
func asText(t *testing.T, d *database, args ...string) string {
	t.Helper()
	stdout, stderr, status := command(t, d, map[string]string{"FORMAT": "text"}, args...)
	if status != 0 {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	return stdout
}

// manyInboxes fills 21 users over a limit of 10, number u with 100 + u read notifications.
const manyInboxes = `
	INSERT INTO notifications (id, user_id, status, created_at)
	SELECT md5(u || ' ' || i)::uuid, md5(u::text)::uuid, 'read', timestamptz '2025-01-01 00:00:00Z' + i * interval '1 minute'
	FROM generate_series(1, 21) AS u, generate_series(1, 100 + u) AS i`

func TestVersionIsWhatTheBuildSays(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--version", "-version"} {
		var stdout bytes.Buffer
		err := run(t.Context(), []string{"run", flag}, envconfig.MapLookuper(map[string]string{"WORKERS": "wrong"}), &stdout, io.Discard)
		if !regexp.MustCompile(`^notification-cleanup \S+ \(`+regexp.QuoteMeta(runtime.Version())+`\)\n$`).MatchString(stdout.String()) || err != nil {
			t.Errorf("%s prints %q, error %v", flag, &stdout, err)
		}
	}
}

func TestEachCommandHasHelpWithAnExampleThatWorks(t *testing.T) {
	t.Parallel()
	for _, c := range commands {
		for _, args := range [][]string{{c.name, "-help"}, {"-h", c.name}, {"-workers", "2", c.name, "--help"}} {
			var stdout bytes.Buffer
			if err := run(t.Context(), args, envconfig.MapLookuper(nil), &stdout, io.Discard); err != nil {
				t.Fatal(err)
			}
			_, example, found := strings.Cut(stdout.String(), "\nFor example: notification-cleanup "+c.name)
			if !found || !strings.Contains(stdout.String(), c.about) {
				t.Errorf("%v prints\n%s", args, &stdout)
			}
			example, _, _ = strings.Cut(example, "|")
			_, words, err := loadConfig(t.Context(), append([]string{c.name}, strings.Fields(example)...), envconfig.MapLookuper(nil))
			if got, _, parseErr := parseCommand(words); err != nil || parseErr != nil || got.name != c.name {
				t.Errorf("the example of %s is %q: %v %v", c.name, example, err, parseErr)
			}
		}
	}
}

func TestTheHelpOfACommandHasItsFlagsAndNoOthers(t *testing.T) {
	t.Parallel()
	for field := range configFields() {
		for _, name := range strings.Fields(field.Tag.Get("for")) {
			if !slices.ContainsFunc(commands, func(c subcommand) bool { return c.name == name }) {
				t.Errorf("-%s is for %q, which is no command", flagName(field), name)
			}
		}
	}
	var stdout bytes.Buffer
	_ = run(t.Context(), []string{"preview", "-help"}, envconfig.MapLookuper(nil), &stdout, io.Discard)
	for flag, want := range map[string]bool{"-top": true, "-min-keep": true, "-schema": true, "-workers": false, "-retention": false} {
		if got := strings.Contains(stdout.String(), "  "+flag+" "); got != want {
			t.Errorf("help for preview has %s: %v, want %v", flag, got, want)
		}
	}
}

func TestHelpIsFoldedToTheTerminal(t *testing.T) {
	t.Parallel()
	for given, columns := range map[uint16]int{60: 60, 80: 80, 160: 160, 0: 80} { // 0: the terminal does not know
		longest := 0
		for line := range strings.Lines(onTerminal(t, given, nil, "-help")) {
			if strings.HasPrefix(line, "  ") {
				longest = max(longest, len(strings.TrimSuffix(line, "\n")))
			}
		}
		if longest > columns || longest < min(columns-10, 100) {
			t.Errorf("on %d columns the longest line has %d", columns, longest)
		}
	}
}

func TestProposesWhatWasMeant(t *testing.T) {
	t.Parallel()
	for mistyped, want := range map[string]string{
		"preveiw": "preview?", "histroy": "history?", "stat": "stats?", "migrate stauts": "migrate status?", "restor 7": "restore?",
		"-dryrun": "-dry-run?", "--batchsize=5": "-batch-size?", "run -worker 2": "-workers?", "-tpo 3": "-top?",
		"clean": "", "-verbose": "", "-": "", "help": "",
	} {
		_, words, err := loadConfig(t.Context(), strings.Fields(mistyped), envconfig.MapLookuper(nil))
		if err == nil {
			_, _, err = parseCommand(words)
		}
		if _, meant, _ := strings.Cut(fmt.Sprint(err), "(did you mean "); err == nil || exitStatus(err) != 2 || strings.TrimSuffix(strings.SplitAfter(meant, "?")[0], "\n") != want {
			t.Errorf("%s: %v, want %q", mistyped, err, want)
		}
	}
}

func TestTextHasNumbersOnTheRightByThousandsAndATotal(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	const want = `
user id                               total  unread  deletable
c4ca4238-a0b9-2382-0dcc-509a6f75849b  1,100       0      1,000
c81e728d-9d4c-2f63-6f06-7f89cc14862c  1,050       0        950
eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3  1,200   1,200          0
users: 3                              3,350   1,200      1,950
`
	if got := "\n" + asText(t, d, "preview"); got != want {
		t.Errorf("preview shows%s, want%s", got, want)
	}
}

func TestNumbersThatAreNamesStayAsTheyAre(t *testing.T) {
	t.Parallel()
	d := adopt(t, application, "UPDATE notifications SET user_id = 1234567")
	if got := asText(t, d, "preview"); !strings.Contains(got, "\n1234567   6,000       0      5,900\n") {
		t.Errorf("preview shows\n%s", got)
	}
	d.exec("ALTER TABLE notification_cleanup_runs ALTER id RESTART 12345")
	d.exec("SELECT cleanup_notifications()")
	if got := asText(t, d, "history"); !strings.Contains(got, "\n12345  ") {
		t.Errorf("history shows\n%s", got)
	}
}

func TestPreviewShowsTwentyUsersOnATerminalAndAllElsewhere(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(manyInboxes)
	limits := []string{"preview", "-max-notifications", "10", "-min-keep", "0"}
	for _, test := range []struct {
		got   string
		lines int
		last  string
	}{
		{onTerminal(t, 80, []string{"DATABASE_URL=" + d.url(), "FORMAT=text"}, limits...), 22, "users: 21, shown: 20  "},
		{onTerminal(t, 80, []string{"DATABASE_URL=" + d.url(), "FORMAT=text"}, append(limits, "-top", "3")...), 5, "users: 21, shown: 3  "},
		{onTerminal(t, 80, []string{"DATABASE_URL=" + d.url(), "FORMAT=text"}, append(limits, "-top", "50")...), 23, "users: 21  "},
		{onTerminal(t, 80, []string{"DATABASE_URL=" + d.url(), "FORMAT=json"}, limits...), 21, `{"user_id"`},
		{asText(t, d, limits...), 23, "users: 21  "},
		{asText(t, d, append(limits, "-top", "1")...), 3, "users: 21, shown: 1  "},
		{asText(t, d, append(limits, "-format", "json", "-top", "2")...), 2, `{"user_id"`},
	} {
		lines := strings.Split(strings.TrimSuffix(test.got, "\n"), "\n")
		last := lines[len(lines)-1]
		if len(lines) != test.lines || !strings.HasPrefix(last, test.last) || strings.HasPrefix(last, "users") && !strings.HasSuffix(last, " 2,331       0      2,331") {
			t.Errorf("%d lines, want %d, the last one of them %q\n%s", len(lines), test.lines, test.last, test.got)
		}
	}
}

func TestATableIsFoldedToTheTerminal(t *testing.T) {
	t.Parallel()
	d := adopt(t, `CREATE TABLE notifications (id bigint PRIMARY KEY, user_id text, status text, created_at timestamptz)`,
		`INSERT INTO notifications SELECT i, repeat('somebody with a long name ', 8), 'read', '2025-01-01' FROM generate_series(1, 1200) AS i`)
	got := onTerminal(t, 80, []string{"DATABASE_URL=" + d.url()}, "preview")
	for line := range strings.Lines(got) {
		if len(line) > 81 {
			t.Errorf("%d columns in %q", len(line)-1, line)
		}
	}
	if words := strings.Fields(got); strings.Count(got, "somebody") != 8 || !strings.Contains(strings.Join(words, " "), "1,200 0 1,100") {
		t.Errorf("something is lost in\n%s", got)
	}
}

func TestHistoryIsALineARunInTheLocalZone(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`INSERT INTO notification_cleanup_runs (started_at, finished_at, max_notifications, min_keep, users_cleaned, notifications_deleted, notifications_skipped, notifications_restored)
		VALUES ('2025-06-30 22:30Z', '2025-07-01 01:45:06.789Z', 1000, 100, 12345, 1234567, 8, 0), ('2025-12-31 22:30Z', NULL, 1000, 100, 0, 5, 0, 0), ('2026-01-01 22:30Z', '2026-01-01 22:31Z', 1000, 100, 1, 5, 0, 5)`)
	const want = `
id  when                 how long       users    deleted  skipped  outcome
 3  2026-01-01 17:30:00  00:01:00.000       1          5        0  restored
 2  2025-12-31 17:30:00                     0          5        0  unfinished
 1  2025-06-30 18:30:00  03:15:06.789  12,345  1,234,567        8  finished
`
	if got := "\n" + onTerminal(t, 80, []string{"DATABASE_URL=" + d.url(), "TZ=America/New_York"}, "history"); got != want {
		t.Errorf("history shows%s, want%s", got, want)
	}
}

func TestWithoutRowsThereIsOneCalmLine(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	env := []string{"DATABASE_URL=" + d.url()}
	for _, test := range [][2]string{
		{"preview", "nothing to delete (users over the limit of 1,000: 0)\n"},
		{"history", "no run yet\n"},
		{"run", "nothing to delete (users over the limit of 1,000: 0)\n"},
	} {
		if got := onTerminal(t, 80, env, test[0]); got != test[1] {
			t.Errorf("%s shows %q, want %q", test[0], got, test[1])
		}
	}
	d.exec(inboxes + " WHERE u = 3")
	if got := onTerminal(t, 80, env, "run"); got != "nothing to delete (users over the limit of 1,000: 1)\n" {
		t.Errorf("run shows %q for a user with unread notifications only", got)
	}
	if n := one[int](d, "SELECT count(*) FROM notification_cleanup_runs"); n != 2 {
		t.Errorf("%d runs recorded, want 2", n)
	}
}

func TestTheLogOnATerminalIsForPeople(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, env string
		color     bool
		says      string
	}{
		{"colour", "NO_COLOR=", true, "migrated \x1b[2mdirection="},
		{"NO_COLOR", "NO_COLOR=1", false, "migrated direction=up name=00001_notifications.sql duration_seconds=0"},
		{"json", "LOG_FORMAT=json", false, `{"time":"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := emptyDatabase(t)
			got := onTerminal(t, 120, []string{"DATABASE_URL=" + d.url(), test.env}, "migrate")
			if !strings.HasPrefix(got, test.says) || strings.Contains(got, "\x1b") != test.color {
				t.Errorf("it shows\n%q", got)
			}
		})
	}
	// Elsewhere it is for machines.
	if _, stderr, _ := command(t, emptyDatabase(t), nil, "migrate"); !regexp.MustCompile(`^time=\S+ level=INFO msg=migrated `).MatchString(stderr) {
		t.Errorf("the log is %s", stderr)
	}
}

func TestARunOnATerminalEndsWithItsRecordAsPeopleReadIt(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(inboxes)
	got := onTerminal(t, 80, []string{"DATABASE_URL=" + d.url(), "TZ=Asia/Tokyo", "NO_COLOR=1"}, "run")
	started := one[time.Time](d, "SELECT started_at FROM notification_cleanup_runs").In(time.FixedZone("", 9*3600)).Format(time.DateTime)
	for _, line := range []string{"\nid                                         1\n", "\nstarted at               " + started + "\n",
		"\nnotifications deleted                  1,950\n", "planned run run_id=1 users_over_limit=3 notifications_planned=1,950\n",
		"finished run run_id=1 users_cleaned=2 notifications_deleted=1,950 notifications_skipped=0 duration_seconds="} {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
}

// In the image there is no file with root certificates.
func TestRootCertificatesAreInTheProgram(t *testing.T) {
	t.Parallel()
	if os.Getenv("SSL_CERT_FILE") != "/nowhere" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestRootCertificatesAreInTheProgram$")
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE=/nowhere", "SSL_CERT_DIR=/nowhere")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if pool, err := x509.SystemCertPool(); err != nil || pool.Equal(x509.NewCertPool()) {
		t.Errorf("there is none: %v", err)
	}
}
