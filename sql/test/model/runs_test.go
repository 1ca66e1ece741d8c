package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
	"pgregory.net/rapid"
)

// drawLimits draws limits, often those of a run that is not through, and compares the preview for
// them.
func (m *model) drawLimits(t *rapid.T) {
	m.max = rapid.IntRange(1, 10).Draw(t, "max_notifications")
	m.keep = rapid.IntRange(0, m.max).Draw(t, "min_keep")
	for _, run := range m.runs {
		if run.shares != nil && rapid.Bool().Draw(t, "of a run that is not through") {
			m.max, m.keep = run.max, run.keep
		}
	}
	m.Check(t)
}

// open opens a run, in the model: the database has done so.
func (m *model) open(chosen []string) *modelRun {
	run := &modelRun{id: len(m.runs) + 1, max: m.max, keep: m.keep, finished: true}
	run.startedAt = pgtest.One[string](m.d, fmt.Sprintf(`
		SELECT quote_literal(started_at) FROM notification_cleanup_runs WHERE id = %d`, run.id))
	_, shares := m.judge(chosen, m.max, m.keep, &run.counts)
	for _, share := range shares {
		run.planned += len(share.planned)
	}
	if run.planned > 0 {
		run.shares, run.finished = shares, false
	}
	m.runs = append(m.runs, run)
	return run
}

// unfinished is the run that a plan with the limits of the latest call continues.
func (m *model) unfinished() *modelRun {
	for _, run := range m.runs {
		if run.shares != nil && run.max == m.max && run.keep == m.keep && !run.old {
			return run
		}
	}
	return nil
}

// follow does what the database did for a run: which notifications go depends on how far it is, but
// none that may not. It returns how many went.
func (m *model) follow(t *rapid.T, run *modelRun) (deleted int) {
	gone := pgtest.All[int](m.d, fmt.Sprintf(`
		SELECT seq FROM notifications WHERE deleted_at = %s ORDER BY seq`, run.startedAt))
	isGone := func(n *notification) bool { return slices.Contains(gone, n.seq) }
	for _, n := range m.where(isLive).where(isGone) {
		share := run.shares[n.user]
		if share == nil || n.status != "'read'" || !slices.Contains(share.planned, n) {
			t.Fatalf("run %d deleted %v", run.id, n)
		}
		m.softDelete(n, run.startedAt)
		m.untrack(notifications{n})
		share.deleted++
		deleted++
	}
	run.counts.Deleted += int64(deleted)
	return deleted
}

// end is for a run that is closed, or given up.
func (m *model) end(t *rapid.T, run *modelRun, finished bool) {
	if run.shares == nil {
		return
	}
	for user, share := range run.shares {
		if left := share.untouched.where(m.lets(softDelete)); finished && len(left) > 0 {
			t.Fatalf("run %d has ended, and left %v", run.id, left)
		}
		if share.deleted > 0 {
			run.counts.Cleaned++
		}
		live := m.where(isLive).where(func(n *notification) bool { return n.user == user })
		planned := len(share.planned)
		if share.deleted < planned && share.total-planned <= run.max && len(live) > run.max {
			run.counts.StillOver++
		}
	}
	if finished { // nobody holds anything here
		run.counts.Changed = int64(run.planned) - run.counts.Deleted
	}
	run.shares, run.finished = nil, finished
}

// age moves a run into the past: so the deletions of runs and users are in any order, and one that
// is not through is given up.
func (m *model) age(t *rapid.T, run *modelRun) {
	startedAt := drawTime(t, fmt.Sprintf("12:00:%02d", run.id))
	m.d.Exec(fmt.Sprintf(`UPDATE notifications SET deleted_at = %[1]s WHERE deleted_at = %[3]s;
UPDATE notification_cleanup_batches
SET done_at = %[1]s
WHERE run_id = %[2]d AND done_at IS NOT NULL;
UPDATE notification_cleanup_runs
SET started_at = %[1]s
WHERE id = %[2]d`, startedAt, run.id, run.startedAt))
	for _, n := range m.where(func(n *notification) bool { return n.deletedAt == run.startedAt }) {
		n.deletedAt = startedAt
	}
	run.startedAt, run.old = startedAt, true
}

// giveUp is what a plan does first.
func (m *model) giveUp(t *rapid.T) {
	for _, run := range m.runs {
		if run.old {
			m.end(t, run, false)
		}
	}
}

// CleanUp is a whole run.
func (m *model) CleanUp(t *rapid.T) {
	m.drawLimits(t)
	limits, chosen := fmt.Sprintf("%d, %d", m.max, m.keep), m.users()
	size := rapid.IntRange(1, 10).Draw(t, "batch_size")
	// The program is slow, and the others may be drawn more often.
	callers := []string{
		"function", "function", "function for some", "function for some", "procedure", "procedure",
		"program",
	}
	caller := rapid.SampledFrom(callers).Draw(t, "caller")
	switch caller {
	case "function":
		m.d.Cleanup(limits)
	case "function for some":
		// A user may be in the list twice.
		chosen = rapid.SliceOfN(rapid.SampledFrom(append(m.users(), null)), 0, 6).Draw(t, "user_ids")
		var list []string
		for _, user := range chosen {
			list = append(list, m.drawSpelling(t, user))
		}
		m.d.Cleanup(fmt.Sprintf("%s, ARRAY[%s]::text[]::notification_user_id[]",
			limits, strings.Join(list, ", ")))
	case "procedure":
		m.d.Exec(fmt.Sprintf("CALL cleanup_notifications_in_batches(%s, %d)", limits, size))
	case "program":
		args := fmt.Sprintf(
			"run --min-keep %d --batch-size %d --workers %d",
			m.keep,
			size,
			rapid.IntRange(1, 3).Draw(t, "workers"),
		)
		m.d.Note(fmt.Sprintf(`\! MAX_NOTIFICATIONS=%d notification-cleanup %s`, m.max, args))
		env := map[string]string{"MAX_NOTIFICATIONS": fmt.Sprint(m.max)}
		if _, stderr, status := m.d.Program(env, strings.Fields(args)...); status != 0 {
			t.Log(stderr)
			t.Fatalf("exit status %d", status)
		}
	}
	if !strings.HasPrefix(caller, "function") {
		m.giveUp(t)
		if run := m.unfinished(); run != nil {
			m.follow(t, run)
			m.end(t, run, true)
		}
	}
	run := m.open(chosen)
	m.follow(t, run)
	m.end(t, run, true) // which sees that nothing is left
	m.age(t, run)
}

// Plan opens a run, and leaves it.
func (m *model) Plan(t *rapid.T) {
	m.drawLimits(t)
	call := fmt.Sprintf(`
		SELECT id
		FROM plan_notification_cleanup(%d,
			%d, %d)`, m.max, m.keep, rapid.IntRange(1, 10).Draw(t, "batch_size"))
	m.d.Note(call)
	got := pgtest.One[int](m.d, call)
	m.giveUp(t)
	run := m.unfinished()
	if run == nil {
		run = m.open(m.users())
	}
	if got != run.id {
		t.Fatalf("%s is %d, want %d", call, got, run.id)
	}
}

// Work does some batches of a run, old or new, in one session or another, of which one may break
// off.
func (m *model) Work(t *rapid.T) {
	id := rapid.IntRange(1, len(m.runs)+1).Draw(t, "run_id")
	call := fmt.Sprintf("SELECT cleanup_next_batch(%d)", id)
	if id > len(m.runs) {
		m.d.Refused(call, "22023")
		return
	}
	run := m.runs[id-1]
	for range rapid.IntRange(1, 3).Draw(t, "batches") {
		if rapid.IntRange(0, 4).Draw(t, "breaks off") == 4 {
			m.d.Exec("BEGIN; " + call + "; ROLLBACK")
		}
		m.d.Note(call)
		switch got := pgtest.One[*int](m.d, call); {
		case got == nil:
			m.end(t, run, true)
		case run.shares == nil:
			t.Fatalf("%s is %d, but it has ended", call, *got)
		default:
			if want := m.follow(t, run); *got != want {
				t.Fatalf("%s is %d, but deleted %d", call, *got, want)
			}
			run.old = false
		}
	}
	if run.shares == nil || rapid.IntRange(0, 3).Draw(t, "grows old") == 3 {
		m.age(t, run)
	}
}
