package main

import (
	"fmt"
	"strings"
	"testing"
)

// candidates are users around some limits: read, unread, archived and both, some dated in the future, one without a name.
func (d *database) candidates() {
	d.t.Helper()
	for user, inbox := range [][3]int{{5, 0, 0}, {10, 0, 0}, {11, 0, 0}, {6, 6, 0}, {0, 12, 0}, {14, 11, 2}, {30, 1, 0}, {31, 0, 9}, {3, 40, 0}} {
		first := 1000 * (user + 1)
		for i, status := range []string{"read", "unread", "archived"} {
			d.insert(user+1, status, first+300*i, first+300*i+inbox[i]-1)
		}
	}
	d.set("created_at = 'infinity'", 7000, 7003)
	d.set("deleted_at = '2025-06-01Z'", 8000, 8004)
	d.exec("ALTER TABLE notifications ALTER user_id DROP NOT NULL; INSERT INTO notifications (status) VALUES ('read')")
}

const limitsOf = "SELECT (max_notifications, users_over_limit, deletable_notifications, deletable_percent, users_still_over_limit)::text FROM preview_notification_limits"

func TestEachLimitDoesWhatItsPreviewSays(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.candidates()
	for _, keep := range []int{0, 1, 5, 10} {
		var want []string
		for _, limit := range []int{10, 11, 12, 30, 31, 42, 2147483647} {
			want = append(want, one[string](d, fmt.Sprintf(`
				SELECT (%d, count(*), coalesce(sum(p.deletable_notifications), 0),
					round(100 * coalesce(sum(p.deletable_notifications), 0) / (SELECT count(*) FROM notifications WHERE deleted_at IS NULL), 1),
					count(*) FILTER (WHERE p.total_notifications - p.deletable_notifications > %[1]d))::text
				FROM preview_notification_cleanup(%[1]d, %d) AS p`, limit, keep)))
		}
		got := all[string](d, fmt.Sprintf("%s('{42,10,30,11,12,30,2147483647,31}', %d)", limitsOf, keep))
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("with min_keep %d the limits are\n%s, want\n%s", keep, got, want)
		}
	}
}

func TestLimitsOfAnEmptyTable(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(all[string](newDatabase(t), limitsOf+"('{500,100}')")); got != "[(100,0,0,0.0,0) (500,0,0,0.0,0)]" {
		t.Error(got)
	}
}

func TestManyLimitsReadEachInboxOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 300)
	d.insert(bob, "unread", 1001, 1200)
	d.insert(carol, "read", 2001, 2090)
	d.exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
	d.vacuum("notifications")
	read := func(limits string) int {
		session := d.openSession() // which has no other statistics
		session.exec("BEGIN; SET LOCAL enable_seqscan = off; SELECT preview_notification_limits('" + limits + "', 10)")
		return one[int](session, rowsRead)
	}
	if one, many := read("{100}"), read("{100,150,200,250,300,350}"); one != many || one == 0 {
		t.Errorf("%d rows were read for one limit, %d for six", one, many)
	}
}

func TestLimitsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 300)
	for _, arguments := range []string{
		"NULL", "'{}'", "'{0}'", "'{1000,-1}'", "'{1000,NULL}'", "'{NULL}'", "'{1000,99}'", "min_keep => 101", "min_keep => -1", "min_keep => NULL",
	} {
		if err := d.refused("SELECT preview_notification_limits("+arguments+")", "22023"); err.Hint == "" || !strings.HasPrefix(err.Message, "invalid limits: limits => ") {
			t.Errorf("%s: %s HINT %s", arguments, err.Message, err.Hint)
		}
	}
}

func TestLimitsMayBeComparedInAReadOnlyTransaction(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 300)
	d.exec("SET default_transaction_read_only = on")
	if got := one[string](d, limitsOf+"('{100}')"); got != "(100,1,200,66.7,0)" {
		t.Error(got)
	}
	if got := one[string](d, "SELECT provolatile::text FROM pg_proc WHERE proname = 'preview_notification_limits'"); got != "s" {
		t.Errorf("its volatility is %s", got)
	}
}

func TestTheProgramDrawsTheLimits(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1400)
	d.insert(bob, "unread", 2001, 2200)
	d.insert(carol, "read", 3001, 3350)
	for user := 10; user < 30; user++ {
		d.insert(user, "read", 1000*user, 1000*user+99)
	}
	stdout, stderr, status := command(t, d, nil, "limits", "-max-notifications", "300", "-min-keep", "50")
	want := all[string](d, "SELECT row_to_json(l)::text FROM preview_notification_limits('{100,250,300,500,1000,2000,5000,10000}', 50) AS l")
	if status != 0 || stdout != strings.Join(want, "\n")+"\n" {
		t.Errorf("exit status %d, stdout %s, stderr %s, want %s", status, stdout, stderr, want)
	}
	bar := func(n int) string { return strings.Repeat("█", n) }
	drawing := ` limit  users over it  even then  to delete  of all
   150              3          1      1,450    36.7 %  ` + bar(25) + `
   250              2          0      1,450    36.7 %  ` + bar(25) + `
   500              1          0      1,250    31.6 %  ` + bar(22) + `
 1,000              1          0      1,250    31.6 %  ` + bar(22) + `
 2,000              0          0          0     0.0 %
 5,000              0          0          0     0.0 %
10,000              0          0          0     0.0 %

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
	if got := asText(t, d, "limits", "-max-notifications", "150", "-min-keep", "150"); got != drawing {
		t.Errorf("it draws\n%swant\n%s", got, drawing)
	}
}

func TestTheProgramDrawsTheLimitsOfNothing(t *testing.T) {
	t.Parallel()
	if got := asText(t, newDatabase(t), "limits"); strings.Count(got, "\n") != 18 || strings.Contains(got, "█") {
		t.Errorf("it draws\n%s", got)
	}
}
