package main

import (
	"strings"
	"testing"
	"time"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestOnASmallScreenReasonsStandBelowAndIDsAreWhole(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1100)
	env := []string{"DATABASE_URL=" + d.URL(), "TZ=Asia/Tokyo"}
	const row = `
		SELECT id || '  ' || to_char(created_at AT TIME ZONE 'Asia/Tokyo', 'YYYY-MM-DD HH24:MI:SS')
		FROM notifications
		ORDER BY created_at, id
		LIMIT 1`
	last := pgtest.One[string](d, row)
	user := pgtest.One[string](d, "SELECT min(user_id::text) FROM notifications")
	for columns, want := range map[uint16]string{
		80: last + "   1,100  would go\n" +
			"  the user has 1100 live ones, more than 1000, and it is not one of the 100\n" +
			"  newest read ones\n",
		160: last + "   1,100  would go  the user has 1100 live ones, more than 1000, " +
			"and it is not one of the 100",
	} {
		got := onTerminal(t, columns, env, "explain", user)
		lines := strings.SplitAfter(strings.TrimSuffix(got, "\n"), "\n")
		tail := strings.Join(lines[max(0, len(lines)-3):], "")
		if !strings.Contains(tail+"\n", want) {
			t.Errorf("on %d columns it ends with\n%s\nwant\n%s", columns, tail, want)
		}
	}
}

func TestExplainWritesTimesAsTheyAreMeant(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"2025-12-03 06:40:39.01756+00":    "2025-12-03 06:40:39",
		"2025-12-03 06:40:39+05:45":       "2025-12-03 00:55:39",
		"2025-12-03 06:40:39.5":           "2025-12-03 06:40:39",
		"infinity":                        "infinity",
		"0044-03-15 12:00:00+00 BC":       "0044-03-15 12:00:00+00 BC",
		"":                                "",
		"2025-12-03 06:40:39.01756-03:30": "2025-12-03 10:10:39",
	} {
		if utc, err := time.Parse(time.DateTime, want); err == nil {
			want = utc.Local().Format(time.DateTime)
		}
		if got := (explained{CreatedAt: at}).time(); got != want {
			t.Errorf("%q is %q, want %q", at, got, want)
		}
	}
}
