package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/sethvargo/go-envconfig"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/terminal"
)

// logged is what the log says of these notices, of which one comes every half second.
func logged(t *testing.T, notices ...*pgconn.Notice) string {
	t.Helper()
	var log bytes.Buffer
	synctest.Test(t, func(*testing.T) {
		a := newApp(envconfig.MapLookuper(nil), &bytes.Buffer{}, &log)
		a.log = terminal.NewLog(a.stderr, false)
		handle := a.logNotices()
		for _, notice := range notices {
			handle(nil, notice)
			time.Sleep(time.Second / 2)
		}
	})
	return log.String()
}

func TestARunThatWaitsSaysSoTwiceAMinute(t *testing.T) {
	t.Parallel()
	var notices []*pgconn.Notice
	for range 2 * 119 { // two minutes, but for a second
		notices = append(notices, &pgconn.Notice{
			SeverityUnlocalized: "NOTICE",
			Message:             "run 7: waiting, a standby is behind",
		})
	}
	if log := logged(t, notices...); strings.Count(log, "run 7: waiting") != 4 {
		t.Errorf("in two minutes the log says\n%s", log)
	}
}

func TestTheLogHasTheServersWarningsAndNoOtherNotices(t *testing.T) {
	t.Parallel()
	log := logged(t,
		&pgconn.Notice{SeverityUnlocalized: "WARNING", Message: "first", Hint: "do it"},
		&pgconn.Notice{SeverityUnlocalized: "WARNING", Message: "second"},
		&pgconn.Notice{SeverityUnlocalized: "NOTICE", Message: "third"})
	if lines := strings.Split(strings.TrimSpace(log), "\n"); len(lines) != 2 ||
		!strings.HasSuffix(lines[0], `level=WARN msg=first hint="do it"`) ||
		!strings.HasSuffix(lines[1], "level=WARN msg=second") {
		t.Errorf("the log says\n%s", log)
	}
}
