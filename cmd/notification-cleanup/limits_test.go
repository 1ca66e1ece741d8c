package main

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestTheProgramDrawsTheLimits(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1400)
	d.Insert(pgtest.Bob, "unread", 2001, 2200)
	d.Insert(pgtest.Carol, "read", 3001, 3350)
	for user := 10; user < 30; user++ {
		d.Insert(user, "read", 1000*user, 1000*user+99)
	}
	stdout, stderr, status := command(
		t,
		d,
		nil,
		"limits",
		"--max-notifications",
		"300",
		"--min-keep",
		"50",
	)
	want := pgtest.All[string](d, `
		SELECT row_to_json(l)::text
		FROM preview_notification_limits('{100,250,300,500,1000,2000,5000,10000}', 50) AS l`)
	if status != 0 || stdout != strings.Join(want, "\n")+"\n" {
		t.Errorf("exit status %d, stdout %s, stderr %s, want %s", status, stdout, stderr, want)
	}
	bar := func(n int) string { return strings.Repeat("█", n) }
	drawing := ` limit  users over it  still over it  to delete  of all
   150              3              1      1,450  36.7 %  ` + bar(25) + `
   250              2              0      1,450  36.7 %  ` + bar(25) + `
   500              1              0      1,250  31.6 %  ` + bar(22) + `
 1,000              1              0      1,250  31.6 %  ` + bar(22) + `
 2,000              0              0          0   0.0 %
 5,000              0              0          0   0.0 %
10,000              0              0          0   0.0 %

notifications    users  (logarithmic)
1 to 150            20  ` + bar(25) + `
151 to 250           1  ` + bar(6) + `
251 to 500           1  ` + bar(6) + `
501 to 1,000         0
1,001 to 2,000       1  ` + bar(6) + `
2,001 to 5,000       0
5,001 to 10,000      0
10,001 and more      0
`
	got := asText(t, d, "limits", "--max-notifications", "150", "--min-keep", "150")
	if got != drawing {
		t.Errorf("it draws\n%swant\n%s", got, drawing)
	}
}

func TestTheProgramDrawsTheLimitsOfNothing(t *testing.T) {
	t.Parallel()
	if got := asText(t, pgtest.New(t), "limits"); strings.Count(got, "\n") != 18 ||
		strings.Contains(got, "█") {
		t.Errorf("it draws\n%s", got)
	}
}

func TestTheBarsOfLimitsFitOnTheTerminal(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	for _, columns := range []uint16{80, 60} {
		shown := onTerminal(t, columns, []string{"DATABASE_URL=" + d.URL()}, "limits")
		for line := range strings.Lines(shown) {
			if strings.HasPrefix(strings.TrimSpace(line), "█") {
				t.Errorf("a bar is folded on %d columns:\n%s", columns, shown)
			}
		}
	}
}
