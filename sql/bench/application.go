package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// application is what an application saw of its database.
type application struct {
	Operations int     `json:"operations"`
	P50        float64 `json:"p50_ms"` // from when an operation was due
	P99        float64 `json:"p99_ms"`
	SecondP99  float64 `json:"second_p99_ms"` // of the operations of a second, in the median second: a stall of the disk is one second
	Deadlocks  int     `json:"deadlocks"`
	Timeouts   int     `json:"timeouts"` // of a second
}

// operations are those of a user who got the notification numbered $1, so that the largest inboxes are the busiest.
var operations = []string{
	`INSERT INTO notifications (user_id, type, title, message, status, created_at)
		SELECT user_id, 'comment', 'New comment', 'Comment on your post', 'unread', now() FROM notifications WHERE id = md5('notification ' || $1::int)::uuid`,
	inboxPage,
	inboxPage,
	`UPDATE notifications SET status = 'read', read_at = now() WHERE id = (SELECT id FROM notifications
		WHERE user_id = ` + owner + ` AND deleted_at IS NULL ORDER BY created_at DESC OFFSET 3 LIMIT 1)`,
	`UPDATE notifications SET deleted_at = now() WHERE id = md5('notification ' || $1::int)::uuid AND deleted_at IS NULL`,
}

const (
	owner     = `(SELECT user_id FROM notifications WHERE id = md5('notification ' || $1::int)::uuid)`
	inboxPage = `SELECT id, title, message, status, created_at FROM notifications WHERE user_id = ` + owner + `
		AND deleted_at IS NULL ORDER BY created_at DESC LIMIT 20`
)

// startApplication lets an application work on four connections at a fixed rate of operations a second, until stop.
func startApplication(ctx context.Context, address string, rate, notifications int) (stop func() *application, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	var latencies []float64
	seconds := map[int64][]float64{}
	var result application
	var workers sync.WaitGroup
	due := make(chan time.Time, 1<<20)
	for range 4 {
		config, err := pgx.ParseConfig(address)
		if err != nil {
			cancel()
			return nil, err
		}
		config.RuntimeParams["statement_timeout"] = "1s"
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			cancel()
			return nil, err
		}
		workers.Go(func() {
			defer conn.Close(context.Background())
			for at := range due {
				_, err := conn.Exec(context.Background(), operations[rand.IntN(len(operations))], 1+rand.IntN(notifications))
				latency := float64(time.Since(at).Microseconds()) / 1000
				mu.Lock()
				latencies = append(latencies, latency)
				seconds[at.Unix()] = append(seconds[at.Unix()], latency)
				var pgErr *pgconn.PgError
				if errors.As(err, &pgErr) && pgErr.Code == "40P01" {
					result.Deadlocks++
				} else if err != nil {
					result.Timeouts++
				}
				mu.Unlock()
			}
		})
	}
	go func() {
		defer close(due)
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case at := <-ticker.C:
				due <- at
			}
		}
	}()
	return func() *application {
		cancel()
		workers.Wait()
		var p99s []float64
		for _, second := range seconds {
			p99s = append(p99s, percentile(second, 0.99))
		}
		result.Operations = len(latencies)
		result.P50, result.P99, result.SecondP99 = percentile(latencies, 0.5), percentile(latencies, 0.99), percentile(p99s, 0.5)
		return &result
	}, nil
}

func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[int(p*float64(len(values)-1))]
}
