// Package odd proves that no setting of a database or a role changes what the cleanup does.
package odd

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestAllOddSettingsAtOnceChangeNothing(t *testing.T) {
	t.Parallel()
	for table := range pgtest.OddTables {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Empty(t).MakeOdd(table, pgtest.OneOfEach(pgtest.OddSettings)...)
			d.WantOddJob(table)
		})
	}
}
