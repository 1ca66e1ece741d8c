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
	owners := append(m.users(), null)
	if pgtest.OnCitus() {
		owners = m.users() // a row without a user has no shard
	}
	for _, user := range owners {
		for range rapid.IntRange(0, 12).Draw(t, user) {
			n := m.drawNotification(t, user)
			m.notifications = append(m.notifications, n)
			row := *n
			row.user = m.drawSpelling(t, user)
			rows = append(rows, row.String())
		}
	}
	if rows != nil {
		const into = "INSERT INTO notifications (seq, id, user_id, status, created_at, deleted_at)"
		m.d.Exec(into + " VALUES\n" + strings.Join(rows, ",\n"))
	}
}

// users are those whom the column takes.
func (m *model) users() []string {
	users := m.kind.users.users
	if m.takes.users > 0 {
		users = users[:m.takes.users]
	}
	return slices.Clone(users)
}

func (m *model) drawSpelling(t *rapid.T, user string) string {
	if user == null {
		return null
	}
	return rapid.SampledFrom(m.kind.users.spellings(user)).Draw(t, "spelled")
}

// change changes a few notifications by a statement, and returns them to do the same.
func (m *model) change(t *rapid.T, statement string) notifications {
	first := rapid.IntRange(1, m.inserted+1).Draw(t, "first")
	last := first + rapid.IntRange(0, 5).Draw(t, "more")
	m.d.Exec(fmt.Sprintf("%s WHERE seq BETWEEN %d AND %d", statement, first, last))
	touched := m.where(func(n *notification) bool { return first <= n.seq && n.seq <= last })
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
	).where(isLive).where(m.lets(softDelete)) {
		m.softDelete(n, deletedAt)
	}
}

// softDelete does it in the model: the database has done so.
func (m *model) softDelete(n *notification, deletedAt string) {
	n.deletedAt = deletedAt
	m.kind.trigger.deleted(n)
}

func (m *model) UserDeletes(t *rapid.T) {
	m.remove(m.change(t, "DELETE FROM notifications").where(m.lets(purge)))
}

// lets is whether the application's trigger lets a notification be deleted, or restored.
func (m *model) lets(o operation) func(*notification) bool {
	return func(n *notification) bool { return !m.kind.trigger.vetoes(o, n) }
}

func (m *model) remove(gone notifications) {
	m.notifications = m.where(func(n *notification) bool { return !slices.Contains(gone, n) })
}
