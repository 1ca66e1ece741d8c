package load

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// It needs the right to mount, which not everybody has who calls make test.
func TestAFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	pgtest.Long(t)
	s := pgtest.PrepareServer(t)
	folder := filepath.Join(s.Dir, "small")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	s.Initialise()
	s.WithSmallDisk(folder)
	s.Start()
	if _, err := s.Admin.Exec(
		t.Context(), "CREATE TABLESPACE small LOCATION '"+folder+"'",
	); err != nil {
		t.Fatal(err)
	}
	d := s.New("TABLESPACE small")
	for way := range pgtest.Ways {
		d.Exec(pgtest.Crowd)
		if way != "function" { // so that the disk is full under a batch
			d.Plan("40, 10, batch_size => 25")
		}
		d.Exec(`
			CREATE TABLE filler (filling text) WITH (autovacuum_enabled = off);
			ALTER TABLE filler ALTER filling SET STORAGE PLAIN`)
		for _, rows := range []int{1000, 100, 10, 1} {
			var err error
			for err == nil {
				_, err = d.Conn.Exec(t.Context(), fmt.Sprintf(`
					INSERT INTO filler SELECT repeat('x', 8000) FROM generate_series(1, %d)`, rows))
			}
		}
		call := d.StartCrowd(way)
		if <-call.Ended; call.Err == nil ||
			!strings.Contains(call.Err.Error(), "No space left on device") {
			t.Errorf("the %s did not find the disk full: %v", way, call.Err)
		}
		d.WantNothingHalfDone("a full disk under the "+way, way)
		d.Exec("DROP TABLE filler")
		if err := d.RunCrowd(way); err != nil {
			t.Error(err)
		}
		d.WantCrowdServed("a full disk under the " + way)
	}
}
