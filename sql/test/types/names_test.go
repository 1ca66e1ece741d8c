package types

import (
	"fmt"
	"slices"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// namesInRoutines are those of all parameters and results. Variables have names that no column has.
const namesInRoutines = `
	SELECT DISTINCT name
	FROM pg_proc AS p
	CROSS JOIN unnest(p.proargnames) AS used (name)
	WHERE p.pronamespace = 'public'::regnamespace
		AND name > ''
	ORDER BY name`

func TestAColumnMayHaveAnyNameOfOurs(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, `
		CREATE TABLE notifications (
			id bigint PRIMARY KEY,
			user_id bigint,
			status text,
			created_at timestamptz,
			deleted_at timestamptz
		)`)
	names := pgtest.All[string](d, namesInRoutines)
	for _, name := range names {
		d.Exec(fmt.Sprintf("ALTER TABLE notifications ADD COLUMN IF NOT EXISTS %q integer", name))
	}
	for _, name := range []string{"run_id", "user_ids", "max_rows"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not among the %d names", name, len(names))
		}
	}
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.WantJob("1-901")
	d.WantStats("", "100 1 0")
	d.WantCleanup("user_ids => '{1}'", "", pgtest.Counts{})
}
