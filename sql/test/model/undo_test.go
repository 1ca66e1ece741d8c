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
	m.d.Note(call)
	got, run := pgtest.One[int](m.d, call), m.runs[id-1]
	m.end(t, run, false)
	left := pgtest.All[int](m.d, "SELECT id FROM notifications WHERE deleted_at = "+run.startedAt)
	deleted := m.where(func(n *notification) bool { return n.deletedAt == run.startedAt })
	restored := deleted.where(func(n *notification) bool { return !slices.Contains(left, n.id) })
	for _, n := range restored {
		n.deletedAt = null
	}
	m.untrack(restored)
	run.restored += len(restored)
	if want := min(size, len(deleted)); got != want || len(restored) != want {
		t.Fatalf("%s is %d, and restored %d, want %d", call, got, len(restored), want)
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
	call := fmt.Sprintf("SELECT purge_notifications(%s, %d)", retention, maxRows)
	m.d.Note(call)
	purged := pgtest.One[int](m.d, call)
	left := pgtest.All[int](m.d, "SELECT id FROM notifications")
	got := m.where(func(n *notification) bool { return !slices.Contains(left, n.id) })
	want := m.where(func(n *notification) bool { return n.deletedAt != null && n.deletedAt < before })
	compare := func(a, b *notification) int { return cmp.Compare(a.deletedAt, b.deletedAt) }
	slices.SortFunc(got, compare)
	slices.SortFunc(want, compare)
	want = want[:min(maxRows, len(want))]
	if purged != len(got) || slices.CompareFunc(got, want, compare) != 0 {
		t.Fatalf("purge_notifications is %d, and purged %v, want %v", purged, got, want)
	}
	m.remove(got)
}
