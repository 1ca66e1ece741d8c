// Bench measures the cleanup beside the physical limit and beside what people run today, on
// copies of one table.
//
//	DATABASE_URL=postgres://... go run ./sql/bench -n 1000000 -rounds 3 -before ../earlier
//	DATABASE_URL=postgres://... go run ./sql/bench -huge -n 50000000 -keys bigint -out .build/bench
//
// It prints what it measures, and writes results.json, tables.md and chart.svg into the folder
// -out, where each mode replaces its own figures. The server should be set up like one in
// production and run on this machine: with-postgres -durable. It takes PostgreSQL 15 or later, to
// copy databases quickly; the databases that it makes stay until the next run.
package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"github.com/jackc/pgx/v5"
)

// bench is the server, what is to be done on it, and what came of it.
type bench struct {
	server                  *url.URL
	n, rounds, round        int
	mode, keys, before, out string
	doomed                  int64     // notifications that are to be deleted
	kilobytes               int64     // what a program had resident at the most
	holder                  *pgx.Conn // of rows
	samples                 []sample
}

// sample is what one contender did in one round.
type sample struct {
	Kind, Contender     string
	Round               int
	Notifications       int64   // soft-deleted
	Seconds             float64 // until all were
	WALBytes, Kilobytes int64   // written meanwhile; resident at the most, of a program
	// Of the table on a thin night, each as often as it was read; and how many it has.
	PagesRead, Pages int64       `json:",omitzero"`
	Application      application `json:",omitzero"` // beside it
}

// Kinds of samples, modes, and databases: the table, and the copy of it that a contender gets.
const (
	drain      = "drain"
	smallWAL   = "drain with max_wal_size = 1GB"
	beside     = "beside an application"
	find       = "find: nobody is over the limit"
	idle       = "nothing to delete"
	insertEach = "inserts, each committed"
	insertAll  = "inserts in one transaction"
	thin       = "thin night"
	standard   = "standard"
	pace       = "pace"
	large      = "large"
	huge       = "huge, " // and the keys
	onCluster  = "cluster"
	base       = "bench_base"
	copied     = "bench_copy"
)

func main() {
	b := bench{mode: standard, round: 1}
	measure := b.measureAll
	flag.IntVar(&b.n, "n", 1000000, "notifications in the table")
	flag.IntVar(
		&b.rounds,
		"rounds",
		0,
		"how often everything is measured, the tables show medians; "+
			"0: three times, or once below a million notifications",
	)
	flag.StringVar(&b.out, "out", ".build/bench", "folder of the results")
	flag.StringVar(
		&b.before,
		"before",
		"",
		"folder of an earlier version, whose procedure is measured too",
	)
	flag.BoolFunc(
		large,
		"measure once what changes with the size of the table and with max_wal_size, "+
			"and a thin night",
		func(string) error { b.mode, measure = large, b.measureLarge; return nil },
	)
	flag.BoolFunc(
		pace,
		"measure an application beside runs that rest",
		func(string) error { b.mode, measure = pace, b.measurePace; return nil },
	)
	flag.BoolFunc("huge", "measure on parts of a table of which there is no room for copies",
		func(string) error { measure = b.measureHuge; return nil })
	flag.BoolFunc(
		growth,
		"measure how the cost of a notification changes with the number of users "+
			"and with partitions",
		func(string) error { measure = b.measureGrowth; return nil },
	)
	flag.BoolFunc(
		"citus",
		"compare the coordinator of a cluster with its workers",
		func(string) error { measure = b.measureCitus; return nil },
	)
	flag.StringVar(
		&b.keys,
		"keys",
		"uuid",
		"ids of the table of -huge: uuid, which are random, or bigint, in the order of time",
	)
	flag.Parse()
	b.rounds = cmp.Or(b.rounds, min(3, 1+2*(b.n/1000000)))
	defer func() { // by check
		if err := recover(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
	}()
	ctx, stop := signal.NotifyContext(
		context.Background(),
		os.Interrupt,
	) // or a setting of the server would stay
	defer stop()
	b.server = must(url.Parse(os.Getenv("DATABASE_URL")))
	if b.server.Scheme == "" {
		check(fmt.Errorf("DATABASE_URL is not the URL of a server: run make bench"))
	}
	if b.before != "" {
		b.command(
			ctx,
			"",
			"sh",
			"-c",
			`go build -C "$0" -o "$PWD/`+programBefore+`" ./cmd/notification-cleanup`,
			b.before,
		)
	}
	measure(ctx)
	b.write()
}

// measureAll lets every contender drain a copy of the table, alone and beside an application, and
// looks what else takes time.
func (b *bench) measureAll(ctx context.Context) {
	b.load(ctx, doomed, "-v", fmt.Sprint("n=", b.n), "-f", "sql/demo/demo_data.sql")
	for ; b.round <= b.rounds; b.round++ {
		b.each(ctx, drain)
		b.each(ctx, beside)
		b.each(ctx, find)
		b.copy(ctx, contender{}, "VACUUM notifications")
		b.in(
			ctx,
			copied,
			"ALTER TABLE notifications SET (autovacuum_enabled = off)",
			"SELECT cleanup_notifications()",
		)
		unvacuumed := b.timed(ctx, idle, "limit, once, before VACUUM", sql(overTheLimit), copied)
		b.in(ctx, copied, "VACUUM (ANALYZE) notifications")
		b.add(
			best(4, func() sample { return b.timed(ctx, idle, limit, sql(overTheLimit), copied) }),
		)
		b.add(unvacuumed)
		for _, c := range b.contenders("stats", "preview", function, procedure, oneWorker) {
			b.add(best(4, func() sample { return b.timed(ctx, idle, c.name, c.drain, copied) }))
		}
		each, all := insertRows(500, "", ""), insertRows(50, "BEGIN", "COMMIT")
		for _, c := range []contender{
			{name: withoutIndex, setup: "DROP INDEX notifications_live_idx"},
			{name: withIndex},
		} {
			b.copy(ctx, c, "VACUUM notifications")
			b.add(best(4, func() sample { return b.timed(ctx, insertEach, c.name, each, copied) }))
			b.add(best(4, func() sample { return b.timed(ctx, insertAll, c.name, all, copied) }))
		}
	}
}

// each measures contenders, those of these names or all.
func (b *bench) each(ctx context.Context, kind string, names ...string) {
	for _, c := range b.contenders(names...) {
		switch {
		case c.only != "" && c.only != kind:
		case kind == find: // that nobody is over the limit
			b.copy(ctx, c, "VACUUM (ANALYZE) notifications")
			b.add(best(4, func() sample { return b.timed(ctx, find, c.name, c.find, copied) }))
		default:
			b.add(b.measure(ctx, kind, c))
		}
	}
}

// measureLarge measures once what changes with the size of the table.
func (b *bench) measureLarge(ctx context.Context) {
	b.load(ctx, doomed, "-v", fmt.Sprint("n=", b.n), "-f", "sql/demo/demo_data.sql")
	b.each(ctx, drain, limit, oneWorker, twoWorkers, planAlone)
	b.withSmallWAL(ctx, func() { b.each(ctx, smallWAL, limit, oneWorker, twoWorkers) })
	b.each(ctx, find, limit, function, oneWorker)
	// The usual night: a few users of many, whose notifications lie all over the table.
	b.load(ctx, doomed, b.evenData(20*1500, 20)...)
	for _, c := range b.contenders(procedureBefore, procedure) {
		b.add(best(3, func() sample { return b.measure(ctx, thin, c) }))
	}
}

// measurePace measures an application beside runs that rest, and as long without one: so that the
// stalls of the disk, which come every half a minute, are in all figures alike.
func (b *bench) measurePace(ctx context.Context) {
	b.load(ctx, doomed, "-v", fmt.Sprint("n=", b.n), "-f", "sql/demo/demo_data.sql")
	for ; b.round <= b.rounds; b.round++ {
		b.add(b.measure(ctx, beside, contender{name: alone, drain: sql("SELECT pg_sleep(30)")}))
		b.each(ctx, beside, oneWorker, twoWorkers)
		for _, factor := range []string{"1", "3", "9"} {
			rests := program("run", "--pause-factor", factor)
			b.add(b.measure(ctx, beside, contender{name: pauseOf + factor, drain: rests}))
		}
	}
}

// measureHuge lets the limit delete what is doomed in a first part of the table, and batches of
// ours as much of the rest. There is no VACUUM between the two, so both write new versions to the
// end of the table.
func (b *bench) measureHuge(ctx context.Context) {
	b.mode = huge + b.keys
	part := 3 * b.n / 100
	b.load(
		ctx,
		fmt.Sprintf("%s ORDER BY address LIMIT %d", doomed, part),
		b.evenData(b.n/5, b.n/10000)...)
	b.in(ctx, base, "ALTER TABLE notifications SET (autovacuum_enabled = off)")
	batches := fmt.Sprintf(`
		DO $$
		DECLARE
			done bigint := 0;
		BEGIN
			WHILE done < %d LOOP
				done := done + cleanup_next_batch(
					(SELECT max(id) FROM notification_cleanup_runs)
				);
				COMMIT;
			END LOOP;
		END $$`, part)
	b.withSmallWAL(ctx, func() {
		inBatches := contender{name: inBatches, drain: sql(batches)}
		for _, c := range append(b.contenders(limit, planAlone), inBatches) {
			b.in(ctx, base, "CHECKPOINT")
			var before int64
			b.scan(ctx, base, countDeleted, &before)
			s := b.timed(ctx, smallWAL, c.name, c.drain, base)
			b.scan(ctx, base, countDeleted, &s.Notifications)
			s.Notifications -= before
			b.add(s)
		}
	})
}

// withSmallWAL does something with PostgreSQL's own max_wal_size, which makes checkpoints frequent.
func (b *bench) withSmallWAL(ctx context.Context, do func()) {
	defer b.in(
		context.Background(),
		base,
		"ALTER SYSTEM RESET max_wal_size",
		"SELECT pg_reload_conf()",
	)
	b.in(ctx, base, "ALTER SYSTEM SET max_wal_size = '1GB'", "SELECT pg_reload_conf()")
	time.Sleep(time.Second)
	var size string
	if b.scan(ctx, base, "SHOW max_wal_size", &size); size != "1GB" {
		check(fmt.Errorf("max_wal_size stays %s: the command line of the server sets it", size))
	}
	do()
}

// load makes the table, with the index that an inbox page needs, which every contender has to
// maintain. psql fills it.
func (b *bench) load(ctx context.Context, doomed string, fill ...string) {
	start := time.Now()
	b.in(
		ctx,
		"postgres",
		"DROP DATABASE IF EXISTS "+copied+" WITH (FORCE)",
		"DROP DATABASE IF EXISTS "+base+" WITH (FORCE)",
		"CREATE DATABASE "+base,
	)
	if b.keys == "bigint" {
		b.in(ctx, base, `
			CREATE TABLE notifications (
				id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
				user_id uuid NOT NULL,
				type text,
				title text,
				message text,
				data jsonb,
				status text DEFAULT 'unread',
				read_at timestamptz,
				created_at timestamptz NOT NULL DEFAULT now(),
				deleted_at timestamptz
			)`)
	}
	b.command(ctx, base, "notification-cleanup", "migrate", "up")
	then := []string{
		"SET maintenance_work_mem = '1GB'",
		"CREATE INDEX notifications_inbox_idx ON notifications (user_id, created_at DESC)",
	}
	if b.mode != standard { // indexes are built faster afterwards
		b.in(
			ctx,
			base,
			"ALTER TABLE notifications DROP CONSTRAINT notifications_pkey",
			"DROP INDEX notifications_live_idx, notifications_deleted_idx",
		)
		then = append(
			then,
			"ALTER TABLE notifications ADD PRIMARY KEY (id)",
			`CREATE INDEX notifications_live_idx ON notifications (user_id)
			WHERE deleted_at IS NULL`,
			`CREATE INDEX notifications_deleted_idx ON notifications (deleted_at)
			WHERE deleted_at IS NOT NULL`,
		)
	}
	b.command(
		ctx,
		base,
		"psql",
		append([]string{"-Xq", "-v", "ON_ERROR_STOP=1", "-d", b.url(base)}, fill...)...)
	b.in(ctx, base, append(then, "VACUUM (FREEZE, ANALYZE) notifications", doomed)...)
	b.scan(ctx, base, "SELECT count(*) FROM doomed", &b.doomed)
	fmt.Printf("loaded %d notifications in %.1f s\n", b.n, time.Since(start).Seconds())
}

// evenData are arguments of psql for a table in which some users over the limit own some of the
// notifications, in equal parts. All others own about 20 each. The rows of a user lie all over
// it, as they do in an application.
func (b *bench) evenData(owned, over int) []string {
	const pick = `
		CREATE FUNCTION pick(i bigint, purpose integer, choices bigint)
		RETURNS bigint
		LANGUAGE sql
		IMMUTABLE
		RETURN (hashint8extended(i, purpose) & 9223372036854775807) % choices`
	const insert = `
		INSERT INTO notifications (id, user_id, type, title, message, status, created_at)
		SELECT
			%[5]s,
			md5('user ' || CASE
				WHEN pick(i, 1, %[1]d) < %[2]d THEN pick(i, 2, %[3]d)
				ELSE %[3]d + pick(i, 2, %[4]d)
			END)::uuid,
			'comment',
			'New comment',
			'Comment on your post',
			CASE WHEN pick(i, 3, 10) = 0 THEN 'unread' ELSE 'read' END,
			timestamptz '2025-01-01Z' + i * interval '1 year' / %[1]d
		FROM generate_series(1, %[1]d) AS i`
	key := map[string]string{"uuid": "md5(i::text)::uuid", "bigint": "i"}[b.keys]
	return []string{
		"-c", pick,
		"-c", fmt.Sprintf(insert, b.n, owned, over, (b.n-owned)/20, key),
	}
}

// copy gives a contender its copy of the table.
func (b *bench) copy(ctx context.Context, c contender, vacuum string) {
	b.in(
		ctx,
		"postgres",
		"DROP DATABASE IF EXISTS "+copied+" WITH (FORCE)",
		"CREATE DATABASE "+copied+" TEMPLATE "+base+" STRATEGY file_copy",
	)
	switch c.name {
	case procedureBefore:
		b.command(ctx, copied, "notification-cleanup", "migrate", "down")
		b.in(ctx, copied, "DROP TABLE IF EXISTS notification_cleanup_runs")
		b.command(ctx, copied, programBefore, "migrate", "up")
	case rowsHeld: // which lie all over the table
		b.holder = must(pgx.Connect(ctx, b.url(copied)))
		must(b.holder.Exec(ctx, `
			BEGIN;
			SELECT
			FROM notifications
			WHERE ctid = ANY (ARRAY(
				SELECT min(address)
				FROM (
					SELECT
						address,
						ntile(1000) OVER (ORDER BY address) AS part
					FROM doomed
				) AS parts
				GROUP BY part
			))
			FOR UPDATE`))
	}
	b.in(ctx, copied, c.setup, vacuum, "CHECKPOINT")
}

// measure lets a contender drain a copy of the table; beside an application, if that is the kind.
func (b *bench) measure(ctx context.Context, kind string, c contender) sample {
	b.copy(ctx, c, "VACUUM notifications")
	stop := func() (none application) { return none }
	if kind == beside {
		stop = b.startApplication(ctx)
	}
	s := b.timed(ctx, kind, c.name, c.drain, copied)
	s.Application = stop()
	if kind == thin { // the server hears what a session read when that ends
		const pages = `
			SELECT heap_blks_read + heap_blks_hit, relpages
			FROM pg_sleep(1), pg_statio_user_tables AS t
			JOIN pg_class AS c ON c.oid = t.relid
			WHERE c.relname = 'notifications'`
		b.scan(ctx, copied, pages, &s.PagesRead, &s.Pages)
	}
	if c.name != alone {
		b.scan(ctx, copied, countDeleted, &s.Notifications)
	}
	var skipped int64
	if c.name == rowsHeld {
		b.scan(ctx, copied, "SELECT notifications_skipped FROM notification_cleanup_runs", &skipped)
	}
	if kind != beside && c.name != planAlone && s.Notifications+skipped != b.doomed ||
		c.name == rowsHeld && skipped != 1000 {
		check(
			fmt.Errorf(
				"%s: %d deleted and %d skipped of %d",
				c.name,
				s.Notifications,
				skipped,
				b.doomed,
			),
		)
	}
	return s
}

// best takes the fastest of a few.
func best(times int, measure func() sample) (fastest sample) {
	for i := range times {
		if s := measure(); i == 0 || s.Seconds < fastest.Seconds {
			fastest = s
		}
	}
	return fastest
}

// timed does something, and notes what it cost.
func (b *bench) timed(ctx context.Context, kind, name string, do action, database string) sample {
	const wal = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
	var before, after int64
	b.scan(ctx, database, wal, &before)
	b.kilobytes = 0
	start := time.Now()
	do(ctx, b, database)
	seconds := time.Since(start).Seconds()
	b.scan(ctx, database, wal, &after)
	return sample{
		Kind:      kind,
		Contender: name,
		Round:     b.round,
		Seconds:   seconds,
		WALBytes:  after - before,
		Kilobytes: b.kilobytes,
	}
}

func (b *bench) add(s sample) {
	b.samples = append(b.samples, s)
	fmt.Printf("round %d: %s, %s: %.3f s\n", s.Round, s.Kind, s.Contender, s.Seconds)
}

func (b *bench) url(database string) string {
	u := *b.server
	u.Path = "/" + database
	return u.String()
}

func (b *bench) in(ctx context.Context, database string, statements ...string) {
	conn := must(pgx.Connect(ctx, b.url(database)))
	defer conn.Close(ctx)
	for _, statement := range statements {
		must(conn.Exec(ctx, statement))
	}
}

func (b *bench) scan(ctx context.Context, database, query string, row ...any) {
	conn := must(pgx.Connect(ctx, b.url(database)))
	defer conn.Close(ctx)
	check(conn.QueryRow(ctx, query).Scan(row...))
}

// command runs a program, and notes the most memory that it had resident.
func (b *bench) command(ctx context.Context, database, name string, args ...string) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+b.url(database))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				check(fmt.Errorf("%s: %w: %s", name, err, &out))
			}
			return
		case <-time.After(10 * time.Millisecond):
			// Linux keeps the peak; rusage would have that of this process in it.
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			if _, peak, found := bytes.Cut(status, []byte("VmHWM:")); found {
				_, _ = fmt.Sscan(string(peak), &b.kilobytes)
			}
		}
	}
}

// check gives up, for main to say why: there is no error that a benchmark could do anything about.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}
