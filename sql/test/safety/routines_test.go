package safety

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestEverythingHasAComment(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	silent := pgtest.All[string](d, `
		SELECT oid::regprocedure::text FROM pg_proc
		WHERE pronamespace = 'public'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL
		UNION ALL
		SELECT oid::regclass::text FROM pg_class
		WHERE relnamespace = 'public'::regnamespace
			AND relkind IN ('r', 'v')
			AND relname !~ 'schema_version'
			AND obj_description(oid, 'pg_class') IS NULL
		UNION ALL
		SELECT attrelid::regclass || '.' || attname FROM pg_attribute
		WHERE attrelid::regclass::text LIKE 'notification_cleanup%'
			AND attrelid IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'v')
				AND relname !~ 'schema_version')
			AND attnum > 0
			AND col_description(attrelid, attnum) IS NULL
		UNION ALL
		SELECT oid::regtype::text FROM pg_type
		WHERE typnamespace = 'public'::regnamespace
			AND typtype = 'd'
			AND obj_description(oid, 'pg_type') IS NULL`)
	if len(silent) != 0 {
		t.Errorf("no COMMENT on %v", silent)
	}
}

func TestFunctionsRunAsTheirCallerWithAPinnedSearchPath(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	functions := pgtest.All[string](d, `
		SELECT concat_ws(' ', proname, CASE WHEN prosecdef THEN 'definer' ELSE 'invoker' END,
			array_to_string(proconfig, ' '))
		FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'`)
	for _, function := range functions {
		if !strings.Contains(function, " invoker search_path=public, pg_temp row_security=off") {
			t.Errorf("it should be invoker, with a search_path and row_security = off: %s", function)
		}
	}
	if len(functions) < len(routines) {
		t.Errorf("only %d functions: %v", len(functions), functions)
	}
}

func TestPreviewAndStatsAreStable(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	for _, function := range []string{"preview_notification_cleanup", "notification_stats"} {
		if got := pgtest.One[string](d, `
			SELECT provolatile::text FROM pg_proc WHERE proname = $1`, function); got != "s" {
			t.Errorf("%s has volatility %s", function, got)
		}
	}
}
