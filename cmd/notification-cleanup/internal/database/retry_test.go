package database

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// failing tries something again that fails each time after so long, with the errors in turn, and
// returns how often and how long it was tried, and what the log says.
func failing(
	t *testing.T,
	after time.Duration,
	codes ...string,
) (attempts int, took time.Duration, log string) {
	t.Helper()
	var lines bytes.Buffer
	d := &Database{log: slog.New(slog.NewTextHandler(&lines, nil))}
	d.wrote.Store(true)
	start := time.Now()
	err := d.retry(t.Context(), func(context.Context) error {
		time.Sleep(after)
		code := codes[min(attempts, len(codes)-1)]
		attempts++
		return &pgconn.PgError{Code: code, Message: "no " + code}
	})
	if want := codes[len(codes)-1]; state(err) != want {
		t.Errorf("it ends with %v, want %s", err, want)
	}
	return attempts, time.Since(start), lines.String()
}

func TestTriesAgainForHalfAMinuteAndSaysSoFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(30 * time.Second).Format("15:04:05")
		attempts, took, log := failing(t, 0, "57P03")
		if attempts < 9 || took < 30*time.Second || took > 37*time.Second {
			t.Errorf("%d attempts in %s", attempts, took)
		}
		lines := strings.Split(strings.TrimSpace(log), "\n")
		if len(lines) != 3 || !strings.Contains(lines[0], " msg=retrying until=") ||
			!strings.Contains(lines[0], "T"+until) ||
			!strings.Contains(lines[2], `msg="still retrying"`) {
			t.Errorf("the log is\n%s", log)
		}
	})
}

func TestLogsEachOtherErrorOfARetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, _, log := failing(t, 0, "57P01", "57P03", "57P03", "22023")
		if strings.Count(log, "no 57P01") != 1 || strings.Count(log, "no 57P03") != 1 {
			t.Errorf("the log is\n%s", log)
		}
	})
}

func TestTriesThreeTimesAgainWhateverAnAttemptTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if attempts, _, log := failing(t, time.Minute, "40P01"); attempts != 4 {
			t.Errorf("%d attempts\n%s", attempts, log)
		}
	})
}

func TestTriesAgainNothingThatStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if attempts, _, log := failing(t, 0, "22023"); attempts != 1 || log != "" {
			t.Errorf("%d attempts\n%s", attempts, log)
		}
	})
}

// Who has not written yet talks to a standby; who has, to a primary that may be one again.
func TestReadOnlyIsTriedAgainByWhoHasWritten(t *testing.T) {
	t.Parallel()
	d := &Database{}
	if d.mayBeGone(&pgconn.PgError{Code: readOnly}) {
		t.Error("it waits for a standby")
	}
	if d.mayBeGone(errors.New("no")) {
		t.Error("it tries again what it does not know")
	}
}
