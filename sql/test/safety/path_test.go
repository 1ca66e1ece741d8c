package safety

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// hostile is a schema whose names and operators would win over the built-in ones, and over ours.
const hostile = `
	CREATE SCHEMA evil;
	CREATE TABLE evil.notifications (LIKE public.notifications INCLUDING ALL);
	CREATE TABLE evil.notification_cleanup_runs (LIKE public.notification_cleanup_runs INCLUDING ALL);
	CREATE DOMAIN evil.notification_user_id AS text;
	CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz
		LANGUAGE sql AS $$SELECT timestamptz '1999-01-01Z'$$;
	CREATE FUNCTION evil.now() RETURNS timestamptz
		LANGUAGE sql AS $$SELECT timestamptz '1999-01-01Z'$$;
	CREATE FUNCTION evil.statement_timestamp() RETURNS timestamptz
		LANGUAGE sql AS $$SELECT timestamptz '1999-01-01Z'$$;
	CREATE AGGREGATE evil.count(*) (SFUNC = int8inc, STYPE = bigint, INITCOND = '-1000000');
	CREATE FUNCTION evil.row_number() RETURNS bigint LANGUAGE internal WINDOW AS 'window_rank';
	CREATE FUNCTION evil.never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
	CREATE FUNCTION evil.never(timestamptz, timestamptz) RETURNS boolean
		LANGUAGE sql AS 'SELECT false';
	CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.never);
	CREATE OPERATOR evil.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.never);
	CREATE OPERATOR evil.= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.never);
	CREATE OPERATOR evil.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.never)`

func TestHostileSearchPathChangesNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Exec(hostile)
	d.Exec("SET search_path = evil, pg_catalog")
	if pgtest.One[bool](d, "SELECT 'read'::text = 'read'::text OR count(*) > 0") {
		t.Fatal("the search path is not hostile")
	}
	for call, want := range map[string]int64{
		"SELECT deletable_notifications FROM public.preview_notification_cleanup()": 901,
		"SELECT users_over_limit FROM public.notification_stats()":                  1,
	} {
		if got := pgtest.One[int64](d, call); got != want {
			t.Errorf("%d, want %d from\n%s", got, want, call)
		}
	}
	if err := d.Refused(`
		BEGIN; CALL public.cleanup_notifications_in_batches()`, "2D000"); err.Hint == "" {
		t.Error("no hint how to call the procedure")
	}
	d.Exec("ROLLBACK")
	for _, call := range pgtest.EveryRoutine {
		d.Exec(
			regexp.MustCompile(`\w*(notification|cleanup|batch)\w*\(`).ReplaceAllString(call, "public.$0"),
		)
	}
	d.Exec("RESET search_path")
	wantEverythingDone(d, "902-1001")
}

// wantEverythingDone compares what is left of 1001 notifications, and the records.
func wantEverythingDone(d *pgtest.Database, left string) {
	d.T.Helper()
	if got := d.Numbers("true"); got != left {
		d.T.Errorf("left are %q, want %q", got, left)
	}
	runs := pgtest.All[string](d, `
		SELECT format('%s deleted, %s restored', notifications_deleted, notifications_restored)
		FROM notification_cleanup_runs
		ORDER BY id`)
	if !slices.Equal(
		runs,
		[]string{"901 deleted, 901 restored", "901 deleted, 0 restored", "0 deleted, 0 restored"},
	) {
		d.T.Errorf("the runs are %q", runs)
	}
}

// wantOneRunOf is for a cleanup that had to be called in an unusual way.
func wantOneRunOf(d *pgtest.Database, deleted string) {
	d.T.Helper()
	got := d.Numbers("deleted_at = (SELECT started_at FROM notification_cleanup_runs)")
	if got != deleted {
		d.T.Errorf("deleted %q, want %q", got, deleted)
	}
}

func TestTemporaryTablesAreNotMistakenForTheRealOnes(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Exec("CREATE TEMPORARY TABLE notifications (LIKE public.notifications INCLUDING ALL)")
	d.Exec(`
		CREATE TEMPORARY TABLE notification_cleanup_runs
			(LIKE public.notification_cleanup_runs INCLUDING ALL)`)
	d.WantPreview("", pgtest.PreviewOf(pgtest.Alice, 1001, 0, 901))
	d.WantStats("", "1001 1 1")
	for _, call := range pgtest.EveryRoutine {
		d.Exec(call)
	}
	d.Exec("DROP TABLE pg_temp.notifications, pg_temp.notification_cleanup_runs")
	wantEverythingDone(d, "902-1001")
}

func TestAnySchema(t *testing.T) {
	t.Parallel()
	const schema = `"In ""Box"", it's"`
	d := pgtest.Adopt(
		t,
		"CREATE SCHEMA "+schema,
		"CREATE TABLE public.notifications (mine boolean)",
		pgtest.SetSearchPath(schema),
	)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Exec("SET search_path = pg_catalog")
	for _, call := range routines {
		d.Exec(strings.Replace(call, "FROM ", "FROM "+schema+".", 1))
	}
	d.Exec("RESET search_path")
	wantOneRunOf(d, "1-901")
	if got := pgtest.All[string](d, `
		SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace`); len(got) != 1 {
		t.Errorf("in another schema are %v", got)
	}
}
