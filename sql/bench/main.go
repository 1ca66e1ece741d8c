// Bench measures the cleanup beside the physical limit and beside what people run today, all on copies of one table.
//
//	DATABASE_URL=postgres://... go run ./sql/bench -n 1000000 -rounds 3 -out .build/bench
//	DATABASE_URL=postgres://... go run ./sql/bench -growth -n 10000000 -out .build/bench
//
// It prints what it measures, and writes results.json, tables.md and chart.svg into the folder -out; -growth, which measures
// tables of many sizes and shapes instead, adds to those that are there. The server should be set up like one in production and
// run on this machine: with-postgres -durable. It takes PostgreSQL 15 or later, to copy databases quickly; the databases that
// it makes stay until the next run.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// sample is what one contender did in one round.
type sample struct {
	Kind          string       `json:"kind"`
	Contender     string       `json:"contender"`
	Round         int          `json:"round"`
	Notifications int64        `json:"notifications"`  // soft-deleted
	Seconds       float64      `json:"seconds"`        // until all were
	WALBytes      int64        `json:"wal_bytes"`      // written meanwhile
	TempBytes     int64        `json:"temp_bytes"`     // in temporary files, at the most
	ResidentBytes int64        `json:"resident_bytes"` // of the program, at the most
	Application   *application `json:"application"`    // at work beside it; nil: nobody was
}

// Kinds of samples.
const (
	drain  = "drain"
	beside = "beside an application"
	find   = "find"
	idle   = "nothing to delete"
	insert = "insert"
)

// bench is the server and what is to be done on it.
type bench struct {
	server *url.URL
	admin  *pgx.Conn
	data   string // folder of the server
	n      int
	rounds int
	rate   int
	out    string
}

func main() {
	b := bench{}
	flag.IntVar(&b.n, "n", 1000000, "notifications in the table")
	flag.IntVar(&b.rounds, "rounds", 0, "how often everything is measured, the tables show medians; 0: three times, or once below a million notifications")
	flag.IntVar(&b.rate, "rate", 200, "operations of the application a second")
	flag.StringVar(&b.out, "out", ".build/bench", "folder of the results")
	growth := flag.Bool("growth", false, "measure how the cost of a row grows, with tables of n / 10 to 5 n notifications")
	flag.Parse()
	if b.rounds == 0 {
		if b.rounds = 3; b.n < 1000000 {
			b.rounds = 1
		}
	}
	if err := b.run(context.Background(), *growth); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, growth bool) (err error) {
	if b.server, err = url.Parse(os.Getenv("DATABASE_URL")); err != nil || b.server.Scheme == "" {
		return fmt.Errorf("DATABASE_URL is not the URL of a server: run make bench")
	}
	if b.admin, err = pgx.Connect(ctx, b.server.String()); err != nil {
		return err
	}
	defer b.admin.Close(ctx)
	if err := b.admin.QueryRow(ctx, "SHOW data_directory").Scan(&b.data); err != nil {
		return err
	}
	r := b.earlier()
	if growth {
		if r.Growth, err = b.grow(ctx); err != nil {
			return err
		}
		return b.write(r)
	}
	if err := b.load(ctx); err != nil {
		return err
	}
	r.N, r.Samples = b.n, nil
	all := contenders
	if b.n >= 1000000 { // they take a while, and on a small table they differ too little
		all = slices.Concat(contenders, variants)
	}
	for round := 1; round <= b.rounds; round++ {
		for _, c := range all {
			for _, rate := range []int{0, b.rate} {
				if rate == 0 && c.find == nil {
					continue
				}
				s, err := b.measure(ctx, c, rate)
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				s.Round = round
				r.Samples = append(r.Samples, s)
				fmt.Printf("round %d: %-18s %7.2f s\n", round, c.name, s.Seconds)
			}
		}
		looked, err := b.look(ctx, round)
		if err != nil {
			return err
		}
		r.Samples = append(r.Samples, looked...)
	}
	return b.write(r)
}

// The table, and the copy of it that a contender gets.
const (
	base   = "bench_base"
	copied = "bench_copy"
)

func (b *bench) copy(ctx context.Context, statements ...string) error {
	if err := b.exec(ctx, "DROP DATABASE IF EXISTS "+copied+" WITH (FORCE)", "CREATE DATABASE "+copied+" TEMPLATE "+base+" STRATEGY file_copy"); err != nil {
		return err
	}
	return b.in(ctx, copied, statements...)
}

// inboxIndex is what an inbox page needs; every contender has to maintain it.
const inboxIndex = "CREATE INDEX notifications_inbox_idx ON notifications (user_id, created_at DESC)"

// create makes the table, empty.
func (b *bench) create(ctx context.Context) error {
	if err := b.exec(ctx, "DROP DATABASE IF EXISTS "+base+" WITH (FORCE)", "CREATE DATABASE "+base); err != nil {
		return err
	}
	_, err := b.program(ctx, base, "migrate", "up")
	return err
}

// load makes the table of which every contender gets a copy.
func (b *bench) load(ctx context.Context) error {
	start := time.Now()
	if err := b.create(ctx); err != nil {
		return err
	}
	load := exec.CommandContext(ctx, "psql", "-Xq", "-v", fmt.Sprint("n=", b.n), "-f", "sql/demo_data.sql", b.url(base))
	load.Stderr = os.Stderr
	if err := load.Run(); err != nil {
		return err
	}
	if err := b.in(ctx, base, inboxIndex, "VACUUM (FREEZE, ANALYZE) notifications", doomed); err != nil {
		return err
	}
	fmt.Printf("loaded %d notifications in %.1f s\n", b.n, time.Since(start).Seconds())
	return nil
}

// measure lets a contender drain a copy of the table, while an application does its operations at a rate.
func (b *bench) measure(ctx context.Context, c contender, rate int) (s sample, err error) {
	if err := b.copy(ctx, append(slices.Clone(c.setup), "VACUUM notifications", "CHECKPOINT")...); err != nil {
		return s, err
	}
	s.Kind, s.Contender = drain, c.name
	stop := func() *application { return nil }
	if rate > 0 {
		s.Kind = beside
		if stop, err = startApplication(ctx, b.url(copied), rate, b.n); err != nil {
			return s, err
		}
	}
	if err := b.timed(ctx, &s, c.drain, copied); err != nil {
		return s, err
	}
	s.Application = stop()
	s.Notifications, err = b.deleted(ctx, copied)
	return s, err
}

// deleted is how many notifications are soft-deleted.
func (b *bench) deleted(ctx context.Context, database string) (count int64, err error) {
	conn, err := pgx.Connect(ctx, b.url(database))
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "SELECT count(deleted_at) FROM notifications").Scan(&count)
	return count, err
}

// timed does something, and notes what it cost.
func (b *bench) timed(ctx context.Context, s *sample, do action, database string) error {
	const wal = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
	var before, after int64
	if err := b.admin.QueryRow(ctx, wal).Scan(&before); err != nil {
		return err
	}
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			s.TempBytes = max(s.TempBytes, size(filepath.Join(b.data, "base", "pgsql_tmp")))
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	start := time.Now()
	resident, err := do(ctx, b, database)
	s.Seconds, s.ResidentBytes = time.Since(start).Seconds(), resident
	close(done)
	<-watched
	if err != nil {
		return err
	}
	err = b.admin.QueryRow(ctx, wal).Scan(&after)
	s.WALBytes = after - before
	return err
}

// size is the size of the files in a folder, which change all the time.
func size(folder string) (bytes int64) {
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, _ error) error {
		if entry != nil && !entry.IsDir() {
			if info, err := entry.Info(); err == nil {
				bytes += info.Size()
			}
		}
		return nil
	})
	return bytes
}

func (b *bench) url(database string) string {
	u := *b.server
	u.Path = "/" + database
	return u.String()
}

func (b *bench) exec(ctx context.Context, statements ...string) error {
	for _, statement := range statements {
		if _, err := b.admin.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%w in %s", err, statement)
		}
	}
	return nil
}

// in executes statements in a database, each on its own.
func (b *bench) in(ctx context.Context, database string, statements ...string) error {
	conn, err := pgx.Connect(ctx, b.url(database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%w in %s", err, statement)
		}
	}
	return nil
}

// program runs notification-cleanup, and returns the most memory that it had resident.
func (b *bench) program(ctx context.Context, database string, args ...string) (resident int64, err error) {
	cmd := exec.CommandContext(ctx, "notification-cleanup", args...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+b.url(database))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				err = fmt.Errorf("%w: %s", err, &out)
			}
			return resident, err
		case <-time.After(10 * time.Millisecond):
			// Linux keeps the peak; rusage would have that of this process in it.
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			if _, peak, found := bytes.Cut(status, []byte("VmHWM:")); found {
				var kilobytes int64
				_, _ = fmt.Sscan(string(peak), &kilobytes)
				resident = max(resident, kilobytes<<10)
			}
		}
	}
}

// looks only read, or find nothing to delete.
var looks = []struct {
	name string
	do   action
}{
	{limit, sql(overTheLimit)},
	{"stats", sql("SELECT notification_stats()")},
	{"preview", sql("SELECT preview_notification_cleanup()")},
	{"function", sql("SELECT cleanup_notifications()")},
	{"procedure", sql("CALL cleanup_notifications_in_batches()")},
	{oneWorker, program("run")},
}

// beforeVacuum is the bare find right after a cleanup, which can be measured only once.
const beforeVacuum = "limit, once, before VACUUM"

// inserts are single rows, each in a transaction of its own or all in one.
var inserts = []struct {
	name string
	do   action
}{
	{"each committed", insertRows(500, false)},
	{"in one transaction", insertRows(50, true)},
}

const withoutLiveIndex = ", without the live index"

// look measures how long everybody takes to find whom to clean up, what has nothing to delete, on a copy that was cleaned up and
// vacuumed, and what the live index costs the application.
func (b *bench) look(ctx context.Context, round int) (samples []sample, err error) {
	best := func(kind, name string, do action) error {
		fastest := sample{Kind: kind, Contender: name, Round: round}
		for range 4 { // the first warms up
			s := sample{}
			if err := b.timed(ctx, &s, do, copied); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if fastest.Seconds == 0 || s.Seconds < fastest.Seconds {
				fastest.Seconds = s.Seconds
			}
		}
		samples = append(samples, fastest)
		fmt.Printf("round %d: %s, %s %.3f s\n", round, kind, name, fastest.Seconds)
		return nil
	}
	whose := ""
	for _, c := range contenders[1:] {
		if c.whose != whose {
			whose = c.whose
			if err := b.copy(ctx, append(slices.Clone(c.setup), "VACUUM (ANALYZE) notifications")...); err != nil {
				return nil, err
			}
		}
		if err := best(find, c.name, c.find); err != nil {
			return nil, err
		}
	}
	if err := b.copy(ctx, "VACUUM notifications", "ALTER TABLE notifications SET (autovacuum_enabled = off)", "SELECT cleanup_notifications()"); err != nil {
		return nil, err
	}
	s := sample{Kind: idle, Contender: beforeVacuum, Round: round}
	if err := b.timed(ctx, &s, sql(overTheLimit), copied); err != nil {
		return nil, err
	}
	samples = append(samples, s)
	if err := b.in(ctx, copied, "VACUUM (ANALYZE) notifications"); err != nil {
		return nil, err
	}
	for _, l := range looks {
		if err := best(idle, l.name, l.do); err != nil {
			return nil, err
		}
	}
	for _, suffix := range []string{"", withoutLiveIndex} {
		if err := b.copy(ctx); err != nil {
			return nil, err
		}
		if suffix != "" {
			if err := b.in(ctx, copied, "DROP INDEX notifications_live_idx"); err != nil {
				return nil, err
			}
		}
		for _, i := range inserts {
			if err := best(insert, i.name+suffix, i.do); err != nil {
				return nil, err
			}
		}
	}
	return samples, nil
}

// insertRows inserts one notification for every so many of the table, one by one.
func insertRows(every int, inOneTransaction bool) action {
	const statement = `INSERT INTO notifications (user_id, type, title, message, status, created_at)
		VALUES (md5('user ' || $1::int)::uuid, 'comment', 'New comment', 'Comment on your post', 'unread', now())`
	return func(ctx context.Context, b *bench, database string) (_ int64, err error) {
		conn, err := pgx.Connect(ctx, b.url(database))
		if err != nil {
			return 0, err
		}
		defer conn.Close(ctx)
		if inOneTransaction {
			if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
				return 0, err
			}
		}
		for i := range b.n / every {
			if _, err := conn.Exec(ctx, statement, i%(b.n/100)); err != nil {
				return 0, err
			}
		}
		if inOneTransaction {
			_, err = conn.Exec(ctx, "COMMIT")
		}
		return 0, err
	}
}
