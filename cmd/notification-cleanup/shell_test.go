package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// manyInboxes fills 21 users over a limit of 10, number u with 100 + u read notifications.
const manyInboxes = `
	INSERT INTO notifications (id, user_id, status, created_at)
	SELECT md5(u || ' ' || i)::uuid, md5(u::text)::uuid, 'read',
		timestamptz '2025-01-01 00:00:00Z' + i * interval '1 minute'
	FROM generate_series(1, 21) AS u, generate_series(1, 100 + u) AS i`

func TestTextHasNumbersOnTheRightByThousandsAndATotal(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
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
	d := pgtest.Adopt(t, pgtest.ApplicationTable, "UPDATE notifications SET user_id = 1234567")
	if got := asText(t, d, "preview"); !strings.Contains(
		got,
		"\n1234567   6,000       0      5,900\n",
	) {
		t.Errorf("preview shows\n%s", got)
	}
	d.Exec("ALTER TABLE notification_cleanup_runs ALTER id RESTART 12345")
	d.Exec("SELECT cleanup_notifications()")
	if got := asText(t, d, "history"); !strings.Contains(got, "\n12345  ") {
		t.Errorf("history shows\n%s", got)
	}
}

func TestPreviewShowsTwentyUsersOnATerminalAndAllElsewhere(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(manyInboxes)
	limits := []string{"preview", "--max-notifications", "10", "--min-keep", "0"}
	for _, test := range []struct {
		got   string
		lines int
		last  string
	}{
		{
			onTerminal(t, 80, []string{"DATABASE_URL=" + d.URL(), "FORMAT=text"}, limits...),
			22,
			"users: 21, shown: 20  ",
		},
		{
			onTerminal(
				t, 80, []string{"DATABASE_URL=" + d.URL(), "FORMAT=text"}, append(limits, "--top", "3")...,
			),
			5,
			"users: 21, shown: 3  ",
		},
		{
			onTerminal(
				t, 80, []string{"DATABASE_URL=" + d.URL(), "FORMAT=text"}, append(limits, "--top", "50")...,
			),
			23,
			"users: 21  ",
		},
		{
			onTerminal(t, 80, []string{"DATABASE_URL=" + d.URL(), "FORMAT=json"}, limits...),
			21,
			`{"user_id"`,
		},
		{asText(t, d, limits...), 23, "users: 21  "},
		{asText(t, d, append(limits, "--top", "1")...), 3, "users: 21, shown: 1  "},
		{asText(t, d, append(limits, "--format", "json", "--top", "2")...), 2, `{"user_id"`},
	} {
		lines := strings.Split(strings.TrimSuffix(test.got, "\n"), "\n")
		last := lines[len(lines)-1]
		if len(lines) != test.lines || !strings.HasPrefix(last, test.last) ||
			strings.HasPrefix(last, "users") && !strings.HasSuffix(last, " 2,331       0      2,331") {
			t.Errorf(
				"%d lines, want %d, the last one of them %q\n%s",
				len(lines),
				test.lines,
				test.last,
				test.got,
			)
		}
	}
}

func TestATableIsFoldedToTheTerminal(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, `
		CREATE TABLE notifications (id bigint PRIMARY KEY, user_id text, status text,
			created_at timestamptz)`,
		`
			INSERT INTO notifications
			SELECT i, repeat('somebody with a long name ', 8), 'read', '2025-01-01'
			FROM generate_series(1, 1200) AS i`)
	got := onTerminal(t, 80, []string{"DATABASE_URL=" + d.URL()}, "preview")
	for line := range strings.Lines(got) {
		if len(line) > 81 {
			t.Errorf("%d columns in %q", len(line)-1, line)
		}
	}
	if words := strings.Fields(got); strings.Count(got, "somebody") != 8 ||
		!strings.Contains(strings.Join(words, " "), "1,200 0 1,100") {
		t.Errorf("something is lost in\n%s", got)
	}
}

func TestHistoryIsALineARunInTheLocalZone(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(`
		INSERT INTO notification_cleanup_runs (started_at, finished_at, max_notifications, min_keep,
			users_cleaned, notifications_deleted, notifications_skipped, notifications_restored)
		VALUES ('2025-06-30 22:30Z', '2025-07-01 01:45:06.789Z', 1000, 100, 12345, 1234567, 8, 0),
			('2025-12-31 22:30Z', NULL, 1000, 100, 0, 5, 0, 0),
			('2026-01-01 22:30Z', '2026-01-01 22:31Z', 1000, 100, 1, 5, 0, 5),
			('2026-01-02 22:30Z', '2026-01-02 22:31Z', 1000, 100, 1, 1234567, 0, 1200)`)
	const want = `
id  when                 how long   users    deleted  skipped  outcome
 4  2026-01-02 17:30:00      1m0s       1  1,234,567        0  1,200 restored
 3  2026-01-01 17:30:00      1m0s       1          5        0  restored
 2  2025-12-31 17:30:00                 -          5        0  unfinished
 1  2025-06-30 18:30:00   3h15m7s  12,345  1,234,567        8  finished
`
	if got := "\n" + onTerminal(
		t, 80, []string{"DATABASE_URL=" + d.URL(), "TZ=America/New_York"}, "history",
	); got != want {
		t.Errorf("history shows%s, want%s", got, want)
	}
}

func TestWithoutRowsThereIsOneCalmLine(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	env := []string{"DATABASE_URL=" + d.URL()}
	for _, test := range [][2]string{
		{"preview", "nothing to delete (users over the limit of 1,000: 0)\n"},
		{"history", "no run yet\n"},
		{"run", "nothing to delete (users over the limit of 1,000: 0)\n"},
	} {
		if got := onTerminal(t, 80, env, test[0]); got != test[1] {
			t.Errorf("%s shows %q, want %q", test[0], got, test[1])
		}
	}
	d.Exec(pgtest.Inboxes + " WHERE u = 3")
	if got := onTerminal(t, 80, env, "run"); got != "nothing to delete (users over the limit of"+
		" 1,000: 1)\n" {
		t.Errorf("run shows %q for a user with unread notifications only", got)
	}
	if n := pgtest.One[int](d, "SELECT count(*) FROM notification_cleanup_runs"); n != 2 {
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
		{"colour", "NO_COLOR=", true, "applying \x1b[2mname="},
		{
			"NO_COLOR",
			"NO_COLOR=1",
			false,
			"applying name=00001_checks.sql\nmigrated direction=up name=00001_checks.sql duration_seconds=0",
		},
		{"json", "LOG_FORMAT=json", false, `{"time":"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Empty(t)
			got := onTerminal(t, 120, []string{"DATABASE_URL=" + d.URL(), test.env}, "migrate")
			if !strings.HasPrefix(got, test.says) || strings.Contains(got, "\x1b") != test.color {
				t.Errorf("it shows\n%q", got)
			}
		})
	}
	// Elsewhere it is for machines.
	_, stderr, _ := command(t, pgtest.Empty(t), nil, "migrate")
	if !regexp.MustCompile(`^time=\S+ level=INFO msg=applying `).MatchString(stderr) {
		t.Errorf("the log is %s", stderr)
	}
}

func TestARunOnATerminalEndsWithItsRecordAsPeopleReadIt(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	got := onTerminal(t, 80, []string{"DATABASE_URL=" + d.URL(), "TZ=Asia/Tokyo", "NO_COLOR=1"}, "run")
	started := pgtest.One[time.Time](d, "SELECT started_at FROM notification_cleanup_runs")
	inTokyo := started.In(time.FixedZone("", 9*3600)).Format(time.DateTime)
	for _, line := range []string{
		"\nrun                        1  of " + inTokyo + ", finished after ",
		"\nusers over the limit       3  more than 1,000 live notifications\n" +
			"  cleaned                  2  at least one of theirs was deleted\n" +
			"  still over it            1  by what is unread, of another status, or skipped\n" +
			"notifications planned  1,950  read ones, without the newest 100 of each user\n" +
			"  deleted              1,950\n" +
			"  skipped                  0  another session held them\n" +
			"  changed                  0  since the plan, or kept by a trigger\n",
		"planned run run_id=1 users_over_limit=3 notifications_planned=1,950\n",
		"finished run run_id=1 users_cleaned=2 notifications_deleted=1,950" +
			" notifications_skipped=0 notifications_changed=0 duration_seconds=",
	} {
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

func TestAnErrorOnATerminalHasItsHintOnALineOfItsOwn(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	got := onTerminal(t, 80, []string{"DATABASE_URL=" + d.URL()}, "restore", "77")
	if !strings.HasPrefix(got, "notification-cleanup: ") || !strings.Contains(got, "\nDETAIL: ") ||
		!strings.Contains(got, "\nHINT: ") {
		t.Errorf("it is\n%s", got)
	}
	for line := range strings.Lines(got) {
		if len(line) > 81 {
			t.Errorf("%d columns in %q", len(line)-1, line)
		}
	}
}

// Yellow and cyan cannot be read on white, blue cannot on black.
func TestColoursCanBeReadOnWhiteAndOnBlack(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	env := []string{"DATABASE_URL=" + d.URL()}
	shown := onTerminal(t, 80, env, "doctor") + onTerminal(t, 80, env, "suspend", "no") +
		onTerminal(t, 80, env, "run")
	for _, colour := range regexp.MustCompile(`\x1b\[(\d+)m`).FindAllStringSubmatch(shown, -1) {
		// Nothing, faint, red, green, magenta.
		if !slices.Contains([]string{"0", "2", "31", "32", "35"}, colour[1]) {
			t.Errorf("colour %s in\n%q", colour[1], shown)
		}
	}
	for _, colour := range []string{"\x1b[32mok", "\x1b[35mWRN"} {
		if !strings.Contains(shown, colour) {
			t.Errorf("no %q in\n%q", colour, shown)
		}
	}
}
