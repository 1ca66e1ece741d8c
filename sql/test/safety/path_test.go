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
// which the arguments are only converted: functions and aggregates of the names that our routines
// call, and operators. Each tells that it was called. A function does what PostgreSQL's own does.
//
// What takes any type (cardinality, array_agg), and what is declared for our domains, can be
// matched better whatever we write. There the doctor's check of the schemas has to do.
const shadows = functionShadows + operatorShadows

const functionShadows = `
	DO $do$
	DECLARE
		v_shadow record;
		v_call text;
	BEGIN
		FOR v_shadow IN
			WITH RECURSIVE called AS (
				SELECT DISTINCT c.oid, c.proname, c.proargtypes, c.pronargs
				FROM pg_proc AS ours
				CROSS JOIN LATERAL regexp_matches(ours.prosrc, '([a-z_0-9]+)[(]', 'g') AS word (parts)
				JOIN pg_proc AS c ON c.proname IN (word.parts[1], 'div')
				WHERE ours.pronamespace = 'public'::regnamespace
					AND c.pronamespace = 'pg_catalog'::regnamespace
					AND c.prokind IN ('f', 'a')
					AND c.provariadic = 0
					AND c.prorettype <> 'record'::regtype
					AND NOT EXISTS (
						SELECT
						FROM unnest(c.proargtypes) AS a (type)
						JOIN pg_type AS t ON t.oid = a.type
						WHERE t.typtype = 'p'
					)
			),
			signatures AS (
				SELECT c.oid, ARRAY[]::oid[] AS types
				FROM called AS c
				UNION ALL
				SELECT s.oid, s.types || source.type
				FROM signatures AS s
				JOIN called AS c ON c.oid = s.oid AND c.pronargs > cardinality(s.types)
				CROSS JOIN LATERAL (
					SELECT c.proargtypes[cardinality(s.types)]
					UNION
					SELECT k.castsource
					FROM pg_cast AS k
					WHERE k.casttarget = c.proargtypes[cardinality(s.types)]
						AND k.castcontext = 'i'
						AND k.castsource = ANY ('{
							int2,int4,int8,numeric,float4,text,varchar,name,timestamp,date,
							oid,regclass,regrole,regtype,regprocedure
						}'::regtype[])
				) AS source (type)
			)
			SELECT DISTINCT ON (p.proname, s.types)
				p.proname AS name,
				p.prokind AS kind,
				p.proretset AS is_set,
				format_type(p.prorettype, NULL) AS result,
				arguments.*
			FROM signatures AS s
			JOIN pg_proc AS p ON p.oid = s.oid AND p.pronargs = cardinality(s.types)
			CROSS JOIN LATERAL (
				SELECT
					string_agg(format_type(a.type, NULL), ', ' ORDER BY a.number) AS types,
					string_agg('$' || a.number, ', ' ORDER BY a.number) AS given
				FROM unnest(s.types) WITH ORDINALITY AS a (type, number)
			) AS arguments
			WHERE NOT EXISTS (
				SELECT
				FROM pg_proc AS own
				WHERE own.pronamespace = p.pronamespace
					AND own.proname = p.proname
					AND own.proargtypes::oid[] = s.types
			)
			ORDER BY p.proname, s.types, p.oid
		LOOP
			v_call := format('pg_catalog.%I(%s)', v_shadow.name, v_shadow.given);
			EXECUTE format(
				'CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L',
				v_shadow.name,
				v_shadow.types,
				concat_ws(' ', CASE WHEN v_shadow.is_set THEN 'SETOF' END, v_shadow.result),
				format(
					'DECLARE v_stack text; BEGIN GET DIAGNOSTICS v_stack = PG_CONTEXT;'
					' RAISE WARNING %L, replace(v_stack, chr(10), '' < ''); %s; END',
					format('shadow of pg_catalog.%s(%s) in %%', v_shadow.name, v_shadow.types),
					CASE
						WHEN v_shadow.kind = 'a' THEN 'RETURN NULL'
						WHEN v_shadow.result = 'void' THEN 'PERFORM ' || v_call
						WHEN v_shadow.is_set THEN 'RETURN QUERY SELECT ' || v_call
						ELSE 'RETURN ' || v_call
					END
				)
			);
		END LOOP;
	END
	$do$;`

const operatorShadows = `
	DO $do$
	DECLARE
		v_types CONSTANT text[] := '{
			int2,int4,int8,numeric,float4,float8,text,name,interval,timestamptz,timestamp,date,oid,bool
		}';
		v_operator text;
		v_left text;
		v_right text;
		v_call text;
		v_result text;
		v_made integer := 0;
	BEGIN
		FOREACH v_operator IN ARRAY '{+,-,*,/,%,<,>,<=,>=,=,<>,||}'::text[] LOOP
			FOREACH v_left IN ARRAY v_types LOOP
				FOREACH v_right IN ARRAY v_types LOOP
					BEGIN
						CONTINUE WHEN EXISTS (
							SELECT
							FROM pg_operator AS o
							WHERE o.oprname = v_operator
								AND (o.oprleft, o.oprright) = (v_left::regtype, v_right::regtype)
						);
						v_call := format(
							'$1::%s OPERATOR(pg_catalog.%s) $2::%s', v_left, v_operator, v_right
						);
						EXECUTE format(
							'SELECT pg_typeof(%s)', replace(replace(v_call, '$1', 'NULL'), '$2', 'NULL')
						)
						INTO v_result;
						v_made := v_made + 1;
						EXECUTE format(
							'CREATE FUNCTION public.shadow_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L',
							v_made,
							v_left,
							v_right,
							v_result,
							format(
								'DECLARE v_stack text; BEGIN GET DIAGNOSTICS v_stack = PG_CONTEXT;'
								' RAISE WARNING %L, replace(v_stack, chr(10), '' < ''); RETURN %s; END',
								'shadow of ' || replace(v_call, '%', '%%') || ' in %',
								v_call
							)
						);
						EXECUTE format(
							'CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.shadow_%s)',
							v_operator, v_left, v_right, v_made
						);
					EXCEPTION
						WHEN undefined_function THEN
							NULL;  -- nobody calls that
					END;
				END LOOP;
			END LOOP;
		END LOOP;
	END
	$do$`

func TestNothingBesideTheTableIsMistakenForPostgreSQLsOwn(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec("SET statement_timeout = '2min'; SET search_path = pg_catalog")
	d.Exec(shadows)
	d.Exec("RESET search_path")
	d.Exec(`
		GRANT SELECT ON notification_cleanup_runs TO PUBLIC;
		GRANT CREATE ON SCHEMA public TO PUBLIC`)
	session, told := d.WithNotices()
	d.Insert(pgtest.Alice, "read", 1, 1001)
	session.Exec("SELECT public.div(7::numeric, 2::bigint), 2.5 * 2, public.pg_sleep(0::numeric)")
	session.Exec(`
		SELECT public.string_agg('a'::name, 'b'::text), public.generate_series(1::bigint, 2)`)
	for _, must := range []string{
		"pg_catalog.div(",
		"OPERATOR(pg_catalog.*)",
		"pg_catalog.pg_sleep(",
		"pg_catalog.string_agg(name, text)",
		"pg_catalog.generate_series(bigint, integer)",
	} {
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
		// What falls short, and what refuses.
		`CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON notifications FOR EACH ROW
			WHEN (OLD.` + pgtest.FirstNotification + ` AND OLD.deleted_at IS NULL)
			EXECUTE FUNCTION keep()`,
		"SELECT cleanup_notifications(100, 50)",
		`DROP TRIGGER keep ON notifications;
		CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON notifications FOR EACH ROW
			WHEN (OLD.id = ` + pgtest.Key(2) + `) EXECUTE FUNCTION keep()`,
		"SELECT restore_notifications(max(id)) FROM notification_cleanup_runs",
		"ALTER TABLE notifications ADD answers uuid REFERENCES notifications ON DELETE CASCADE",
		"UPDATE notifications SET answers = " + pgtest.Key(3) + " WHERE id = " + pgtest.Key(1001),
		"SELECT purge_notifications('1 microsecond')",
		"DROP TRIGGER keep ON notifications",
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
