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

// shadows makes, beside the notifications, what matches a call better than PostgreSQL's own, to
// which the arguments are only converted: functions of the names that our routines call, and
// operators. Each tells that it was called, and does what PostgreSQL's own does.
const shadows = `
	DO $do$
	DECLARE
		v_types CONSTANT text[] := '{int2,int4,int8,numeric,float4,float8,text,name,interval,timestamptz,timestamp,date,oid,bool}';
		v_name record;
		v_left text;
		v_right text;
		v_call text;
		v_result text;
		v_made integer := 0;
	BEGIN
		FOR v_name IN
			SELECT DISTINCT c.proname AS name, c.pronargs AS arguments, NULL AS operator
			FROM pg_proc AS ours
			CROSS JOIN LATERAL regexp_matches(ours.prosrc, '([a-z_0-9]+)[(]', 'g') AS word (parts)
			JOIN pg_proc AS c ON c.proname IN (word.parts[1], 'div')
			WHERE ours.pronamespace = 'public'::regnamespace
				AND c.pronamespace = 'pg_catalog'::regnamespace
				AND c.prokind = 'f'
				AND NOT c.proretset
				AND c.provariadic = 0
				AND NOT EXISTS (
					SELECT FROM unnest(c.proargtypes) AS a (type) JOIN pg_type AS t ON t.oid = a.type
					WHERE t.typtype = 'p'
				)
				AND c.pronargs IN (1, 2)
			UNION ALL
			SELECT NULL, 2, o.operator
			FROM unnest('{+,-,*,/,%,<,>,<=,>=,=,<>,||}'::text[]) AS o (operator)
		LOOP
			FOREACH v_left IN ARRAY v_types LOOP
				FOREACH v_right IN ARRAY CASE v_name.arguments WHEN 1 THEN '{-}' ELSE v_types END LOOP
					BEGIN
						v_call := CASE
							WHEN v_name.operator IS NOT NULL
								THEN format('$1::%s OPERATOR(pg_catalog.%s) $2::%s', v_left, v_name.operator, v_right)
							WHEN v_right = '-' THEN format('pg_catalog.%I($1::%s)', v_name.name, v_left)
							ELSE format('pg_catalog.%I($1::%s, $2::%s)', v_name.name, v_left, v_right)
						END;
						EXECUTE 'SELECT pg_typeof(' || replace(replace(v_call, '$1', 'NULL'), '$2', 'NULL') || ')'
						INTO v_result;
						CONTINUE WHEN EXISTS (
							SELECT
							FROM pg_operator AS o
							WHERE o.oprname = v_name.operator
								AND (o.oprleft, o.oprright) = (v_left::regtype, v_right::regtype)
						) OR EXISTS (
							SELECT
							FROM pg_proc AS p
							WHERE p.proname = v_name.name
								AND p.proargtypes::oid[] = CASE v_right
									WHEN '-' THEN ARRAY[v_left::regtype::oid]
									ELSE ARRAY[v_left::regtype::oid, v_right::regtype::oid]
								END
						);
						v_made := v_made + 1;
						EXECUTE format(
							'CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L',
							coalesce(v_name.name, 'shadow_' || v_made),
							concat_ws(', ', v_left, nullif(v_right, '-')),
							v_result,
							format(
								'DECLARE v_stack text; BEGIN GET DIAGNOSTICS v_stack = PG_CONTEXT;'
								' RAISE WARNING %L, replace(v_stack, chr(10), '' < ''); %s %s; END',
								'shadow of ' || v_call || ' in %',
								CASE v_result WHEN 'void' THEN 'PERFORM' ELSE 'RETURN' END,
								v_call
							)
						);
						IF v_name.operator IS NOT NULL THEN
							EXECUTE format(
								'CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.%I)',
								v_name.operator, v_left, v_right, 'shadow_' || v_made
							);
						END IF;
					EXCEPTION
						WHEN OTHERS THEN
							NULL;  -- nobody calls that
					END;
				END LOOP;
			END LOOP;
		END LOOP;
		RAISE NOTICE '% shadows', v_made;
	END
	$do$`

func TestNothingBesideTheTableIsMistakenForPostgreSQLsOwn(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec("SET statement_timeout = '2min'; SET search_path = pg_catalog")
	d.Exec(shadows)
	d.Exec("RESET search_path")
	d.Exec("GRANT SELECT ON notification_cleanup_runs TO PUBLIC; GRANT CREATE ON SCHEMA public TO PUBLIC")
	session, told := d.WithNotices()
	d.Insert(pgtest.Alice, "read", 1, 1001)
	session.Exec("SELECT public.div(7::numeric, 2::bigint), 2.5 * 2, public.pg_sleep(0::numeric)")
	for _, must := range []string{"pg_catalog.div(", "OPERATOR(pg_catalog.*)", "pg_catalog.pg_sleep("} {
		if !strings.Contains(told(), must) {
			t.Fatalf("there is no shadow of %s: %s", must, told())
		}
	}
	before := len(told())
	for _, call := range append([]string{
		"SELECT * FROM preview_notification_limits()",
		"SELECT * FROM notification_cleanup_doctor()",
		"SELECT * FROM notification_cleanup_health",
		"CALL cleanup_notifications_in_batches(100, 50, 10, '1 hour', 0.1, '1 minute')",
		"SELECT restore_notifications(1)",
		"SELECT notification_cleanup_grants(current_user::regrole)",
		"SELECT suspend_notification_cleanup('a test')",
		"SELECT resume_notification_cleanup()",
	}, pgtest.EveryRoutine...) {
		session.Exec(call)
	}
	called := regexp.MustCompile("(?m)^shadow of .*").FindAllString(told()[before:], -1)
	slices.Sort(called)
	if called = slices.Compact(called); len(called) > 0 {
		t.Errorf("called are\n%s", strings.Join(called, "\n"))
	}
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
