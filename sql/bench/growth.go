package main

import (
	"context"
	"fmt"
	"time"
)

// Kinds of samples of the mode growth.
const (
	growth        = "growth"
	growthPlan    = "plan, by users over the limit"
	growthBatches = "batches, by users over the limit"
	shapes        = "batches, by shape of the table"
	plain         = "plain table"
	hashOfUser    = "64 partitions by hash of the user"
	rangeOfTime   = "24 partitions by range of time"
	hashOfID      = "16 partitions by hash of the id"
)

// growthUsers are how many users are over the limit, while the number of notifications that go
// stays the same.
var growthUsers = []int{100, 1000, 20000, 200000, 1000000}

// shapesOfTables are statements that create the table, in the order of the report. In the last one
// neither user nor time tells which partition a notification is in.
var shapesOfTables = []struct{ name, create string }{
	{plain, "SELECT"},
	{
		hashOfUser,
		partitioned("user_id", "HASH (user_id)", 64, "WITH (MODULUS 64, REMAINDER %s)", "i"),
	},
	{rangeOfTime, partitioned("created_at", "RANGE (created_at)", 24,
		"FROM (%s) TO (%s)", month("i"), month("i + 1"))},
	{hashOfID, partitioned("id", "HASH (id)", 16, "WITH (MODULUS 16, REMAINDER %s)", "i")},
}

func users(n int) string { return fmt.Sprintf("%d users", n) }

// month is the beginning of the month with this number, as an expression for format().
func month(number string) string {
	return fmt.Sprintf(
		"quote_literal(timestamptz '2024-01-01Z' + (%s) * interval '1 month')",
		number,
	)
}

// partitioned creates the table in so many partitions, whose bounds are made from these values.
func partitioned(key, by string, n int, bounds string, values ...any) string {
	for i, value := range values {
		values[i] = fmt.Sprintf("' || %s || '", value)
	}
	return fmt.Sprintf(
		`CREATE TABLE notifications (
			id uuid NOT NULL DEFAULT gen_random_uuid(),
			user_id uuid NOT NULL,
			type text,
			title text,
			message text,
			status text,
			created_at timestamptz NOT NULL,
			UNIQUE (id%[1]s)
		) PARTITION BY %[2]s;
		DO $$ BEGIN
			FOR i IN 0 .. %[3]d - 1 LOOP
				EXECUTE 'CREATE TABLE part_' || i || ' PARTITION OF notifications FOR VALUES %[4]s';
			END LOOP;
		END $$`,
		map[bool]string{true: "", false: ", " + key}[key == "id"],
		by,
		n,
		fmt.Sprintf(bounds, values...),
	)
}

// measureGrowth measures how the cost of a planned and of a deleted notification changes with the
// number of users, and that of a deleted one with the partitions of the table.
func (b *bench) measureGrowth(ctx context.Context) {
	b.mode = growth
	for _, n := range growthUsers {
		each := b.n / n
		if each < 2 {
			continue // at the limit, and not over it
		}
		b.crowd(ctx, shapesOfTables[0].create, n)
		plan := fmt.Sprintf("SELECT plan_notification_cleanup(%d, %d)", each-1, each/2)
		s := b.timed(ctx, growthPlan, users(n), sql(plan), base)
		b.scan(
			ctx,
			base,
			"SELECT notifications_planned FROM notification_cleanup_runs",
			&s.Notifications,
		)
		b.add(s)
		b.add(b.drainRun(ctx, growthBatches, users(n)))
	}
	for _, shape := range shapesOfTables {
		b.crowd(ctx, shape.create, 1000)
		each := b.n / 1000
		b.in(ctx, base, fmt.Sprintf("SELECT plan_notification_cleanup(%d, %d)", each-1, each/2))
		b.add(b.drainRun(ctx, shapes, shape.name))
	}
}

// drainRun does all batches of run 1, and closes it.
func (b *bench) drainRun(ctx context.Context, kind, name string) sample {
	const batches = `
		DO $$
		BEGIN
			WHILE cleanup_next_batch(1) IS NOT NULL LOOP
				COMMIT;
			END LOOP;
		END $$`
	b.in(ctx, base, "CHECKPOINT")
	s := b.timed(ctx, kind, name, sql(batches), base)
	b.scan(ctx, base, countDeleted, &s.Notifications)
	return s
}

// crowd makes a table in which so many users have the same number of notifications, all read,
// which lie all over it, as they do in an application.
func (b *bench) crowd(ctx context.Context, create string, users int) {
	start := time.Now()
	b.in(ctx, "postgres",
		"DROP DATABASE IF EXISTS "+base+" WITH (FORCE)",
		"CREATE DATABASE "+base)
	b.in(ctx, base, create)
	b.command(ctx, base, "notification-cleanup", "migrate", "up")
	b.in(ctx, base,
		fmt.Sprintf(`INSERT INTO notifications (user_id, type, title, message, status, created_at)
			SELECT
				md5('user ' || i %% %[2]d)::uuid,
				'comment',
				'New comment',
				'Comment on your post',
				'read',
				timestamptz '2024-01-01Z' + i * (interval '730 days' / %[1]d)
			FROM generate_series(1, %[1]d) AS i`, b.n, users),
		"VACUUM (FREEZE, ANALYZE) notifications")
	fmt.Printf("loaded %d notifications of %d users in %.1f s\n",
		b.n, users, time.Since(start).Seconds())
}
