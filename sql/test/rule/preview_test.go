package rule

import (
	"fmt"
	"slices"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestPreviewIsWhatTheRunDeletes(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertMixed()
	d.WantPreview(
		"",
		pgtest.PreviewOf(pgtest.Bob, 1001, 0, 901),
		pgtest.PreviewOf(pgtest.Alice, 1090, 50, 830),
		pgtest.PreviewOf(pgtest.Carol, 1001, 1001, 0),
	)
	run := d.WantCleanup(
		"",
		"171-1000 2001-2901",
		pgtest.Counts{OverLimit: 3, Cleaned: 2, StillOver: 1, Deleted: 1731},
	)
	deleted := pgtest.All[int64](d, fmt.Sprintf(`
		SELECT count(*) FROM notifications WHERE deleted_at = (%s) GROUP BY user_id ORDER BY 1 DESC`,
		pgtest.StartedAtOf(run)))
	if !slices.Equal(deleted, []int64{901, 830}) {
		t.Errorf("deleted for each user: %v", deleted)
	}
	d.WantPreview("", pgtest.PreviewOf(pgtest.Carol, 1001, 1001, 0))
}

func TestPreviewTakesLimits(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 5)
	d.Insert(pgtest.Bob, "read", 11, 14)
	d.WantPreview("4, 1", pgtest.PreviewOf(pgtest.Alice, 5, 0, 4))
	d.WantPreview(
		"max_notifications => 3, min_keep => 0",
		pgtest.PreviewOf(pgtest.Alice, 5, 0, 5),
		pgtest.PreviewOf(pgtest.Bob, 4, 0, 4),
	)
}

func TestPreviewAndStatsOfNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.WantPreview("")
	d.WantStats("", "0 0 0")
}

func TestStatsAddUp(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertMixed()
	d.WantStats("", "4092 4 3")
	d.WantStats("max_notifications => 1001", "4092 4 1")
	d.Cleanup("")
	d.WantStats("", "2361 4 1")
}
