package database

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sethvargo/go-retry"
)

// How long something is tried again, and with which pauses.
const (
	retryFor     = 30 * time.Second
	retryFirst   = 200 * time.Millisecond
	retryLongest = 5 * time.Second
	retriesLeast = 3 // what takes long to fail is tried again so often all the same
	logAgain     = 5 * time.Second
)

// retry does something until it succeeds or fails for good, with growing pauses.
func (d *Database) retry(ctx context.Context, do func(context.Context) error) error {
	backoff := retry.NewExponential(retryFirst)
	backoff = retry.WithCappedDuration(retryLongest, backoff)
	backoff = retry.WithJitterPercent(20, backoff)
	failures := failures{log: d.log}
	return retry.Do(ctx, backoff, func(ctx context.Context) error {
		err := explain(do(ctx))
		if err == nil || ctx.Err() != nil || !d.mayBeGone(err) || !failures.allowAnother(err) {
			return err
		}
		return retry.RetryableError(err)
	})
}

// mayBeGone tells if an error may be gone at the next attempt.
func (d *Database) mayBeGone(err error) bool {
	switch state(err) {
	case readOnly:
		if !d.wrote.Load() {
			return false // it is a standby, and was one before
		}
		// After a failover the other server answers to the same name: connect anew.
		d.Reset()
		return true
	case tooMany:
		// Who has a connection already is better off without another one.
		return !errors.Is(err, ErrNoConnection) || d.Stat().TotalConns() == 0
	}
	return Transient(err)
}

// failures are those of one thing that is tried again and again.
type failures struct {
	log   *slog.Logger
	count int
	until time.Time // when trying ends
	state string    // of the one that was logged last
	quiet time.Time // until then the same one is not logged again
	pause time.Duration
}

// allowAnother counts a failure, and tells if another attempt follows. The log says so at the
// first one, then at growing distances, and whenever it is another error.
func (f *failures) allowAnother(err error) bool {
	now := time.Now()
	if f.count == 0 {
		f.until, f.pause = now.Add(retryFor), logAgain
	}
	f.count++
	if f.count > retriesLeast && now.After(f.until) {
		return false
	}
	message := "retrying"
	if f.count > 1 {
		message = "still retrying"
	}
	if f.count == 1 || state(err) != f.state || now.After(f.quiet) {
		f.log.Warn(message, "until", f.until, "error", OneLine(err))
		f.state, f.quiet, f.pause = state(err), now.Add(f.pause), 2*f.pause
	}
	return true
}
