package model

import (
	"flag"
	"fmt"
	"slices"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
	"pgregory.net/rapid"
)

// TestModel does random operations one after another, and after each compares all that the database
// says with a model. A failing case is shrunk. RAPID_CHECKS is half the number of cases, in which
// all kinds of table have an equal share.
func TestModel(t *testing.T) {
	t.Parallel()
	var checks int
	_, _ = fmt.Sscan(flag.Lookup("rapid.checks").Value.String(), &checks)
	kinds := kinds
	if pgtest.OnCitus() {
		kinds = distributedKinds
	}
	_ = flag.Set("rapid.checks", fmt.Sprint(max(1, 2*checks/len(kinds))))
	_ = flag.Set("rapid.steps", "10")
	_ = flag.Set("rapid.nofailfile", "true")
	for name, kind := range kinds {
		kind := kind.filled()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, append(kind.statements(), pgtest.Distribute)...)
			d.Exec("SET TIME ZONE 'UTC'")
			begin := d.Cases()
			rapid.Check(t, func(t *rapid.T) {
				d := begin(t)
				d.Exec("TRUNCATE " + kind.name())
				kind.alters.begin(d)
				d.Exec(`
					TRUNCATE notification_cleanup_runs, notification_cleanup_batches,
						notification_cleanup_open_runs, notification_cleanup_refused RESTART IDENTITY`)
				m := &model{d: d, kind: kind, takes: kind.alters.before, ids: map[string]int{}, max: 1}
				m.Insert(t)
				t.Repeat(rapid.StateMachineActions(m)) // the exported methods, and Check after each
			})
		})
	}
}

// model is what the database should hold.
type model struct {
	d *pgtest.Database
	notifications
	inserted  int
	ids       map[string]int // how many were given out, for each part in which they are unique
	kind      kind
	isAltered bool
	takes     limits
	runs      []*modelRun // by id
	max, keep int         // the limits of the latest call
}

// A notification as SQL literals, of which those of times sort like the times.
type notification struct {
	seq                                int // what is unique, of which the product knows nothing
	id                                 int
	user, status, createdAt, deletedAt string
}

func (n notification) String() string {
	return fmt.Sprintf("(%d, %d, %s, %s, %s, %s)",
		n.seq, n.id, n.user, n.status, n.createdAt, n.deletedAt)
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
	old               bool // a plan gives it up: its last batch, or its start, is long ago
	finished          bool
	counts            pgtest.Counts
	planned, restored int
	// Of the users with something to delete, until the run has ended.
	shares map[string]*modelShare
}

func (r *modelRun) String() string {
	return fmt.Sprintf("%d %d %s %v %d %v %d",
		r.max, r.keep, r.startedAt, r.finished, r.planned, r.counts, r.restored)
}

// modelShare is what a run has to do of one user.
type modelShare struct {
	total, deleted int
	planned        notifications // what was to go
	untouched      notifications // what of it is still to go, because nobody has touched it since
}

const (
	null  = "NULL"
	today = "'3000-01-01 00:00:00+00'" // or earlier: nothing here happens in between
)

// drawTime draws a day of the past; the clock tells notifications, users and runs apart.
func drawTime(t *rapid.T, clock string) string {
	return fmt.Sprintf("'2025-01-%02d %s+00'", rapid.IntRange(1, 5).Draw(t, "day"), clock)
}

// Of what may be in status, and what is odd in created_at.
var (
	someStatus = rapid.SampledFrom([]string{
		"'read'", "'read'", "'read'", "'unread'", "'archived'", "'READ'", "''", null,
	})
	oddTime = rapid.SampledFrom([]string{
		"'-infinity'", "'4000-01-01 00:00:00+00'", "'infinity'", null,
	})
)

func (m *model) drawNotification(t *rapid.T, user string) *notification {
	m.inserted++
	clock := "00:00:00"
	if m.takes.microseconds {
		clock = rapid.SampledFrom([]string{clock, "00:00:00.4", "00:00:00.400001"}).Draw(t, "clock")
	}
	n := &notification{
		seq:       m.inserted,
		user:      user,
		status:    someStatus.Draw(t, "status"),
		createdAt: drawTime(t, clock),
		deletedAt: null,
	}
	if rapid.IntRange(0, 7).Draw(t, "odd") == 7 {
		n.createdAt = oddTime.Draw(t, "created_at")
	}
	part := m.kind.ids(n)
	m.ids[part]++
	n.id = m.ids[part]
	return n
}
