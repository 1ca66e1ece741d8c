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

// modelTables are four kinds of table, in which everything but the id may be NULL. Four notifications fill a page, so that a run has
// several batches.
var modelTables = map[string]string{
	"plain":            `CREATE TABLE inbox (%s PRIMARY KEY, %s)`,
	"hash of the user": `CREATE TABLE inbox (%s, %s, UNIQUE (id, user_id)) PARTITION BY HASH (user_id);` + hashPartitions,
	"range of time": `CREATE TABLE inbox (%s, %s, UNIQUE (id, created_at)) PARTITION BY RANGE (created_at);
		CREATE TABLE early PARTITION OF inbox FOR VALUES FROM ('2025-01-02Z') TO ('2025-01-03Z') PARTITION BY HASH (id);
		CREATE TABLE early_0 PARTITION OF early FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE early_1 PARTITION OF early FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		CREATE TABLE middle PARTITION OF inbox FOR VALUES FROM ('2025-01-03Z') TO ('2025-01-05Z');
		CREATE TABLE others PARTITION OF inbox DEFAULT`,
	"view": `CREATE TABLE inbox (%s, %s, UNIQUE (id, user_id)) PARTITION BY HASH (user_id);` + hashPartitions + `;
		ALTER TABLE inbox RENAME id TO number; ALTER TABLE inbox RENAME user_id TO recipient; ALTER TABLE inbox RENAME deleted_at TO gone;
		CREATE VIEW notifications AS SELECT ctid, tableoid, number AS id, recipient AS user_id, status, created_at, gone AS deleted_at FROM inbox`,
}

var distributedModelTables = map[string]string{
	"the user last":  `CREATE TABLE inbox (%s, %s, PRIMARY KEY (id, user_id))`,
	"the user first": `CREATE TABLE inbox (%s, %s, PRIMARY KEY (user_id, id))`,
}

const hashPartitions = `
	CREATE TABLE inbox_0 PARTITION OF inbox FOR VALUES WITH (MODULUS 3, REMAINDER 0);
	CREATE TABLE inbox_1 PARTITION OF inbox FOR VALUES WITH (MODULUS 3, REMAINDER 1);
	CREATE TABLE inbox_2 PARTITION OF inbox FOR VALUES WITH (MODULUS 3, REMAINDER 2)`

// TestModel does random operations one after another, and after each compares all that the database says with a model.
// A failing case is shrunk. RAPID_CHECKS is half the number of cases, in which all kinds of table have an equal share.
func TestModel(t *testing.T) {
	t.Parallel()
	var checks int
	_, _ = fmt.Sscan(flag.Lookup("rapid.checks").Value.String(), &checks)
	_ = flag.Set("rapid.checks", fmt.Sprint(max(1, 2*checks/len(modelTables))))
	_ = flag.Set("rapid.steps", "10")
	_ = flag.Set("rapid.nofailfile", "true")
	kinds := modelTables
	if server.workers != nil {
		kinds = distributedModelTables
	}
	for kind, create := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			table := "notifications"
			if kind == "view" {
				table = "inbox"
			} else {
				create = strings.ReplaceAll(create, " inbox ", " notifications ")
			}
			d := adopt(t, fmt.Sprintf(create, "id bigint NOT NULL", "user_id text, status text, created_at timestamptz, deleted_at timestamptz, filler text DEFAULT repeat('x', 1900)"),
				"ALTER TABLE "+table+" ALTER filler SET STORAGE PLAIN", distribute)
			d.exec("SET TIME ZONE 'UTC'")
			setup := d.script.statements
			rapid.Check(t, func(t *rapid.T) {
				d := *d
				d.t = t
				d.script.statements = slices.Clone(setup)
				d.exec("TRUNCATE " + table)
				d.exec("TRUNCATE notification_cleanup_runs, notification_cleanup_cutoffs, notification_cleanup_batches, notification_cleanup_throttles RESTART IDENTITY")
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
	id, max, keep     int
	startedAt         string
	finished          bool
	counts            counts
	planned, restored int
	cutoffs           map[string]*modelCutoff // of the users with something to delete, until the run has ended
}

func (r *modelRun) String() string {
	return fmt.Sprintf("%d %d %s %v %d %v %d", r.max, r.keep, r.startedAt, r.finished, r.planned, r.counts, r.restored)
}

type modelCutoff struct {
	notification              // the newest that goes
	total, deletable, deleted int
	planned                   notifications // what was to go; nobody has touched it since
}

const (
	null  = "NULL"
	today = "'3000-01-01 00:00:00+00'" // or earlier: nothing here happens in between
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

func newestFirst(a, b *notification) int {
	return -cmp.Or(cmp.Compare(a.createdAt, b.createdAt), cmp.Compare(a.id, b.id))
}

// judge applies section 1 of the design to these users' notifications: it returns what the preview says, and the cut-offs.
func (m *model) judge(chosen []string, limit, keep int, c *counts) (preview []modelPreview, cutoffs map[string]*modelCutoff) {
	cutoffs = map[string]*modelCutoff{}
	for _, user := range users {
		live := m.where(isLive).where(func(n *notification) bool { return n.user == user })
		if len(live) <= limit || !slices.Contains(chosen, user) {
			continue
		}
		unread := live.where(func(n *notification) bool { return n.status == "'unread'" })
		read := live.where(func(n *notification) bool {
			return n.status == "'read'" && n.createdAt != null && n.createdAt <= today
		})
		slices.SortFunc(read, newestFirst)
		read = read[min(keep, len(read)):]
		preview = append(preview, modelPreview{user, len(live), len(unread), len(read)})
		c.OverLimit++
		if len(live)-len(read) > limit {
			c.StillOver++
		}
		if len(read) > 0 {
			cutoffs[user] = &modelCutoff{notification: *read[0], total: len(live), deletable: len(read), planned: read}
		}
	}
	slices.SortStableFunc(preview, func(a, b modelPreview) int { return cmp.Compare(b.deletable, a.deletable) })
	return preview, cutoffs
}

// state is what lines returns, in the database.
const state = `SELECT line FROM (
	SELECT 1, id, format('(%%s, %%L, %%L, %%L, %%L)', id, user_id, status, created_at, deleted_at)
	FROM notifications
	UNION ALL
	SELECT 2, id, format('run %%s: %%s %%s %%L %%s %%s {%%s %%s %%s %%s %%s} %%s', id, max_notifications, min_keep, started_at,
		(finished_at IS NOT NULL)::text, notifications_planned, users_over_limit, users_cleaned, users_still_over_limit, notifications_deleted,
		notifications_skipped, notifications_restored)
	FROM notification_cleanup_runs
	UNION ALL
	SELECT 3, 0, 'preview [' || coalesce(string_agg(format('{%%L %%s %%s %%s}',
		user_id, total_notifications, unread_notifications, deletable_notifications), ' '), '') || ']'
	FROM preview_notification_cleanup(%[1]d, %[2]d)
	UNION ALL
	SELECT 4, 0, format('stats %%s %%s %%s', total_notifications, users_with_notifications, users_over_limit)
	FROM notification_stats(%[1]d)
	UNION ALL
	SELECT 5, run_id, format('run %%s has cut-offs for %%s users', run_id, count(*)) FROM notification_cleanup_cutoffs AS c
	WHERE EXISTS (SELECT FROM notification_cleanup_batches AS b WHERE b.run_id = c.run_id) GROUP BY run_id
) AS state (kind, id, line) ORDER BY kind, id`

func (m *model) lines() (lines []string) {
	for _, n := range m.notifications {
		lines = append(lines, n.String())
	}
	for _, run := range m.runs {
		lines = append(lines, fmt.Sprintf("run %d: %v", run.id, run))
	}
	live, owners := m.where(isLive), map[string]bool{}
	for _, n := range live {
		owners[n.user] = true
	}
	delete(owners, null)
	var c counts
	preview, _ := m.judge(users, m.max, m.keep, &c)
	lines = append(lines, fmt.Sprint("preview ", preview), fmt.Sprint("stats ", len(live), len(owners), c.OverLimit))
	for _, run := range m.runs {
		if run.cutoffs != nil {
			lines = append(lines, fmt.Sprintf("run %d has cut-offs for %d users", run.id, len(run.cutoffs)))
		}
	}
	return lines
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
	owners := append(users, null)
	if server.workers != nil {
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
		m.exec("INSERT INTO notifications (id, user_id, status, created_at, deleted_at) VALUES\n" + strings.Join(rows, ",\n"))
	}
}

// change changes a few notifications by a statement, and returns them to do the same.
func (m *model) change(t *rapid.T, statement string) notifications {
	first := rapid.IntRange(1, m.inserted+1).Draw(t, "first")
	last := first + rapid.IntRange(0, 5).Draw(t, "more")
	m.exec(fmt.Sprintf("%s WHERE id BETWEEN %d AND %d", statement, first, last))
	touched := m.where(func(n *notification) bool { return first <= n.id && n.id <= last })
	m.untrack(touched)
	return touched
}

// untrack is for notifications that may lie elsewhere now: whether a run that is not through still takes them depends on that.
func (m *model) untrack(touched notifications) {
	for _, run := range m.runs {
		for _, cutoff := range run.cutoffs {
			cutoff.planned = cutoff.planned.where(func(n *notification) bool { return !slices.Contains(touched, n) })
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
	for _, n := range m.change(t, "UPDATE notifications SET deleted_at = coalesce(deleted_at, "+deletedAt+")").where(isLive) {
		n.deletedAt = deletedAt
	}
}

func (m *model) UserDeletes(t *rapid.T) { m.remove(m.change(t, "DELETE FROM notifications")) }

func (m *model) remove(gone notifications) {
	m.notifications = m.where(func(n *notification) bool { return !slices.Contains(gone, n) })
}

// drawLimits draws limits, often those of a run that is not through, and compares the preview for them.
func (m *model) drawLimits(t *rapid.T) {
	m.max = rapid.IntRange(1, 10).Draw(t, "max_notifications")
	m.keep = rapid.IntRange(0, m.max).Draw(t, "min_keep")
	for _, run := range m.runs {
		if run.cutoffs != nil && rapid.Bool().Draw(t, "of a run that is not through") {
			m.max, m.keep = run.max, run.keep
		}
	}
	m.Check(t)
}

// open opens a run, in the model: the database has done so.
func (m *model) open(chosen []string) *modelRun {
	run := &modelRun{id: len(m.runs) + 1, max: m.max, keep: m.keep, finished: true}
	run.startedAt = one[string](m.database, fmt.Sprintf("SELECT quote_literal(started_at) FROM notification_cleanup_runs WHERE id = %d", run.id))
	_, cutoffs := m.judge(chosen, m.max, m.keep, &run.counts)
	for _, cutoff := range cutoffs {
		run.planned += cutoff.deletable
	}
	if run.planned > 0 {
		run.cutoffs, run.finished = cutoffs, false
	}
	m.runs = append(m.runs, run)
	return run
}

// unfinished is the run that a plan with the limits of the latest call continues.
func (m *model) unfinished() *modelRun {
	for _, run := range m.runs {
		if run.cutoffs != nil && run.max == m.max && run.keep == m.keep && run.startedAt > "'2026" {
			return run
		}
	}
	return nil
}

// follow does what the database did for a run: which notifications go depends on how far it is, but none that may not. It returns
// how many went.
func (m *model) follow(t *rapid.T, run *modelRun) (deleted int) {
	gone := all[int](m.database, fmt.Sprintf("SELECT id FROM notifications WHERE deleted_at = %s ORDER BY id", run.startedAt))
	for _, n := range m.where(isLive).where(func(n *notification) bool { return slices.Contains(gone, n.id) }) {
		cutoff := run.cutoffs[n.user]
		if cutoff == nil || n.status != "'read'" || n.createdAt == null || newestFirst(n, &cutoff.notification) < 0 {
			t.Fatalf("run %d deleted %v", run.id, n)
		}
		n.deletedAt = run.startedAt
		m.untrack(notifications{n})
		cutoff.deleted++
		deleted++
	}
	run.counts.Deleted += int64(deleted)
	return deleted
}

// end is for a run that is closed, or given up.
func (m *model) end(t *rapid.T, run *modelRun, finished bool) {
	if run.cutoffs == nil {
		return
	}
	for user, cutoff := range run.cutoffs {
		if finished && len(cutoff.planned) > 0 {
			t.Fatalf("run %d has ended, and left %v", run.id, cutoff.planned)
		}
		if cutoff.deleted > 0 {
			run.counts.Cleaned++
		}
		live := m.where(isLive).where(func(n *notification) bool { return n.user == user })
		if cutoff.total-cutoff.deletable <= run.max && cutoff.total-cutoff.deleted > run.max && len(live) > run.max {
			run.counts.StillOver++
		}
	}
	run.cutoffs, run.finished = nil, finished
}

// age moves a run into the past: so the deletions of runs and users are in any order, and one that is not through is given up.
func (m *model) age(t *rapid.T, run *modelRun) {
	startedAt := drawTime(t, fmt.Sprintf("12:00:%02d", run.id))
	m.exec(fmt.Sprintf(`UPDATE notifications SET deleted_at = %[1]s WHERE deleted_at = %[3]s;
UPDATE notification_cleanup_runs SET started_at = %[1]s WHERE id = %[2]d`, startedAt, run.id, run.startedAt))
	for _, n := range m.where(func(n *notification) bool { return n.deletedAt == run.startedAt }) {
		n.deletedAt = startedAt
	}
	run.startedAt = startedAt
}

// giveUp is what a plan does first.
func (m *model) giveUp(t *rapid.T) {
	for _, run := range m.runs {
		if run.startedAt < "'2026" {
			m.end(t, run, false)
		}
	}
}

// CleanUp is a whole run.
func (m *model) CleanUp(t *rapid.T) {
	m.drawLimits(t)
	limits, chosen := fmt.Sprintf("%d, %d", m.max, m.keep), users
	size := rapid.IntRange(1, 10).Draw(t, "batch_size")
	callers := []string{"function", "function", "function for some", "function for some", "procedure", "procedure", "program"} // it is slow
	caller := rapid.SampledFrom(callers).Draw(t, "caller")
	switch caller {
	case "function":
		m.cleanup(limits)
	case "function for some":
		chosen = rapid.SliceOfN(rapid.SampledFrom(append(users, null)), 0, 6).Draw(t, "user_ids") // perhaps twice
		m.cleanup(limits + ", ARRAY[" + strings.Join(chosen, ", ") + "]::text[]")
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
	if !strings.HasPrefix(caller, "function") {
		m.giveUp(t)
		if run := m.unfinished(); run != nil {
			m.follow(t, run)
			m.end(t, run, true)
		}
	}
	run := m.open(chosen)
	m.follow(t, run)
	m.end(t, run, true)
	if run.counts.Deleted != int64(run.planned) {
		t.Fatalf("run %d deleted %d of %d", run.id, run.counts.Deleted, run.planned)
	}
	m.age(t, run)
}

// Plan opens a run, and leaves it.
func (m *model) Plan(t *rapid.T) {
	m.drawLimits(t)
	call := fmt.Sprintf("SELECT id FROM plan_notification_cleanup(%d, %d, %d)", m.max, m.keep, rapid.IntRange(1, 10).Draw(t, "batch_size"))
	m.note(call)
	got := one[int](m.database, call)
	m.giveUp(t)
	run := m.unfinished()
	if run == nil {
		run = m.open(users)
	}
	if got != run.id {
		t.Fatalf("%s is %d, want %d", call, got, run.id)
	}
}

// Work does some batches of a run, old or new, in one session or another, of which one may break off.
func (m *model) Work(t *rapid.T) {
	id := rapid.IntRange(1, len(m.runs)+1).Draw(t, "run_id")
	call := fmt.Sprintf("SELECT cleanup_next_batch(%d)", id)
	if id > len(m.runs) {
		m.refused(call, "22023")
		return
	}
	run := m.runs[id-1]
	for range rapid.IntRange(1, 3).Draw(t, "batches") {
		if rapid.IntRange(0, 4).Draw(t, "breaks off") == 4 {
			m.exec("BEGIN; " + call + "; ROLLBACK")
		}
		m.note(call)
		switch got := one[*int](m.database, call); {
		case got == nil:
			m.end(t, run, true)
		case run.cutoffs == nil:
			t.Fatalf("%s is %d, but it has ended", call, *got)
		default:
			if want := m.follow(t, run); *got != want {
				t.Fatalf("%s is %d, but deleted %d", call, *got, want)
			}
		}
	}
	if run.cutoffs == nil || rapid.IntRange(0, 3).Draw(t, "grows old") == 3 {
		m.age(t, run)
	}
}

// Restore undoes a run, or a batch of it, for which the database chooses.
func (m *model) Restore(t *rapid.T) {
	id := rapid.IntRange(1, len(m.runs)+1).Draw(t, "run_id")
	call, size := fmt.Sprintf("SELECT restore_notifications(%d)", id), m.inserted
	if rapid.Bool().Draw(t, "a batch") {
		size = rapid.IntRange(1, 10).Draw(t, "batch_size")
		call = fmt.Sprintf("SELECT coalesce(restore_next_batch(%d, %d), 0)", id, size)
	}
	if id > len(m.runs) {
		m.refused(call, "22023")
		return
	}
	m.note(call)
	got, run := one[int](m.database, call), m.runs[id-1]
	m.end(t, run, false)
	left := all[int](m.database, "SELECT id FROM notifications WHERE deleted_at = "+run.startedAt)
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
