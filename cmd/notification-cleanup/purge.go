package main

import (
	"context"
	"errors"
	"fmt"
)

// purge calls purge_notifications until nothing is left to purge, and prints how many notifications that were.
func (a *app) purge(ctx context.Context) error {
	retention := a.cfg.Retention.Seconds()
	var expected int64
	if err := a.pool.QueryRow(ctx,
		`SELECT count(*) FROM notifications WHERE deleted_at < now() - make_interval(secs => $1)`,
		retention).Scan(&expected); err != nil {
		return fmt.Errorf("count expired notifications: %w", err)
	}
	a.log.Info("started purge", "notifications_expired", expected, "retention", a.cfg.Retention.String())

	total, err := a.purgeAll(ctx, retention, expected)
	a.log.Info("purged", "notifications_purged", total)
	ctx, cancel := reportContext(ctx)
	defer cancel()
	return errors.Join(err, a.print(ctx, `SELECT $1::bigint AS notifications_purged`, total))
}

// purgeAll returns how many notifications were purged, also when it ends with an error. The retention is in seconds.
func (a *app) purgeAll(ctx context.Context, retention float64, expected int64) (total int64, err error) {
	done, end := a.progress("purging", expected)
	defer end()
	for {
		var purged int64
		if err := a.retry(ctx, func(ctx context.Context) error {
			return a.pool.QueryRow(ctx, `SELECT purge_notifications(make_interval(secs => $1), $2)`,
				retention, a.cfg.BatchSize).Scan(&purged)
		}); err != nil || purged == 0 {
			return total, err
		}
		total += purged
		done(purged)
	}
}
