package model

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
	"pgregory.net/rapid"
)

// Restore undoes a run, or a batch of it, for which the database chooses.
func (m *model) Restore(t *rapid.T) {
	id := rapid.IntRange(1, len(m.runs)+1).Draw(t, "run_id")
	call, size := fmt.Sprintf("SELECT restore_notifications(%d)", id), m.inserted
	if rapid.Bool().Draw(t, "a batch") {
		size = rapid.IntRange(1, 10).Draw(t, "batch_size")
		call = fmt.Sprintf("SELECT coalesce(restore_next_batch(%d, %d), 0)", id, size)
	}
	if id > len(m.runs) {
		m.d.Refused(call, "22023")
		return
	}
	for range rapid.IntRange(1, 3).Draw(t, "calls") {
		m.restore(t, m.runs[id-1], size, call)
	}
}

func (m *model) restore(t *rapid.T, run *modelRun, size int, call string) {
	m.d.Note(call)
	before := m.refused(restore)
	got := pgtest.One[int](m.d, call)
	after := m.refused(restore)
	m.end(t, run, false)
	left := pgtest.All[int](m.d, "SELECT seq FROM notifications WHERE deleted_at = "+run.startedAt)
	deleted := m.where(func(n *notification) bool { return n.deletedAt == run.startedAt })
	restored := deleted.where(func(n *notification) bool { return !slices.Contains(left, n.seq) })
	for _, n := range restored {
		n.deletedAt = null
	}
	m.untrack(restored)
	run.restored += len(restored)
	// What has refused lately is stepped over.
	tries := deleted.where(func(n *notification) bool { return !slices.Contains(before, n) })
	refused := tries.where(func(n *notification) bool { return slices.Contains(after, n) })
	m.wantVetoed(t, restore, call, restored, refused)
	if want := min(size, len(tries)); got != len(restored) || len(restored)+len(refused) != want {
		t.Fatalf("%s is %d, and restored %d, refused %d, want %d",
			call, got, len(restored), len(refused), want)
	}
}

// refused are the notifications that undo or purge steps over, as they refused.
func (m *model) refused(o operation) notifications {
	noted := pgtest.All[int](m.d, fmt.Sprintf(`
		SELECT n.seq
		FROM notification_cleanup_refused AS f
		JOIN notifications AS n
			ON n.tableoid = f.relation AND n.ctid = f.place AND n.deleted_at = f.deleted_at
		WHERE f.operation = '%s'`, o))
	return m.where(func(n *notification) bool { return slices.Contains(noted, n.seq) })
}

// wantVetoed compares what went and what refused with what the application's trigger lets go.
func (m *model) wantVetoed(t *rapid.T, o operation, call string, done, refused notifications) {
	lets := m.lets(o)
	if let := done.where(lets); len(let) != len(done) {
		t.Fatalf("%s did what the trigger vetoes: %v, of which it lets %v", call, done, let)
	}
	if let := refused.where(lets); len(let) > 0 {
		t.Fatalf("%s notes as refused what the trigger lets go: %v", call, let)
	}
}

// Purge lets the database choose among notifications deleted at the same time.
func (m *model) Purge(t *rapid.T) {
	retention, before := "'1 microsecond'", today
	if rapid.Bool().Draw(t, "not all") {
		before = drawTime(t, "06:00:00")
		retention = "now() - timestamptz " + before
	}
	maxRows := rapid.IntRange(1, 10).Draw(t, "max_rows")
	for range rapid.IntRange(1, 3).Draw(t, "calls") {
		m.purge(t, retention, before, maxRows)
	}
}

func (m *model) purge(t *rapid.T, retention, before string, maxRows int) {
	call := fmt.Sprintf("SELECT purge_notifications(%s, %d)", retention, maxRows)
	m.d.Note(call)
	noted := m.refused(purge)
	purged := pgtest.One[int](m.d, call)
	refused := m.refused(purge).where(func(n *notification) bool { return !slices.Contains(noted, n) })
	left := pgtest.All[int](m.d, "SELECT seq FROM notifications")
	gone := m.where(func(n *notification) bool { return !slices.Contains(left, n.seq) })
	m.wantVetoed(t, purge, call, gone, refused)
	got := slices.Concat(gone, refused)
	want := m.where(func(n *notification) bool {
		return n.deletedAt != null && n.deletedAt < before && !slices.Contains(noted, n)
	})
	compare := func(a, b *notification) int { return cmp.Compare(a.deletedAt, b.deletedAt) }
	slices.SortFunc(got, compare)
	slices.SortFunc(want, compare)
	want = want[:min(maxRows, len(want))]
	if purged != len(gone) || slices.CompareFunc(got, want, compare) != 0 {
		t.Fatalf("purge_notifications is %d, and tried %v, want %v", purged, got, want)
	}
	m.remove(gone)
}
