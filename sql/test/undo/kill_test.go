package undo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// Killed at any moment, an undo has counted what it restored, holds nothing, and goes on with the
// rest.
func TestUndoGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	d := s.New()
	const undo = `
		DO $$ BEGIN WHILE restore_next_batch(1, 30) IS NOT NULL LOOP COMMIT; END LOOP; END $$`
	prepare := func() {
		d.Exec(pgtest.Crowd)
		d.Cleanup("40, 10")
	}
	prepare()
	start := time.Now()
	d.Exec(undo)
	duration := time.Since(start)
	for victim, kill := range map[string]func(){
		"a backend":  func() { s.KillABackend(d) },
		"the server": s.Kill,
	} {
		for range pgtest.Rounds() {
			prepare()
			session, ended := d.Connect(), make(chan error, 1)
			go func() {
				_, err := session.Exec(context.Background(), undo)
				ended <- err
			}()
			delay := time.Duration(rand.Int64N(int64(duration)))
			time.Sleep(delay)
			kill()
			s.Start()
			<-ended
			d = d.OpenSession()
			d.Eventually(pgtest.Alone)
			after := fmt.Sprintf("killing %s %s into an undo of %s", victim, delay, duration)
			const untrue = `
				SELECT r::text
				FROM notification_cleanup_runs AS r
				WHERE notifications_deleted - notifications_restored <> (SELECT count(deleted_at)
					FROM notifications)`
			d.WantNone(after, "the record is not what was committed", untrue)
			d.WantNothingLocked()
			d.Exec(undo)
			d.WantNone(after, "the record is not what was restored", untrue)
			d.WantNone(after, "something is still deleted", `
				SELECT n::text FROM notifications AS n WHERE deleted_at IS NOT NULL`)
		}
	}
}
