package recipes

import (
	"cmp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// notification is one of made.
type notification struct {
	ID        int
	OwnerType string
	Owner     int
	Kind      string
	Read      bool
	At        time.Time
}

func (n notification) olderThan(days int) bool {
	return time.Since(n.At) > time.Duration(days)*24*time.Hour
}

// recipe is what a chapter of RECIPES.md promises of an application's table.
type recipe struct {
	application
	promise
}

// promise is the sum of some limits.
type promise []limit

// limit is a rule in the words of its chapter: nothing here is what the cleanup is made of.
type limit struct {
	counts func(notification) bool // for the limit
	goes   func(notification) bool // unless it is kept
	inbox  func(notification) any  // what has the limit; of a notification
	most   int
	keep   int
}

func ofUsers(n notification) bool { return n.OwnerType == "User" }
func isRead(n notification) bool  { return n.Read }
func always(notification) bool    { return true }

func ofKinds(kinds ...string) func(notification) bool {
	return func(n notification) bool { return ofUsers(n) && slices.Contains(kinds, n.Kind) }
}

func ofOwners(owners ...int) func(notification) bool {
	return func(n notification) bool { return ofUsers(n) && slices.Contains(owners, n.Owner) }
}

func owner(n notification) any {
	n.ID, n.Kind, n.Read, n.At = 0, "", false, time.Time{}
	return n
}

var asItIs = promise{{ofUsers, isRead, owner, 1000, 100}}

var adoptions = map[string]recipe{
	"A table that fits as it is": {application: fitting,
		promise: promise{{always, isRead, owner, 1000, 100}}},
	"Laravel":             {application: laravel, promise: asItIs},
	"Rails, with noticed": {application: rails, promise: asItIs},
	"Django, with a boolean": {application: django,
		promise: promise{{ofKinds("comment", "like", "invoice"), isRead, owner, 1000, 100}}},
	"Prisma":                         {application: prisma, promise: asItIs},
	"Read receipts in another table": {application: receipts, promise: asItIs},
	"A partitioned table":            {application: partitioned, promise: asItIs},
	"Citus":                          {application: distributed, promise: asItIs},
}

var policies = map[string]recipe{
	"Some kinds never go, and count": {application: plain, promise: promise{{
		ofUsers,
		func(n notification) bool { return n.Read && ofKinds("comment", "like")(n) },
		owner, 1000, 100,
	}}},
	"Some kinds never go, and do not count": {application: plain,
		promise: promise{{ofKinds("comment", "like"), isRead, owner, 1000, 100}}},
	"Two limits for two kinds": {application: plain, promise: promise{
		{ofKinds("comment"), isRead, owner, 500, 100},
		{ofKinds("like"), isRead, owner, 100, 20},
	}},
	"A limit for each user and kind": {application: plain, promise: promise{{
		ofUsers, isRead,
		func(n notification) any {
			return struct {
				owner int
				kind  string
			}{n.Owner, n.Kind}
		},
		200, 50,
	}}},
	"Keep what is younger than 30 days": {application: plain, promise: oldOnes},
	"Limit unread ones too": {application: plain,
		promise: promise{{ofUsers, always, owner, 1000, 1000}}},
	"Unread ones go once they are 90 days old": {application: plain, promise: promise{{
		ofUsers,
		func(n notification) bool { return n.Read || n.olderThan(90) },
		owner, 1000, 100,
	}}},
	"An age limit": {application: plain, promise: promise{{
		ofUsers,
		func(n notification) bool { return n.Read && n.olderThan(365) },
		owner, 1, 0,
	}}},
	"Some users are exempt": {application: plain,
		promise: promise{{ofOwners(1, 2, 3, 5, 6), isRead, owner, 1000, 100}}},
	"Another limit for another plan": {application: plain, promise: promise{
		{ofOwners(1, 3), isRead, owner, 200, 50},
		{ofOwners(2, 4, 5, 6), isRead, owner, 1000, 100},
	}},
}

var oldOnes = promise{{
	ofUsers,
	func(n notification) bool { return n.Read && n.olderThan(30) },
	owner, 1000, 0,
}}

var zones = map[string]recipe{
	"A policy on times without a time zone": {application: naive, promise: oldOnes},
}

// doomed are the numbers of the notifications that go.
func (p promise) doomed(d *pgtest.Database) []int {
	d.T.Helper()
	all := pgtest.Collect(d, pgx.RowToStructByName[notification], "SELECT * FROM made")
	slices.SortFunc(all, func(a, b notification) int { // the newest first
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.ID, a.ID))
	})
	var numbers []int
	for _, l := range p {
		counted, seen := map[any]int{}, map[any]int{}
		for _, n := range all {
			if l.counts(n) {
				counted[l.inbox(n)]++
			}
		}
		for _, n := range all {
			if inbox := l.inbox(n); l.counts(n) && l.goes(n) && counted[inbox] > l.most {
				if seen[inbox]++; seen[inbox] > l.keep {
					numbers = append(numbers, n.ID)
				}
			}
		}
	}
	slices.Sort(numbers)
	return numbers
}
