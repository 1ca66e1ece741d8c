package run

import (
	"fmt"
	"slices"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// One worker stands in the middle of a batch, with the only user there is.
func TestNoWorkerWaitsForAnotherOnesUser(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	run := d.Plan("batch_size => 100")
	goOn := d.PauseAt(350)
	for range 3 {
		d.Batch(run)
	}
	deleted := d.BatchInBackground(run)
	worker := d.OpenSession()
	worker.Exec("SET lock_timeout = '1ms'") // so it would fail
	for _, want := range []int{100, 100, 100, 100, 100, 1, 0} {
		if got := worker.Batch(run); got != want {
			t.Errorf("a batch deleted %d, want %d", got, want)
		}
	}
	goOn()
	if got := deleted(); got != 100 {
		t.Errorf("the batch in the middle deleted %d, want 100", got)
	}
	d.Drain(run)
	d.WantDeletedBy(d.Record(run), "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

func TestABatchThatBrokeOffIsFreeAgain(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	run := d.Plan("batch_size => 500")
	other := d.OpenSession()
	other.Exec("BEGIN")
	other.Batch(run)
	other.Exec("ROLLBACK")
	if batches := fmt.Sprint(d.Drain(run)); batches != "[500 401]" {
		t.Errorf("the batches deleted %s, want [500 401]", batches)
	}
	d.WantDeletedBy(d.Record(run), "1-901", pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 901})
}

// Others may get on meanwhile, and so may whoever was in its way.
func TestABatchThatGaveWayComesLast(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	run := d.Plan("batch_size => 400")
	d.Exec("UPDATE notification_cleanup_batches SET attempts = 1 WHERE number = 1")
	for _, want := range []int{400, 101, 400} {
		if n := d.Batch(run); n != want {
			t.Errorf("the batch is %d, want %d", n, want)
		}
	}
}

func TestABatchListsBatchSizeNotificationsInTheOrderOfTheTable(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)    // four a page
	d.Insert(pgtest.Bob, "read", 2001, 3001)  // some seventy a page
	d.InsertWide(pgtest.Carol, 4001, 5101, 1) // one in two pages
	run := d.Plan("batch_size => 300")
	d.WantBatches(300, 300, 300, 300, 300, 300, 300, 300, 300, 103)
	const places = `
		SELECT p.place::text
		FROM notification_cleanup_batches AS b
		CROSS JOIN unnest(b.places) WITH ORDINALITY AS p (place, number)
		ORDER BY b.number, p.number`
	const sorted = `
		SELECT p.place::text
		FROM notification_cleanup_batches AS b
		CROSS JOIN unnest(b.places) AS p (place)
		ORDER BY p.place`
	if !slices.Equal(pgtest.All[string](d, places), pgtest.All[string](d, sorted)) {
		t.Error("the lists are not in the order of the table")
	}
	if batches := d.Drain(run); len(batches) != 10 || slices.Max(batches) != 300 {
		t.Errorf("the batches deleted %v, want 300 each", batches)
	}
	d.WantDeletedBy(
		d.Record(run),
		"1-901 2001-2901 4001-5001",
		pgtest.Counts{OverLimit: 3, Cleaned: 3, Deleted: 2803},
	)
}

func TestABatchLiesInOnePartition(t *testing.T) {
	t.Parallel()
	for kind := range pgtest.PartitionedTables {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := pgtest.NewOf(t, kind)
			d.Insert(pgtest.Alice, "read", 1, 90)
			d.Insert(pgtest.Bob, "read", 101, 190)
			d.Insert(pgtest.Carol, "read", 201, 290)
			run := d.Plan("50, 10, 25")
			d.WantNone("a plan", "a batch is of two partitions", `
				SELECT b.number::text
				FROM notification_cleanup_batches AS b
				CROSS JOIN unnest(b.relations) AS r
				GROUP BY b.number
				HAVING count(DISTINCT r) > 1`)
			d.Drain(run)
			d.WantDeletedBy(
				d.Record(run),
				"1-80 101-180 201-280",
				pgtest.Counts{OverLimit: 3, Cleaned: 3, Deleted: 240},
			)
		})
	}
}

// An application with PRIMARY KEY (id, created_at) may have an id twice.
func TestAnIDThatStandsInTwoPartitionsGoesOnlyWhereItWasListed(t *testing.T) {
	t.Parallel()
	const columns = `
		id bigint NOT NULL, user_id bigint NOT NULL, status text NOT NULL,
		created_at timestamptz NOT NULL, deleted_at timestamptz`
	for name, create := range map[string]string{
		"partitions": `
			CREATE TABLE notifications (` + columns + `, PRIMARY KEY (id, created_at))
			PARTITION BY RANGE (created_at);
			CREATE TABLE old PARTITION OF notifications
			FOR VALUES FROM ('2026-01-01Z') TO ('2026-02-01Z');
			CREATE TABLE new PARTITION OF notifications
			FOR VALUES FROM ('2026-02-01Z') TO ('2026-03-01Z')`,
		"children by INHERITS": `
			CREATE TABLE notifications (` + columns + `, PRIMARY KEY (id));
			CREATE TABLE old (PRIMARY KEY (id)) INHERITS (notifications);
			CREATE TABLE new (PRIMARY KEY (id)) INHERITS (notifications)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, create)
			d.Exec(`
				INSERT INTO old
				SELECT i, 1, 'read', timestamptz '2026-01-02Z' + i * interval '1 minute'
				FROM generate_series(1, 1000) AS i;
				INSERT INTO new
				SELECT i, 1, 'read', timestamptz '2026-02-02Z' + i * interval '1 minute'
				FROM generate_series(1, 100) AS i`)
			if run := d.Cleanup(""); run.Planned != 1000 || run.Deleted != 1000 {
				t.Errorf("the record is %+v", run)
			}
			const left = "SELECT count(*) FROM new WHERE deleted_at IS NULL"
			if n := pgtest.One[int](d, left); n != 100 {
				t.Errorf("%d of the 100 newest are left", n)
			}
		})
	}
}

var withAndWithoutStatistics = map[string]string{
	"with planner statistics": "ANALYZE notifications",
	"without":                 "SELECT",
}

// scans are those of the notifications that a batch made in a session of its own: rows met by
// reading a table, and uses of an index, the unique one that an update of the key would check
// aside.
const scans = `
	SELECT coalesce(sum(seq_tup_read), 0) + coalesce(sum(idx_scan), 0)
	FROM pg_stat_xact_user_tables
	WHERE relid IN (SELECT relation FROM notification_tables())`

// eachKindAndStatistics calls test for a plain and for each partitioned table, with and without
// planner statistics, in which Alice has 500 read notifications.
func eachKindAndStatistics(t *testing.T, test func(d *pgtest.Database)) {
	kinds := []string{"plain"}
	for kind := range pgtest.PartitionedTables {
		kinds = append(kinds, kind)
	}
	for _, kind := range kinds {
		for name, analyze := range withAndWithoutStatistics {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				d := pgtest.NewOf(t, kind)
				d.Insert(pgtest.Alice, "read", 1, 500)
				d.Insert(pgtest.Bob, "unread", 1001, 1500)
				d.Exec(analyze)
				test(d)
			})
		}
	}
}

func TestABatchFindsItsRowsByPlaceWhateverTheStatistics(t *testing.T) {
	t.Parallel()
	eachKindAndStatistics(t, func(d *pgtest.Database) {
		run := d.Plan("100, 10, 100")
		for deleted := 0; deleted < 490; {
			session := d.OpenSession()
			session.Exec("BEGIN")
			deleted += session.Batch(run)
			if n := pgtest.One[int](session, scans); n != 0 {
				d.T.Fatalf("a batch scanned tables or indexes: %d", n)
			}
			session.Exec("COMMIT")
		}
	})
}

// What the application has done since the plan is left as it is, and counted.
func TestWhatWasTouchedSinceThePlanIsLeft(t *testing.T) {
	t.Parallel()
	for name, touch := range map[string]string{
		"marked":                   "UPDATE notifications SET status = 'unread'",
		"bumped":                   "UPDATE notifications SET created_at = '2026-01-01Z'",
		"changed in other columns": "UPDATE notifications SET title = 'x'",
		"touched and put back":     "UPDATE notifications SET status = status",
		"given to another user":    "UPDATE notifications SET user_id = " + pgtest.Key(pgtest.Bob),
		"deleted by the user":      "UPDATE notifications SET deleted_at = '2025-06-01Z'",
		"gone":                     "DELETE FROM notifications",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Insert(pgtest.Alice, "read", 1, 1001)
			run := d.Plan("batch_size => 300")
			d.Exec(touch + " WHERE " + pgtest.NotificationNumber + " BETWEEN 11 AND 30")
			d.Drain(run)
			d.WantDeletedBy(
				d.Record(run),
				"1-10 31-901",
				pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 881, Changed: 20},
			)
		})
	}
}

// A place that VACUUM has freed may be filled by any other row.
func TestWhatLiesInAReusedPlaceIsNotTouched(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	run := d.Plan("")
	d.Exec("DELETE FROM notifications WHERE " + pgtest.NotificationNumber + " <= 500")
	d.Vacuum("notifications")
	d.Insert(pgtest.Alice, "read", 2001, 2300)
	reused := pgtest.One[int](d, `
		SELECT count(*)
		FROM notification_cleanup_batches AS b
		CROSS JOIN unnest(b.places) AS p (place)
		JOIN notifications AS n ON n.ctid = p.place
		WHERE n.created_at > (SELECT max(created_at) - interval '299 minutes' FROM notifications)`)
	if reused == 0 {
		t.Fatal("no place was used again")
	}
	d.Drain(run)
	d.WantDeletedBy(
		d.Record(run),
		"501-901",
		pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 401, Changed: 500},
	)
}

// A run of a billion notifications has 100,000 batches; to look through them each time would cost
// as much as half a batch.
func TestABatchIsFoundWithoutLookingAtThoseThatAreDone(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.InsertWide(pgtest.Alice, 1, 1001, 0)
	run := d.Plan("batch_size => 100, pause_factor => 0.001")
	d.Exec(`
		INSERT INTO notification_cleanup_batches (
			run_id, number, done_at, oldest, newest, relations, places, ids, users, created_ats
		)
		SELECT 1, 1000 + i, now(), now(), now(), '{}', '{}', '{}', '{}', '{}'
		FROM generate_series(1, 5000) AS i`)
	session := d.OpenSession() // which has no other statistics
	session.Exec("BEGIN")
	session.Batch(run)
	if n := pgtest.One[int](session, `
		SELECT coalesce(idx_tup_fetch, 0) + seq_tup_read
		FROM pg_stat_xact_user_tables
		WHERE relname = 'notification_cleanup_batches'`); n > 20 {
		t.Errorf("%d batches were read", n)
	}
}
