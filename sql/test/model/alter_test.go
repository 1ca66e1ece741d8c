package model

import (
	"fmt"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
	"pgregory.net/rapid"
)

// Alter gives a column its other type, once in a case.
func (m *model) Alter(t *rapid.T) {
	a := m.kind.alters
	if a.column == "" || m.isAltered || rapid.IntRange(0, 2).Draw(t, "not yet") > 0 {
		t.Skip("nothing is altered")
	}
	m.isAltered, m.takes = true, a.after
	if !a.isOther {
		m.d.Exec(a.statement(a.to))
		return
	}
	to := a.to
	if pgtest.One[string](m.d, "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"+
		" WHERE attrelid = 'notifications'::regclass AND attname = '"+a.column+"'") == to {
		to = a.from // a case before has altered it
	}
	m.d.Exec(a.statement(to))
	m.adoptAnew()
}

// begin is for the first case and the next ones, in which nothing is in the table yet. What takes
// the same values needs not be altered back, unless a case has failed before it was adopted.
func (a alteration) begin(d *pgtest.Database) {
	const adopted = "SELECT count(*) = 0 FROM notification_column_problems()"
	switch {
	case a.column == "":
	case !a.isOther:
		d.Exec(a.statement(a.from))
	case !pgtest.One[bool](d, adopted):
		adopt(d)
	}
}

func (a alteration) statement(to string) string {
	return fmt.Sprintf("ALTER TABLE notifications ALTER %s TYPE %s", a.column, to)
}

// adoptAnew is for a table of which nothing of ours will read or write anything until then.
func (m *model) adoptAnew() {
	calls := []string{
		"SELECT preview_notification_cleanup(1, 0)",
		"SELECT cleanup_notifications(1, 0)",
		"SELECT plan_notification_cleanup(1, 0)",
		"SELECT purge_notifications('1 microsecond')",
	}
	for _, run := range m.runs {
		if run.shares != nil {
			calls = append(calls, fmt.Sprintf("SELECT cleanup_next_batch(%d)", run.id))
		}
		calls = append(calls, fmt.Sprintf("SELECT restore_next_batch(%d)", run.id))
	}
	for _, call := range calls {
		m.d.Refused(call, "42804")
	}
	// The calls that were refused have drawn numbers for their runs.
	m.d.Exec(fmt.Sprintf(
		"ALTER TABLE notification_cleanup_runs ALTER id RESTART WITH %d",
		len(m.runs)+1,
	))
	adopt(m.d)
	for _, run := range m.runs {
		run.shares = nil // given up; its users can no longer be counted
	}
}

func adopt(d *pgtest.Database) {
	d.Note(`\! notification-cleanup migrate adopt`)
	if _, stderr, status := d.Program(nil, "migrate", "adopt"); status != 0 {
		d.T.Fatalf("migrate adopt: exit status %d: %s", status, stderr)
	}
}
