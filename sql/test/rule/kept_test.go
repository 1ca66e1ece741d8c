package rule

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestKeepsUnread(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "unread", 1, 500)
	d.Insert(pgtest.Alice, "read", 501, 1001)
	d.WantCleanup("", "501-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 401})
}

func TestNewestIsTheLastCreatedNotTheHighestID(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Set("created_at = timestamptz '2025-01-01Z' - (created_at - timestamptz '2025-01-01Z')", 1, 1001)
	d.WantCleanup("", "101-1001", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestTiesOnCreatedAtAreBrokenByID(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1500)
	d.Set("created_at = timestamptz '2025-02-01Z'", 301, 1500)
	d.WantCleanup("", "1-1400", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 1400})
}

func TestKeepsOtherStatuses(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1200)
	for i, status := range []string{"'archived'", "'READ'", "'read '", "''", "NULL"} {
		d.Set("status = "+status, 1+100*i, 100+100*i)
	}
	d.WantCleanup("", "501-1100", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 600})
}

func TestOtherStatusesCountAsLive(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Set("status = NULL", 102, 500)
	d.Set("status = 'archived'", 501, 1001)
	d.WantCleanup("", "1", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 1})
}

func TestFutureTakesNoKeptPlace(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1100)
	d.Set("created_at = '2999-01-01'", 1001, 1050)
	d.Set("created_at = 'infinity'", 1051, 1100)
	d.WantCleanup("", "1-900", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 900})
}

func TestFutureIsNeverDeleted(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1100)
	d.Set("created_at = '2999-01-01'", 1, 50)
	d.Set("created_at = 'infinity'", 51, 100)
	d.WantCleanup("min_keep => 0", "101-1100", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 1000})
}

func TestFutureBeginsAfterTheRunHasStarted(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 10)
	d.Exec("ALTER TABLE notification_cleanup_runs ALTER started_at SET DEFAULT '2025-01-01 00:05Z'")
	d.Set("created_at = created_at + interval '1 microsecond'", 5, 5)
	d.WantCleanup("3, 0", "1-4", pgtest.Counts{OverLimit: 1, Cleaned: 1, StillOver: 1, Deleted: 4})
	d.Exec("SELECT restore_notifications(1); DELETE FROM notification_cleanup_runs")
	d.Set("created_at = created_at - interval '1 microsecond'", 5, 5)
	d.WantCleanup("3, 0", "1-5", pgtest.Counts{OverLimit: 1, Cleaned: 1, StillOver: 1, Deleted: 5})
}

func TestInfinitelyOldIsTheOldest(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Set("created_at = '-infinity'", 901, 1001)
	d.WantCleanup("", "1-800 901-1001", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestUnknownCreatedAtTakesNoKeptPlace(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, pgtest.NullableTable)
	d.Insert(pgtest.Alice, "read", 1, 1100)
	d.Set("created_at = NULL", 1001, 1100)
	d.WantCleanup("", "1-900", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 900})
}

func TestUnknownCreatedAtIsNeverDeleted(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, pgtest.NullableTable)
	d.Insert(pgtest.Alice, "read", 1, 1100)
	d.Set("created_at = NULL", 1, 100)
	d.WantCleanup("min_keep => 0", "101-1100", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 1000})
}

func TestNotificationsWithoutUserAreLeftAlone(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, pgtest.NullableTable)
	d.Insert(pgtest.Alice, "read", 1, 1500)
	d.Set("user_id = NULL", 1, 1500)
	d.WantCleanup("", "", pgtest.Counts{})
	if got := d.Preview(""); len(got) != 0 {
		t.Errorf("preview %v, want nobody", got)
	}
	d.WantStats("", "1500 0 0")
}

func TestDeletedOnesDoNotCount(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1500)
	d.Set("deleted_at = '2025-03-01Z'", 1, 500)
	d.WantCleanup("", "", pgtest.Counts{})
}

func TestDeletedOnesTakeNoKeptPlaceAndKeepTheirDeletedAt(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1201)
	d.Set("deleted_at = '2025-03-01Z'", 1, 100)
	d.Set("deleted_at = '2025-03-01Z'", 1102, 1201)
	d.WantCleanup("", "101-1001", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
	if got := d.Numbers("deleted_at = '2025-03-01Z'"); got != "1-100 1102-1201" {
		t.Errorf("deleted before and unchanged are %q", got)
	}
}

func TestChangesNothingButDeletedAt(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	const rest = `
		SELECT md5(string_agg((to_jsonb(n) - 'deleted_at')::text, ',' ORDER BY id))
		FROM notifications AS n`
	before := pgtest.One[string](d, rest)
	d.Cleanup("")
	if pgtest.One[string](d, rest) != before {
		t.Error("another column has changed too")
	}
}
