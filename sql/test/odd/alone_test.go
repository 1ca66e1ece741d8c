package odd

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestNoOddSettingAloneChangesAnything(t *testing.T) {
	t.Parallel()
	pgtest.Long(t)
	for _, setting := range pgtest.OddSettings {
		for table := range pgtest.OddTables {
			t.Run(setting+" "+table, func(t *testing.T) {
				t.Parallel()
				d := pgtest.Empty(t).MakeOdd(table, setting)
				d.WantOddJob(table)
			})
		}
	}
}
