package rule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// candidates are users around some limits: read, unread, archived and both, some dated in the
// future, one without a name.
func candidates(d *pgtest.Database) {
	d.T.Helper()
	for user, inbox := range [][3]int{
		{5, 0, 0}, {10, 0, 0}, {11, 0, 0}, {6, 6, 0}, {0, 12, 0}, {14, 11, 2}, {30, 1, 0}, {31, 0, 9},
		{3, 40, 0},
	} {
		first := 1000 * (user + 1)
		for i, status := range []string{"read", "unread", "archived"} {
			d.Insert(user+1, status, first+300*i, first+300*i+inbox[i]-1)
		}
	}
	d.Set("created_at = 'infinity'", 7000, 7003)
	d.Set("deleted_at = '2025-06-01Z'", 8000, 8004)
	d.Exec(`
		ALTER TABLE notifications ALTER user_id DROP NOT NULL;
		INSERT INTO notifications (status) VALUES ('read')`)
}

const limitsOf = `
	SELECT (max_notifications, users_over_limit, deletable_notifications, deletable_percent,
		users_still_over_limit)::text
	FROM preview_notification_limits`

func TestEachLimitDoesWhatItsPreviewSays(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	candidates(d)
	for _, keep := range []int{0, 1, 5, 10} {
		var want []string
		for _, limit := range []int{10, 11, 12, 30, 31, 42, 2147483647} {
			want = append(want, pgtest.One[string](d, fmt.Sprintf(`
				SELECT (%d, count(*), coalesce(sum(p.deletable_notifications), 0),
					round(100 * coalesce(sum(p.deletable_notifications), 0) / (SELECT count(*) FROM notifications
						WHERE deleted_at IS NULL),
						1),
					count(*) FILTER (WHERE p.total_notifications - p.deletable_notifications > %[1]d))::text
				FROM preview_notification_cleanup(%[1]d, %d) AS p`, limit, keep)))
		}
		got := pgtest.All[string](
			d,
			fmt.Sprintf("%s('{42,10,30,11,12,30,2147483647,31}', %d)", limitsOf, keep),
		)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("with min_keep %d the limits are\n%s, want\n%s", keep, got, want)
		}
	}
}

func TestLimitsOfAnEmptyTable(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(pgtest.All[string](
		pgtest.New(t), limitsOf+"('{500,100}')",
	)); got != "[(100,0,0,0.0,0) (500,0,0,0.0,0)]" {
		t.Error(got)
	}
}

func TestManyLimitsReadEachInboxOnce(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 300)
	d.Insert(pgtest.Bob, "unread", 1001, 1200)
	d.Insert(pgtest.Carol, "read", 2001, 2090)
	d.Exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
	d.Vacuum("notifications")
	read := func(limits string) int {
		session := d.OpenSession() // which has no other statistics
		session.Exec(
			"BEGIN; SET LOCAL enable_seqscan = off; SELECT preview_notification_limits('" + limits +
				"', 10)",
		)
		return pgtest.One[int](session, pgtest.RowsRead)
	}
	if one, many := read("{100}"), read("{100,150,200,250,300,350}"); one != many || one == 0 {
		t.Errorf("%d rows were read for one limit, %d for six", one, many)
	}
}

func TestLimitsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 300)
	for _, arguments := range []string{
		"NULL", "'{}'", "'{0}'", "'{0}', 0", "'{1000,-1}'", "'{1000,NULL}'", "'{NULL}'", "'{1000,99}'",
		"min_keep => 101", "min_keep => -1", "min_keep => NULL",
	} {
		if err := d.Refused(
			"SELECT preview_notification_limits("+arguments+")", "22023",
		); err.Hint == "" ||
			!strings.HasPrefix(err.Message, "invalid limits: limits => ") {
			t.Errorf("%s: %s HINT %s", arguments, err.Message, err.Hint)
		}
	}
}

func TestLimitsMayBeComparedInAReadOnlyTransaction(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 300)
	d.Exec("SET default_transaction_read_only = on")
	if got := pgtest.One[string](d, limitsOf+"('{100}')"); got != "(100,1,200,66.7,0)" {
		t.Error(got)
	}
	if got := pgtest.One[string](d, `
		SELECT provolatile::text
		FROM pg_proc
		WHERE proname = 'preview_notification_limits'`); got != "s" {
		t.Errorf("its volatility is %s", got)
	}
}
