package rule

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestExactlyAtTheLimitNothingHappens(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1000)
	d.WantCleanup("", "", pgtest.Counts{})
}

func TestOneOverTheLimitKeepsTheHundredNewest(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.WantCleanup("", "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestReadAndUnreadCountTogether(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 600)
	d.Insert(pgtest.Alice, "unread", 601, 1000)
	d.Insert(pgtest.Bob, "read", 1001, 1600)
	d.Insert(pgtest.Bob, "unread", 1601, 2001)
	d.WantCleanup("", "1001-1500", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 500})
}

func TestLimitIsEachUsersOwn(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 600)
	d.Insert(pgtest.Bob, "read", 601, 1200)
	d.WantCleanup("", "", pgtest.Counts{})
}

func TestAllUnreadStaysOverTheLimit(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "unread", 1, 1500)
	d.WantCleanup("", "", pgtest.Counts{OverLimit: 1, StillOver: 1})
}

func TestHundredReadAreAllKept(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 100)
	d.Insert(pgtest.Alice, "unread", 101, 1001)
	d.WantCleanup("", "", pgtest.Counts{OverLimit: 1, StillOver: 1})
}

func TestHundredAndFirstReadIsDeleted(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 101)
	d.Insert(pgtest.Alice, "unread", 102, 1001)
	d.WantCleanup("", "1", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 1})
}

func TestUnreadMayKeepACleanedUserOverTheLimit(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 102)
	d.Insert(pgtest.Alice, "unread", 103, 1002)
	d.Insert(pgtest.Bob, "read", 2001, 2102)
	d.Insert(pgtest.Bob, "unread", 2103, 3003)
	d.WantCleanup(
		"",
		"1-2 2001-2002",
		pgtest.Counts{OverLimit: 2, Cleaned: 2, StillOver: 1, Deleted: 4},
	)
}

func TestMinKeepMayBeZero(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.WantCleanup("min_keep => 0", "1-1001", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 1001})
}

func TestMinKeepMayBeTheLimit(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.WantCleanup("min_keep => 1000", "1", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 1})
}

func TestOtherLimits(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 4)
	d.Insert(pgtest.Bob, "read", 11, 13)
	d.WantCleanup("2147483647, 2147483647", "", pgtest.Counts{})
	run := d.WantCleanup("3, 1", "1-3", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 3})
	if run.MaxNotifications != 3 || run.MinKeep != 1 {
		t.Errorf("the record says max_notifications %d, min_keep %d", run.MaxNotifications, run.MinKeep)
	}
	d.WantCleanup("1, 1", "11-12", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 2})
}

func TestHundredNewestOverallAlwaysStay(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	for user := pgtest.Alice; user <= pgtest.Carol; user++ {
		d.Insert(user, "read", user*2000, user*2000+1500)
	}
	d.Exec("UPDATE notifications SET status = 'unread' WHERE hashtext(id::text) % 3 = 0")
	d.Cleanup("")
	const stay = `SELECT count(*) FROM (
			SELECT row_number() OVER (PARTITION BY user_id ORDER BY created_at DESC, id DESC) AS newest,
				deleted_at
			FROM notifications
		) AS ranked WHERE newest <= 100 AND deleted_at IS NULL`
	if got := pgtest.One[int](d, stay); got != 300 {
		t.Errorf("of the 300 newest of three users, %d stay", got)
	}
}

func TestSecondRunChangesNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1500)
	d.Insert(pgtest.Bob, "unread", 2001, 3500)
	d.Insert(pgtest.Bob, "read", 3501, 3700)
	d.WantCleanup(
		"",
		"1-1400 3501-3600",
		pgtest.Counts{OverLimit: 2, Cleaned: 2, StillOver: 1, Deleted: 1500},
	)
	d.WantCleanup("", "", pgtest.Counts{OverLimit: 1, StillOver: 1})
}
