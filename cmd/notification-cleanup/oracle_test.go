package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A notification as the oracle sees it; nil is NULL.
type notification struct {
	id        int
	user      *int
	status    *string
	createdAt *int // minutes since 2025-01-01
	deleted   bool
}

const (
	infinitelyOld = -1 << 31
	future        = 1 << 30 // in the year 4066
	infinity      = 1<<31 - 1
)

type verdict struct {
	deleted []int
	counts  counts
	preview []previewRow
	stats   string
}

// oracle applies section 1 of the design to some notifications.
func oracle(notifications []notification, maxNotifications, minKeep int) verdict {
	inboxes := map[int][]notification{}
	total := 0
	for _, n := range notifications {
		if n.deleted {
			continue
		}
		total++
		if n.user != nil {
			inboxes[*n.user] = append(inboxes[*n.user], n)
		}
	}
	var v verdict
	for user, inbox := range inboxes {
		if len(inbox) <= maxNotifications {
			continue
		}
		var read []notification
		unread := 0
		for _, n := range inbox {
			if n.status != nil && *n.status == "read" && n.createdAt != nil && *n.createdAt < future {
				read = append(read, n)
			}
			if n.status != nil && *n.status == "unread" {
				unread++
			}
		}
		slices.SortFunc(read, func(a, b notification) int { // newest first
			return -cmp.Or(cmp.Compare(*a.createdAt, *b.createdAt), cmp.Compare(a.id, b.id))
		})
		excess := read[min(minKeep, len(read)):]
		for _, n := range excess {
			v.deleted = append(v.deleted, n.id)
		}
		v.preview = append(v.preview, previewRow{user, int64(len(inbox)), int64(unread), int64(len(excess))})
		v.counts.OverLimit++
		v.counts.Deleted += int64(len(excess))
		if len(excess) > 0 {
			v.counts.Cleaned++
		}
		if len(inbox)-len(excess) > maxNotifications {
			v.counts.StillOver++
		}
	}
	slices.Sort(v.deleted)
	slices.SortFunc(v.preview, func(a, b previewRow) int { // the most first
		return cmp.Or(-cmp.Compare(a.Deletable, b.Deletable), cmp.Compare(a.User, b.User))
	})
	v.stats = fmt.Sprint(total, len(inboxes), v.counts.OverLimit)
	return v
}

func randomNotifications(random *rand.Rand) []notification {
	pick := func(values ...string) *string { return &values[random.IntN(len(values))] }
	var notifications []notification
	for _, id := range random.Perm(random.IntN(120)) {
		n := notification{id: id + 1, status: pick("read", "read", "read", "read", "unread", "archived", "READ", "")}
		if random.IntN(20) == 0 {
			n.status = nil
		}
		if user := random.IntN(6); user > 0 || random.IntN(2) == 0 {
			user = max(1, user)
			n.user = &user
		}
		createdAt := random.IntN(12) // so ties are many
		switch random.IntN(40) {
		case 0:
			createdAt = infinitelyOld
		case 1:
			createdAt = future
		case 2:
			createdAt = infinity
		}
		if random.IntN(20) != 0 {
			n.createdAt = &createdAt
		}
		n.deleted = random.IntN(8) == 0
		notifications = append(notifications, n)
	}
	return notifications
}

func insertStatement(notifications []notification) string {
	null := "NULL"
	var rows []string
	for _, n := range notifications {
		user, status, createdAt, deletedAt := null, null, null, null
		if n.user != nil {
			user = key(*n.user)
		}
		if n.status != nil {
			status = "'" + *n.status + "'"
		}
		if n.createdAt != nil {
			createdAt = map[int]string{infinitelyOld: "'-infinity'", infinity: "'infinity'"}[*n.createdAt]
			if createdAt == "" {
				createdAt = fmt.Sprintf("timestamptz '2025-01-01Z' + %d * interval '1 minute'", *n.createdAt)
			}
		}
		if n.deleted {
			deletedAt = "'2025-02-01Z'"
		}
		rows = append(rows, fmt.Sprintf("(%d, %s, %s, %s, %s)", n.id, user, status, createdAt, deletedAt))
	}
	if rows == nil {
		return ""
	}
	return "INSERT INTO notifications (id, user_id, status, created_at, deleted_at) VALUES\n" + strings.Join(rows, ",\n")
}

func TestAgreesWithTheOracle(t *testing.T) {
	t.Parallel()
	cases := 300
	if testing.Short() {
		cases = 30
	}
	seed := rand.Uint64()
	if value := os.Getenv("ORACLE_SEED"); value != "" {
		var err error
		if seed, err = strconv.ParseUint(value, 10, 64); err != nil {
			t.Fatalf("ORACLE_SEED: %v", err)
		}
	}
	d := adopt(t, nullable)
	setup := d.script.statements
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range cases {
		d.script.statements = slices.Clone(setup)
		d.exec("TRUNCATE notifications, notification_cleanup_runs RESTART IDENTITY")
		d.agreesWithOracle(random)
		if t.Failed() {
			t.Fatalf("case %d of ORACLE_SEED=%d", i, seed)
		}
	}
}

// agreesWithOracle makes up one case, with one call for everybody or a call for each of two halves of the users.
func (d *database) agreesWithOracle(random *rand.Rand) {
	notifications := randomNotifications(random)
	maxNotifications := 3 + random.IntN(18)
	minKeep := random.IntN(maxNotifications + 1)
	limits := fmt.Sprintf("%d, %d", maxNotifications, minKeep)
	want := oracle(notifications, maxNotifications, minKeep)

	d.exec(insertStatement(notifications))
	d.wantPreview(limits, want.preview...)
	d.wantStats(strconv.Itoa(maxNotifications), want.stats)
	if random.IntN(2) == 0 {
		d.wantCleanup(limits, ranges(want.deleted), want.counts)
	} else {
		halves := [2][]int{}
		for user := 1; user <= 6; user++ {
			half := random.IntN(2)
			halves[half] = append(halves[half], user)
		}
		batch := d.openRun("2025-06-01Z", maxNotifications, minKeep)
		d.cleanup(batch + ", " + usersArgument(halves[0]...))
		run := d.cleanup(batch + ", " + usersArgument(halves[1]...))
		d.wantDeletedBy(run, ranges(want.deleted), want.counts)
	}
	// All that is left over the limit is what cannot be deleted.
	d.wantCleanup(limits, "", counts{OverLimit: want.counts.StillOver, StillOver: want.counts.StillOver})
}
