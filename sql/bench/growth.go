package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// shape is a table in which some users over the limit own some of the notifications, in equal parts. All others own about 20 each.
type shape struct {
	N     int `json:"n"`
	Owned int `json:"owned"` // notifications of users over the limit
	Over  int `json:"over"`  // users over the limit
	Limit int `json:"limit"` // max_notifications
	Keep  int `json:"keep"`  // min_keep
}

// growth is what a shape costs.
type growth struct {
	shape
	Find  sample `json:"find"`  // the bare index-only pass
	Idle  sample `json:"idle"`  // a run that finds nobody
	Drain sample `json:"drain"` // by the program with one worker
	Bare  sample `json:"bare"`  // the bare update of the same rows; there is no room for a copy of the largest table
}

// shapes are tables of different size with the same share of users over the limit, and tables of the same size with few and
// many of them.
func (b *bench) shapes() (shapes []shape) {
	for _, n := range []int{b.n / 10, b.n, 5 * b.n} {
		shapes = append(shapes, shape{n, n / 5, n / 10000, 1000, 100})
	}
	for _, over := range []int{1, b.n / 10000, b.n / 100} {
		shapes = append(shapes, shape{b.n, b.n / 2, over, 40, 10})
	}
	return shapes
}

// grow measures each shape once.
func (b *bench) grow(ctx context.Context) (all []growth, err error) {
	for _, s := range b.shapes() {
		g := growth{shape: s}
		if err := b.loadShape(ctx, s); err != nil {
			return nil, err
		}
		limits := []string{"run", "-max-notifications", strconv.Itoa(s.Limit), "-min-keep", strconv.Itoa(s.Keep)}
		for range 3 { // the last counts
			if err := b.timed(ctx, &g.Find, sql(overTheLimit), base); err != nil {
				return nil, err
			}
			if err := b.timed(ctx, &g.Idle, program("run", "-max-notifications", nobody), base); err != nil {
				return nil, err
			}
		}
		ours := contender{name: oneWorker, drain: program(limits...)}
		if s.N <= b.n {
			if g.Drain, err = b.measure(ctx, ours, 0); err != nil {
				return nil, err
			}
			if s.Limit == 1000 {
				if g.Bare, err = b.measure(ctx, contenders[1], 0); err != nil {
					return nil, err
				}
			}
			if err := b.exec(ctx, "DROP DATABASE "+copied+" WITH (FORCE)"); err != nil { // or autovacuum works on it
				return nil, err
			}
		} else {
			if err := b.exec(ctx, "CHECKPOINT"); err != nil {
				return nil, err
			}
			if err := b.timed(ctx, &g.Drain, ours.drain, base); err != nil {
				return nil, err
			}
			if g.Drain.Notifications, err = b.deleted(ctx, base); err != nil {
				return nil, err
			}
		}
		fmt.Printf("%d notifications, %d users over the limit: idle %.2f s, %d deleted in %.1f s\n",
			s.N, s.Over, g.Idle.Seconds, g.Drain.Notifications, g.Drain.Seconds)
		all = append(all, g)
	}
	return all, b.exec(ctx, "DROP DATABASE "+base+" WITH (FORCE)")
}

// loadShape makes such a table. The rows of a user lie all over it, as they do in an application.
func (b *bench) loadShape(ctx context.Context, s shape) error {
	start := time.Now()
	if err := b.create(ctx); err != nil {
		return err
	}
	if err := b.in(ctx, base,
		"ALTER TABLE notifications DROP CONSTRAINT notifications_pkey", // indexes are built faster afterwards
		"DROP INDEX notifications_live_idx, notifications_deleted_idx",
		"CREATE FUNCTION pick(i bigint, purpose integer, choices bigint) RETURNS bigint LANGUAGE sql IMMUTABLE RETURN (hashint8extended(i, purpose) & 9223372036854775807) % choices",
		fmt.Sprintf(`INSERT INTO notifications (id, user_id, type, title, message, status, created_at)
			SELECT md5(i::text)::uuid,
				md5('user ' || CASE WHEN pick(i, 1, %[1]d) < %[2]d THEN pick(i, 2, %[3]d) ELSE %[3]d + pick(i, 2, %[4]d) END)::uuid,
				'comment', 'New comment', 'Comment on your post', CASE WHEN pick(i, 3, 10) = 0 THEN 'unread' ELSE 'read' END,
				timestamptz '2025-01-01Z' + i * interval '1 year' / %[1]d
			FROM generate_series(1, %[1]d) AS i`, s.N, s.Owned, s.Over, (s.N-s.Owned)/20),
		"SET maintenance_work_mem = '1GB'; ALTER TABLE notifications ADD PRIMARY KEY (id)",
		"SET maintenance_work_mem = '1GB'; "+inboxIndex,
		"CREATE INDEX notifications_live_idx ON notifications (user_id) WHERE deleted_at IS NULL",
		"CREATE INDEX notifications_deleted_idx ON notifications (deleted_at) WHERE deleted_at IS NOT NULL",
		"VACUUM (FREEZE, ANALYZE) notifications",
		doomed,
	); err != nil {
		return err
	}
	fmt.Printf("loaded %d notifications in %.1f s\n", s.N, time.Since(start).Seconds())
	return nil
}
