package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
	"pgregory.net/rapid"
)

func (m *model) Insert(t *rapid.T) {
	var rows []string
	owners := append(users, null)
	if pgtest.OnCitus() {
		owners = users // a row without a user has no shard
	}
	for _, user := range owners {
		for _, n := range rapid.SliceOfN(someNotification, 0, 12).Draw(t, user) {
			m.inserted++
			n.id, n.user = m.inserted, user
			m.notifications = append(m.notifications, &n)
			rows = append(rows, n.String())
		}
	}
	if rows != nil {
		const into = "INSERT INTO notifications (id, user_id, status, created_at, deleted_at) VALUES\n"
		m.d.Exec(into + strings.Join(rows, ",\n"))
	}
}

// change changes a few notifications by a statement, and returns them to do the same.
func (m *model) change(t *rapid.T, statement string) notifications {
	first := rapid.IntRange(1, m.inserted+1).Draw(t, "first")
	last := first + rapid.IntRange(0, 5).Draw(t, "more")
	m.d.Exec(fmt.Sprintf("%s WHERE id BETWEEN %d AND %d", statement, first, last))
	touched := m.where(func(n *notification) bool { return first <= n.id && n.id <= last })
	m.untrack(touched)
	return touched
}

// untrack is for notifications that may lie elsewhere now: whether a run that is not through still
// takes them depends on that.
func (m *model) untrack(touched notifications) {
	for _, run := range m.runs {
		for _, share := range run.shares {
			share.untouched = share.untouched.where(
				func(n *notification) bool { return !slices.Contains(touched, n) },
			)
		}
	}
}

func (m *model) UserMarks(t *rapid.T) {
	status := rapid.SampledFrom([]string{"'read'", "'unread'"}).Draw(t, "status")
	for _, n := range m.change(t, "UPDATE notifications SET status = "+status) {
		n.status = status
	}
}

func (m *model) UserSoftDeletes(t *rapid.T) {
	deletedAt := drawTime(t, "06:00:00")
	for _, n := range m.change(
		t, "UPDATE notifications SET deleted_at = coalesce(deleted_at, "+deletedAt+")",
	).where(isLive) {
		n.deletedAt = deletedAt
	}
}

func (m *model) UserDeletes(t *rapid.T) { m.remove(m.change(t, "DELETE FROM notifications")) }

func (m *model) remove(gone notifications) {
	m.notifications = m.where(func(n *notification) bool { return !slices.Contains(gone, n) })
}
