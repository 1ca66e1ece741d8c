package rule

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestOnlyTheUsersOfTheList(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Insert(pgtest.Bob, "read", 2001, 3001)
	d.Insert(pgtest.Carol, "read", 4001, 5000) // not over the limit
	d.WantCleanup(
		pgtest.UserIDs(pgtest.Bob, pgtest.Carol),
		"2001-2901",
		pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901},
	)
}

func TestUsersMayBeListedTwice(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.WantCleanup(
		pgtest.UserIDs(pgtest.Alice, pgtest.Bob, pgtest.Alice),
		"1-901",
		pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901},
	)
}

func TestNullInTheListIsNobody(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, pgtest.NullableTable)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Insert(pgtest.Bob, "read", 2001, 3001)
	d.Set("user_id = NULL", 2001, 3001)
	d.WantCleanup(
		"user_ids => ARRAY[NULL, "+pgtest.Key(pgtest.Alice)+"]",
		"1-901",
		pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901},
	)
}
