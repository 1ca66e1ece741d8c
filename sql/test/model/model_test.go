package model

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
	"pgregory.net/rapid"
)

// modelTables are four kinds of table, in which everything but the id may be NULL. Four
// notifications fill a page, so that a run has several batches.
var modelTables = map[string]string{
	"plain": `CREATE TABLE inbox (%s PRIMARY KEY, %s)`,
	"hash of the user": `
		CREATE TABLE inbox (%s, %s, UNIQUE (id, user_id)) PARTITION BY HASH (user_id);` +
		hashPartitions,
	"range of time": `
		CREATE TABLE inbox (%s, %s, UNIQUE (id, created_at)) PARTITION BY RANGE (created_at);
		CREATE TABLE early PARTITION OF inbox FOR VALUES FROM ('2025-01-02Z') TO ('2025-01-03Z')
			PARTITION BY HASH (id);
		CREATE TABLE early_0 PARTITION OF early FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE early_1 PARTITION OF early FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		CREATE TABLE middle PARTITION OF inbox FOR VALUES FROM ('2025-01-03Z') TO ('2025-01-05Z');
		CREATE TABLE others PARTITION OF inbox DEFAULT`,
	"view": `
		CREATE TABLE inbox (%s, %s, UNIQUE (id, user_id)) PARTITION BY HASH (user_id);` +
		hashPartitions + `;
		ALTER TABLE inbox RENAME id TO number;
		ALTER TABLE inbox RENAME user_id TO recipient;
		ALTER TABLE inbox RENAME deleted_at TO gone;
		CREATE VIEW notifications AS
		SELECT ctid, tableoid, number AS id, recipient AS user_id, status, created_at, gone AS deleted_at
		FROM inbox`,
}

const otherColumns = `
	user_id text,
	status text,
	created_at timestamptz,
	deleted_at timestamptz,
	filler text DEFAULT repeat('x', 1900)`

var distributedModelTables = map[string]string{
	"the user last":  `CREATE TABLE inbox (%s, %s, PRIMARY KEY (id, user_id))`,
	"the user first": `CREATE TABLE inbox (%s, %s, PRIMARY KEY (user_id, id))`,
}

const hashPartitions = `
	CREATE TABLE inbox_0 PARTITION OF inbox FOR VALUES WITH (MODULUS 3, REMAINDER 0);
	CREATE TABLE inbox_1 PARTITION OF inbox FOR VALUES WITH (MODULUS 3, REMAINDER 1);
	CREATE TABLE inbox_2 PARTITION OF inbox FOR VALUES WITH (MODULUS 3, REMAINDER 2)`

// TestModel does random operations one after another, and after each compares all that the database
// says with a model. A failing case is shrunk. RAPID_CHECKS is half the number of cases, in which
// all kinds of table have an equal share.
func TestModel(t *testing.T) {
	t.Parallel()
	var checks int
	_, _ = fmt.Sscan(flag.Lookup("rapid.checks").Value.String(), &checks)
	_ = flag.Set("rapid.checks", fmt.Sprint(max(1, 2*checks/len(modelTables))))
	_ = flag.Set("rapid.steps", "10")
	_ = flag.Set("rapid.nofailfile", "true")
	kinds := modelTables
	if pgtest.OnCitus() {
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
			d := pgtest.Adopt(t,
				fmt.Sprintf(create, "id bigint NOT NULL", otherColumns),
				"ALTER TABLE "+table+" ALTER filler SET STORAGE PLAIN",
				pgtest.Distribute)
			d.Exec("SET TIME ZONE 'UTC'")
			begin := d.Cases()
			rapid.Check(t, func(t *rapid.T) {
				d := begin(t)
				d.Exec("TRUNCATE " + table)
				d.Exec(`
					TRUNCATE notification_cleanup_runs, notification_cleanup_batches,
						notification_cleanup_open_runs, notification_cleanup_refused RESTART IDENTITY`)
				m := &model{d: d, max: 1}
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

var users = []string{"'alice'", "'bob'", "'carol'", "'dave'"}

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

var someNotification = rapid.Custom(func(t *rapid.T) notification {
	n := notification{createdAt: drawTime(t, "00:00:00"), deletedAt: null}
	n.status = someStatus.Draw(t, "status")
	if rapid.IntRange(0, 7).Draw(t, "odd") == 7 {
		n.createdAt = oddTime.Draw(t, "created_at")
	}
	return n
})
