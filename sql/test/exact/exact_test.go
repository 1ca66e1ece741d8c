package exact

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
	"golang.org/x/sync/errgroup"
)

// kills end something in the middle of a run.
var kills = map[string]func(s *pgtest.Server, d *pgtest.Database, call *pgtest.CrowdCall){
	"a backend": func(s *pgtest.Server, d *pgtest.Database, _ *pgtest.CrowdCall) {
		s.KillABackend(d)
	},
	"the server": func(s *pgtest.Server, _ *pgtest.Database, _ *pgtest.CrowdCall) {
		s.Kill()
	},
	"a worker": func(s *pgtest.Server, _ *pgtest.Database, _ *pgtest.CrowdCall) {
		for _, worker := range s.Workers[:min(1, len(s.Workers))] {
			worker.Kill()
		}
	},
	"a server's stop": func(s *pgtest.Server, _ *pgtest.Database, _ *pgtest.CrowdCall) {
		s.Stop()
	},
	"the program": func(_ *pgtest.Server, _ *pgtest.Database, call *pgtest.CrowdCall) {
		if call.Program != nil {
			_ = call.Program.Process.Kill()
		}
	},
}

// Whatever is killed at whatever moment: the records say what was committed, nothing stays locked,
// and the next call does the rest.
func TestTheNextRunPutsRightWhatAKillLeft(t *testing.T) {
	t.Parallel()
	pgtest.Slow(t)
	s := pgtest.NewServer(t)
	kinds := []*pgtest.Database{s.New()}
	if s.Workers == nil {
		kinds = append(kinds,
			s.Adopt("hash", pgtest.PartitionedTables["hash of the user"]),
			s.Adopt("range", pgtest.PartitionedTables["range of time"]))
	}
	killed := 0
	for _, way := range slices.Sorted(maps.Keys(pgtest.Ways)) {
		d := kinds[0].OpenSession()
		d.Exec(pgtest.Crowd)
		start := time.Now()
		<-d.StartCrowd(way).Ended
		d.WantCrowdServed("an undisturbed " + way)
		duration := time.Since(start)
		for victim, kill := range kills {
			if victim == "the program" && way != "program" || victim == "a worker" && s.Workers == nil {
				continue
			}
			for range pgtest.Rounds() {
				d = kinds[killed%len(kinds)].OpenSession() // each in its turn
				killed++
				d.Exec(pgtest.Crowd)
				call := d.StartCrowd(way)
				delay := time.Duration(rand.Int64N(int64(duration)))
				time.Sleep(delay)
				kill(s, d, call)
				s.Start() // which the program waits for, too
				<-call.Ended
				d = d.OpenSession()
				d.Eventually(pgtest.Alone)
				after := fmt.Sprintf(
					"killing %s %s into a %s of %s in database %s",
					victim,
					delay,
					way,
					duration,
					d.Name,
				)
				d.WantNothingHalfDone(after, way)
				if err := d.RunCrowd(way); err != nil {
					t.Errorf("after %s, %v", after, err)
				}
				d.WantCrowdServed(after)
			}
		}
	}
}

func TestTenRunsAtOnceTogetherDeleteWhatOneWould(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Crowd)
	var runs errgroup.Group
	ways := slices.Sorted(maps.Keys(pgtest.Ways))
	for i := range 10 {
		runs.Go(func() error { return d.RunCrowd(ways[i%3]) })
	}
	if err := runs.Wait(); err != nil {
		t.Error(err)
	}
	d.WantCrowdServed("ten runs at once")
}
