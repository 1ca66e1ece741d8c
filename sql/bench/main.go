// Bench measures the cleanup beside the physical limit and beside what people run today, all on copies of one table.
//
//	DATABASE_URL=postgres://... go run ./sql/bench -n 2000000 -rounds 3 -out .build/bench
//
// It prints what it measures, and writes results.json, tables.md and chart.svg into the folder -out. The server should be
// set up like one in production: with-postgres -durable. It takes PostgreSQL 15 or later, to copy databases quickly; the
// databases that it makes stay until the next run.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// sample is what one contender did in one round.
type sample struct {
	Contender     string       `json:"contender"`
	Round         int          `json:"round"`
	Notifications int64        `json:"notifications"`  // soft-deleted
	Seconds       float64      `json:"seconds"`        // until all were
	WALBytes      int64        `json:"wal_bytes"`      // written meanwhile
	TempBytes     int64        `json:"temp_bytes"`     // in temporary files
	ResidentBytes int64        `json:"resident_bytes"` // of the program, at the most
	Application   *application `json:"application"`    // at work beside it; nil: nobody was
	Extra         string       `json:"-"`
}

// bench is the server and what is to be done on it.
type bench struct {
	server *url.URL
	admin  *pgx.Conn
	n      int
	rounds int
	rate   int
	out    string
}

func main() {
	b := bench{}
	flag.IntVar(&b.n, "n", 2000000, "notifications in the table")
	flag.IntVar(&b.rounds, "rounds", 0, "how often everything is measured, the tables show medians; 0: three times, or once below a million notifications")
	flag.IntVar(&b.rate, "rate", 200, "operations of the application a second")
	flag.StringVar(&b.out, "out", ".build/bench", "folder of the results")
	flag.Parse()
	if b.rounds == 0 {
		if b.rounds = 3; b.n < 1000000 {
			b.rounds = 1
		}
	}
	if err := b.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.server, err = url.Parse(os.Getenv("DATABASE_URL")); err != nil || b.server.Scheme == "" {
		return fmt.Errorf("DATABASE_URL is not the URL of a server: run make bench")
	}
	if b.admin, err = pgx.Connect(ctx, b.server.String()); err != nil {
		return err
	}
	defer b.admin.Close(ctx)
	if err := b.load(ctx); err != nil {
		return err
	}
	var samples []sample
	for round := 1; round <= b.rounds; round++ {
		for _, c := range contenders {
			for _, rate := range []int{0, b.rate} {
				if rate == 0 && c.name == alone {
					continue
				}
				s, err := b.measure(ctx, c, rate)
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				s.Round = round
				samples = append(samples, s)
				fmt.Printf("round %d: %-18s %7.2f s\n", round, c.name, s.Seconds)
			}
		}
		looked, err := b.look(ctx, round)
		if err != nil {
			return err
		}
		samples = append(samples, looked...)
	}
	return b.write(samples)
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

// load makes the table of which every contender gets a copy.
func (b *bench) load(ctx context.Context) error {
	start := time.Now()
	if err := b.exec(ctx, "DROP DATABASE IF EXISTS "+base+" WITH (FORCE)", "CREATE DATABASE "+base); err != nil {
		return err
	}
	if _, err := b.program(ctx, base, "migrate", "up"); err != nil {
		return err
	}
	load := exec.CommandContext(ctx, "psql", "-Xq", "-v", fmt.Sprint("n=", b.n), "-f", "sql/demo_data.sql", b.url(base))
	load.Stderr = os.Stderr
	if err := load.Run(); err != nil {
		return err
	}
	// What an inbox page needs; every contender has to maintain it.
	if err := b.in(ctx, base, "CREATE INDEX notifications_inbox_idx ON notifications (user_id, created_at DESC)", "VACUUM (FREEZE, ANALYZE) notifications"); err != nil {
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
	s.Contender = c.name
	stop := func() *application { return nil }
	if rate > 0 {
		if stop, err = startApplication(ctx, b.url(copied), rate, b.n/100); err != nil {
			return s, err
		}
	}
	var before, after int64
	if err := b.admin.QueryRow(ctx, wal).Scan(&before); err != nil {
		return s, err
	}
	start := time.Now()
	s.ResidentBytes, err = c.drain(ctx, b, copied)
	s.Seconds = time.Since(start).Seconds()
	if err != nil {
		return s, err
	}
	if err := b.admin.QueryRow(ctx, wal).Scan(&after); err != nil {
		return s, err
	}
	s.WALBytes, s.Application = after-before, stop()
	conn, err := pgx.Connect(ctx, b.url(copied))
	if err != nil {
		return s, err
	}
	defer conn.Close(ctx)
	return s, conn.QueryRow(ctx, `SELECT count(deleted_at), (SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()) FROM notifications`).
		Scan(&s.Notifications, &s.TempBytes)
}

const wal = `SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint`

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

// looks only read, or find nothing to do.
var looks = []struct {
	name string
	run  func(ctx context.Context, b *bench, database string) (int64, error)
}{
	{bareFind, sql("SELECT user_id FROM notifications WHERE deleted_at IS NULL GROUP BY user_id HAVING count(*) > 1000")},
	{"stats", sql("SELECT notification_stats()")},
	{"preview", sql("SELECT preview_notification_cleanup()")},
	{"function, nothing to do", sql("SELECT cleanup_notifications()")},
	{"procedure, nothing to do", sql("CALL cleanup_notifications_in_batches()")},
	{"program, nothing to do", program("run")},
}

// look measures what only reads, on a copy that was cleaned up and vacuumed.
func (b *bench) look(ctx context.Context, round int) (samples []sample, err error) {
	if err := b.copy(ctx, "SELECT cleanup_notifications()", "VACUUM (ANALYZE) notifications"); err != nil {
		return nil, err
	}
	for _, l := range looks {
		best := sample{Contender: l.name, Round: round}
		for range 3 { // the first warms up
			start := time.Now()
			if best.ResidentBytes, err = l.run(ctx, b, copied); err != nil {
				return nil, fmt.Errorf("%s: %w", l.name, err)
			}
			if seconds := time.Since(start).Seconds(); best.Seconds == 0 || seconds < best.Seconds {
				best.Seconds = seconds
			}
		}
		samples = append(samples, best)
		fmt.Printf("round %d: %-24s %7.3f s\n", round, l.name, best.Seconds)
	}
	return samples, nil
}
