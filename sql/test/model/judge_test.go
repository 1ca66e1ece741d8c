package model

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
	"pgregory.net/rapid"
)

type modelPreview struct {
	user                    string
	live, unread, deletable int
}

func newestFirst(a, b *notification) int {
	return -cmp.Or(cmp.Compare(a.createdAt, b.createdAt), cmp.Compare(a.id, b.id))
}

// judge applies section 1 of the design to these users' notifications: it returns what the preview
// says, and what goes of each user.
func (m *model) judge(
	chosen []string,
	limit, keep int,
	c *pgtest.Counts,
) (preview []modelPreview, shares map[string]*modelShare) {
	shares = map[string]*modelShare{}
	for _, user := range m.users() {
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
			shares[user] = &modelShare{total: len(live), planned: read, untouched: read}
		}
	}
	slices.SortStableFunc(
		preview,
		func(a, b modelPreview) int { return cmp.Compare(b.deletable, a.deletable) },
	)
	return preview, shares
}

// state is what lines returns, in the database.
const state = `SELECT line FROM (
	SELECT 1, seq, format('(%%s, %%s, %%L, %%L, %%L, %%L)',
		seq, id, lower(user_id::text), status, created_at::timestamptz, deleted_at)
	FROM notifications
	UNION ALL
	SELECT 2, id, format(
		'run %%s: %%s %%s %%L %%s %%s {%%s %%s %%s %%s %%s %%s} %%s',
		id, max_notifications, min_keep, started_at, (finished_at IS NOT NULL)::text,
		notifications_planned, users_over_limit, users_cleaned, users_still_over_limit,
		notifications_deleted, notifications_skipped,
		-- Until the run has finished it depends on which batches are done.
		CASE WHEN finished_at IS NULL THEN 0 ELSE notifications_changed END,
		notifications_restored)
	FROM notification_cleanup_runs
	UNION ALL
	SELECT 3, 0, 'preview [' || coalesce(
		string_agg(
			format(
				'{%%L %%s %%s %%s}',
				lower(user_id::text), total_notifications, unread_notifications,
				deletable_notifications),
			' '),
		'') || ']'
	FROM preview_notification_cleanup(%[1]d, %[2]d)
	UNION ALL
	SELECT 4, 0, format(
		'stats %%s %%s %%s', total_notifications, users_with_notifications, users_over_limit)
	FROM notification_stats(%[1]d)
	UNION ALL
	SELECT 5, run_id, format(
		'run %%s has %%s of %%s users', run_id, sum(cardinality(ids)), sum(cardinality(last_users)))
	FROM notification_cleanup_batches
	JOIN notification_cleanup_open_runs USING (run_id)
	GROUP BY run_id
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
	var c pgtest.Counts
	preview, _ := m.judge(m.users(), m.max, m.keep, &c)
	lines = append(
		lines,
		fmt.Sprint("preview ", preview),
		fmt.Sprint("stats ", len(live), len(owners), c.OverLimit),
	)
	for _, run := range m.runs {
		if run.shares != nil {
			lines = append(lines, fmt.Sprintf(
				"run %d has %d of %d users", run.id, run.planned, len(run.shares)))
		}
	}
	return lines
}

// clock is a time that no case made up. It must not be in a message: rapid takes a failure that
// says something else the next time for another one.
var clock = regexp.MustCompile(`'[-0-9]+ [:0-9]+\.[0-9]+\+00'`)

// Check compares the database with the model.
func (m *model) Check(t *rapid.T) {
	got, want := pgtest.All[string](m.d, fmt.Sprintf(state, m.max, m.keep)), m.lines()
	if slices.Equal(got, want) {
		return
	}
	only := func(lines, others []string) string {
		lines = slices.DeleteFunc(
			slices.Clone(lines),
			func(line string) bool { return slices.Contains(others, line) },
		)
		return clock.ReplaceAllString(strings.Join(lines, "\n"), "now")
	}
	t.Fatalf(
		"for the limits %d, %d the database says\n%s\nwant\n%s",
		m.max,
		m.keep,
		only(got, want),
		only(want, got),
	)
}
