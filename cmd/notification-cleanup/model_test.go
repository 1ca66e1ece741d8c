package main

import (
	"cmp"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestModel does random operations one after another, and after each compares all that the database says with a model.
// A failing case is shrunk. RAPID_CHECKS is the number of cases in each of two databases.
func TestModel(t *testing.T) {
	t.Parallel()
	_ = flag.Set("rapid.steps", "10")
	_ = flag.Set("rapid.nofailfile", "true")
	for _, name := range []string{"1", "2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := adopt(t, nullable)
			d.exec("SET TIME ZONE 'UTC'")
			setup := d.script.statements
			rapid.Check(t, func(t *rapid.T) {
				d := *d
				d.t = t
				d.script.statements = slices.Clone(setup)
				d.exec("TRUNCATE notifications, notification_cleanup_runs RESTART IDENTITY")
				m := &model{database: &d, max: 1}
				m.Insert(t)
				t.Repeat(rapid.StateMachineActions(m)) // the exported methods, and Check after each
			})
		})
	}
}

// model is what the database should hold.
type model struct {
	*database
	notifications
	inserted  int
	runs      []*modelRun // by id
	max, keep int         // the limits of the latest call
}

// A notification as SQL literals, of which those of times sort like the times.
type notification struct {
	id                                 int
	user, status, createdAt, deletedAt string
}

func (n notification) String() string {
	return fmt.Sprintf("(%d, %s, %s, %s, %s)", n.id, n.user, n.status, n.createdAt, n.deletedAt)
}

// GoString is for what rapid logs.
func (n notification) GoString() string { return n.String() }

type notifications []*notification

func (all notifications) where(condition func(*notification) bool) notifications {
	return slices.DeleteFunc(slices.Clone(all), func(n *notification) bool { return !condition(n) })
}

func isLive(n *notification) bool { return n.deletedAt == null }

type modelRun struct {
	max, keep int
	startedAt string
	finished  bool
	counts    counts
	restored  int
}

const (
	null  = "NULL"
	today = "'2026-01-01 00:00:00+00'" // or later: nothing here happens in between
)

var users = []string{"'alice'", "'bob'", "'carol'", "'dave'"}

// drawTime draws a day of the past; the clock tells notifications, users and runs apart.
func drawTime(t *rapid.T, clock string) string {
	return fmt.Sprintf("'2025-01-%02d %s+00'", rapid.IntRange(1, 5).Draw(t, "day"), clock)
}

var someNotification = rapid.Custom(func(t *rapid.T) notification {
	n := notification{createdAt: drawTime(t, "00:00:00"), deletedAt: null}
	n.status = rapid.SampledFrom([]string{"'read'", "'read'", "'read'", "'unread'", "'archived'", "'READ'", "''", null}).Draw(t, "status")
	if rapid.IntRange(0, 7).Draw(t, "odd") == 7 {
		n.createdAt = rapid.SampledFrom([]string{"'-infinity'", "'4000-01-01 00:00:00+00'", "'infinity'", null}).Draw(t, "created_at")
	}
	return n
})

type modelPreview struct {
	user                    string
	live, unread, deletable int
}

// judge applies section 1 of the design to these users' notifications: it adds to the counts of a run, and returns what
// the run deletes and what the preview says.
func (m *model) judge(chosen []string, startedAt string, c *counts) (excess notifications, preview []modelPreview) {
	for _, user := range users {
		live := m.where(isLive).where(func(n *notification) bool { return n.user == user })
		if len(live) <= m.max || !slices.Contains(chosen, user) {
			continue
		}
		unread := live.where(func(n *notification) bool { return n.status == "'unread'" })
		read := live.where(func(n *notification) bool {
			return n.status == "'read'" && n.createdAt != null && n.createdAt <= startedAt
		})
		slices.SortFunc(read, func(a, b *notification) int { // newest first
			return -cmp.Or(cmp.Compare(a.createdAt, b.createdAt), cmp.Compare(a.id, b.id))
		})
		read = read[min(m.keep, len(read)):]
		excess = append(excess, read...)
		preview = append(preview, modelPreview{user, len(live), len(unread), len(read)})
		c.OverLimit++
		c.Deleted += int64(len(read))
		if len(read) > 0 {
			c.Cleaned++
		}
		if len(live)-len(read) > m.max {
			c.StillOver++
		}
	}
	slices.SortStableFunc(preview, func(a, b modelPreview) int { return cmp.Compare(b.deletable, a.deletable) })
	return excess, preview
}

// state is what lines returns, in the database.
const state = `SELECT line FROM (
	SELECT 1, id, format('(%%s, %%L, %%L, %%L, %%L)', id, user_id, status, created_at, deleted_at)
	FROM notifications
	UNION ALL
	SELECT 2, id, format('run %%s {%%s %%s %%L %%s {%%s %%s %%s %%s %%s} %%s}', id, max_notifications, min_keep, started_at,
		(finished_at IS NOT NULL)::text, users_over_limit, users_cleaned, users_still_over_limit, notifications_deleted,
		notifications_skipped, notifications_restored)
	FROM notification_cleanup_runs
	UNION ALL
	SELECT 3, 0, 'preview [' || coalesce(string_agg(format('{%%L %%s %%s %%s}',
		user_id, total_notifications, unread_notifications, deletable_notifications), ' '), '') || ']'
	FROM preview_notification_cleanup(%[1]d, %[2]d)
	UNION ALL
	SELECT 4, 0, format('stats %%s %%s %%s', total_notifications, users_with_notifications, users_over_limit)
	FROM notification_stats(%[1]d)
) AS state (kind, id, line) ORDER BY kind, id`

func (m *model) lines() (lines []string) {
	for _, n := range m.notifications {
		lines = append(lines, n.String())
	}
	for i, run := range m.runs {
		lines = append(lines, fmt.Sprint("run ", i+1, *run))
	}
	live, owners := m.where(isLive), map[string]bool{}
	for _, n := range live {
		owners[n.user] = true
	}
	delete(owners, null)
	var c counts
	_, preview := m.judge(users, today, &c)
	return append(lines, fmt.Sprint("preview ", preview), fmt.Sprint("stats ", len(live), len(owners), c.OverLimit))
}

// clock is a time that no case made up. It must not be in a message: rapid takes a failure that says something else the
// next time for another one.
var clock = regexp.MustCompile(`'[-0-9]+ [:0-9]+\.[0-9]+\+00'`)

// Check compares the database with the model.
func (m *model) Check(t *rapid.T) {
	got, want := all[string](m.database, fmt.Sprintf(state, m.max, m.keep)), m.lines()
	if slices.Equal(got, want) {
		return
	}
	only := func(lines, others []string) string {
		lines = slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return slices.Contains(others, line) })
		return clock.ReplaceAllString(strings.Join(lines, "\n"), "now")
	}
	t.Fatalf("for the limits %d, %d the database says\n%s\nwant\n%s", m.max, m.keep, only(got, want), only(want, got))
}

func (m *model) Insert(t *rapid.T) {
	var rows []string
	for _, user := range append(users, null) {
		for _, n := range rapid.SliceOfN(someNotification, 0, 12).Draw(t, user) {
			m.inserted++
			n.id, n.user = m.inserted, user
			m.notifications = append(m.notifications, &n)
			rows = append(rows, n.String())
		}
	}
	if rows != nil {
		m.exec("INSERT INTO notifications (id, user_id, status, created_at, deleted_at) VALUES\n" + strings.Join(rows, ",\n"))
	}
}

// change changes a few notifications by a statement, and returns them to do the same.
func (m *model) change(t *rapid.T, statement string) notifications {
	first := rapid.IntRange(1, m.inserted+1).Draw(t, "first")
	last := first + rapid.IntRange(0, 5).Draw(t, "more")
	m.exec(fmt.Sprintf("%s WHERE id BETWEEN %d AND %d", statement, first, last))
	return m.where(func(n *notification) bool { return first <= n.id && n.id <= last })
}

func (m *model) UserMarks(t *rapid.T) {
	status := rapid.SampledFrom([]string{"'read'", "'unread'"}).Draw(t, "status")
	for _, n := range m.change(t, "UPDATE notifications SET status = "+status) {
		n.status = status
	}
}

func (m *model) UserSoftDeletes(t *rapid.T) {
	deletedAt := drawTime(t, "06:00:00")
	for _, n := range m.change(t, "UPDATE notifications SET deleted_at = coalesce(deleted_at, "+deletedAt+")").where(isLive) {
		n.deletedAt = deletedAt
	}
}

func (m *model) UserDeletes(t *rapid.T) { m.remove(m.change(t, "DELETE FROM notifications")) }

func (m *model) remove(gone notifications) {
	m.notifications = m.where(func(n *notification) bool { return !slices.Contains(gone, n) })
}

// open opens a run, in the model only. It draws the limits, for which it compares the preview, and the start.
func (m *model) open(t *rapid.T, finished bool) *modelRun {
	m.max = rapid.IntRange(1, 10).Draw(t, "max_notifications")
	m.keep = rapid.IntRange(0, m.max).Draw(t, "min_keep")
	m.Check(t)
	startedAt := drawTime(t, fmt.Sprintf("12:00:%02d", len(m.runs)+1))
	run := &modelRun{max: m.max, keep: m.keep, startedAt: startedAt, finished: finished}
	m.runs = append(m.runs, run)
	return run
}

// softDelete does what a call did in the database.
func (m *model) softDelete(chosen []string, calledAt string, run *modelRun) {
	excess, _ := m.judge(chosen, calledAt, &run.counts)
	for _, n := range excess {
		n.deletedAt = run.startedAt
	}
}

// drawUsers draws some users, perhaps twice, and NULL.
func drawUsers(t *rapid.T) []string {
	return rapid.SliceOfN(rapid.SampledFrom(append(users, null)), 0, 6).Draw(t, "user_ids")
}

// array is the argument user_ids.
func array(users []string) string { return "ARRAY[" + strings.Join(users, ", ") + "]::text[]" }

// CleanUp is a whole run, which is then moved into the past: so nothing depends on the clock, and the deletions of runs
// and users are in any order.
func (m *model) CleanUp(t *rapid.T) {
	run := m.open(t, true)
	limits, chosen := fmt.Sprintf("%d, %d", m.max, m.keep), users
	size := rapid.IntRange(1, 10).Draw(t, "batch_size")
	callers := []string{"function", "function", "function for some", "function for some", "procedure", "procedure", "program"} // it is slow
	switch rapid.SampledFrom(callers).Draw(t, "caller") {
	case "function":
		m.cleanup(limits)
	case "function for some":
		chosen = drawUsers(t)
		m.cleanup(limits + ", " + array(chosen))
	case "procedure":
		m.exec(fmt.Sprintf("CALL cleanup_notifications_in_batches(%s, %d)", limits, size))
	case "program":
		args := fmt.Sprintf("run -min-keep %d -batch-size %d -workers %d", m.keep, size, rapid.IntRange(1, 3).Draw(t, "workers"))
		m.note(fmt.Sprintf(`\! MAX_NOTIFICATIONS=%d notification-cleanup %s`, m.max, args))
		env := map[string]string{"MAX_NOTIFICATIONS": fmt.Sprint(m.max)}
		if _, stderr, status := command(t, m.database, env, strings.Fields(args)...); status != 0 {
			t.Log(stderr)
			t.Fatalf("exit status %d", status)
		}
	}
	m.exec(fmt.Sprintf(`UPDATE notifications SET deleted_at = %[1]s WHERE deleted_at = (SELECT started_at FROM notification_cleanup_runs WHERE id = %[2]d);
UPDATE notification_cleanup_runs SET started_at = %[1]s WHERE id = %[2]d`, run.startedAt, len(m.runs)))
	m.softDelete(chosen, today, run)
}

// CleanUpByRunID adds to a run, old or new, first some users and then the others.
func (m *model) CleanUpByRunID(t *rapid.T) {
	id := rapid.IntRange(1, len(m.runs)+1).Draw(t, "run_id")
	if id > len(m.runs) {
		m.openRun(strings.Trim(m.open(t, false).startedAt, "'"), m.max, m.keep)
	}
	run := m.runs[id-1]
	m.max, m.keep = run.max, run.keep
	some := drawUsers(t)
	others := slices.DeleteFunc(slices.Clone(users), func(user string) bool { return slices.Contains(some, user) })
	for _, chosen := range [][]string{some, others} {
		m.cleanup(fmt.Sprintf("%d, %d, %s, %d", m.max, m.keep, array(chosen), id))
		m.softDelete(chosen, run.startedAt, run)
	}
}

func (m *model) Restore(t *rapid.T) {
	id := rapid.IntRange(1, len(m.runs)+1).Draw(t, "run_id")
	call := fmt.Sprintf("SELECT restore_notifications(%d)", id)
	if id > len(m.runs) {
		m.refused(call, "22023")
		return
	}
	m.note(call)
	got, run := one[int](m.database, call), m.runs[id-1]
	restored := m.where(func(n *notification) bool { return n.deletedAt == run.startedAt })
	for _, n := range restored {
		n.deletedAt = null
	}
	run.restored += len(restored)
	if got != len(restored) {
		t.Fatalf("restore_notifications(%d) is %d, want %d", id, got, len(restored))
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
	m.note(call)
	purged := one[int](m.database, call)
	left := all[int](m.database, "SELECT id FROM notifications")
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
