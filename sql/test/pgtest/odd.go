package pgtest

import (
	"maps"
	"slices"
	"strings"
)

// OddSettings are settings that a database or a role may have, and that change what a statement
// means or prints, or how it is planned. None of them changes what the cleanup does.
var OddSettings = []string{
	"datestyle = 'SQL, DMY'",
	"datestyle = 'German'",
	"intervalstyle = 'sql_standard'",
	"timezone = 'Asia/Kathmandu'",   // a quarter of an hour beside the others
	"timezone = 'America/St_Johns'", // half an hour, and summer time
	"lc_messages = 'de_DE.UTF-8'",   // make test installs it
	"client_encoding = 'LATIN1'",    // of a database in UTF8
	"standard_conforming_strings = off",
	"backslash_quote = off",
	"quote_all_identifiers = on",
	"bytea_output = 'escape'",
	"extra_float_digits = -15",
	"array_nulls = off",
	"transform_null_equals = on",
	"default_transaction_isolation = 'serializable'",
	"default_transaction_deferrable = on",
	"row_security = off",
	"plpgsql.extra_errors = 'all'",
	"plpgsql.variable_conflict = 'use_column'",
	"session_replication_role = 'replica'",
	"plan_cache_mode = 'force_generic_plan'",
	"enable_tidscan = off",
	"enable_partition_pruning = off",
	"join_collapse_limit = 1",
	"work_mem = '64kB'",
	"track_activities = off",
	"check_function_bodies = off",
	"client_min_messages = 'debug1'",
}

// OddSchema is where the notifications are in an odd database, quoted.
const OddSchema = `"In ""Box"", it's 100% Mine"`

// OddTables are tables of notifications in OddSchema. In each of them one user has the read
// notifications 1-1100, of which 1-1000 go, and another one 2001-3000, which stay.
var OddTables = map[string]string{
	"plain": `
		CREATE TABLE notifications (
			id bigint PRIMARY KEY,
			user_id bigint,
			status text,
			created_at timestamp
		);
		INSERT INTO notifications
		SELECT i, user_id, 'read', created_at FROM made`,
	"partitioned": `
		CREATE TABLE notifications (
			id bigint,
			user_id bigint,
			"Title" text,
			status text,
			created_at timestamptz,
			PRIMARY KEY (id, created_at)
		) PARTITION BY RANGE (created_at);
		CREATE TABLE "The ""1st"", early" PARTITION OF notifications
			FOR VALUES FROM (MINVALUE) TO ('2025-01-01 12:00Z');
		CREATE TABLE "It's late" PARTITION OF notifications DEFAULT;
		INSERT INTO notifications
		SELECT i, user_id, 'a title', 'read', created_at FROM made`,
	"view": `
		CREATE SCHEMA "Of all";
		CREATE TABLE "Of all"."Me'ssages" (
			"Id" bigint PRIMARY KEY,
			"To ""whom""" bigint,
			"Read?" boolean,
			"At" timestamptz,
			"Go'ne" timestamptz
		);
		INSERT INTO "Of all"."Me'ssages"
		SELECT i, user_id, true, created_at FROM made;
		CREATE VIEW notifications AS
		SELECT
			ctid,
			tableoid,
			"Id" AS id,
			"To ""whom""" AS user_id,
			CASE WHEN "Read?" THEN 'read' ELSE 'unread' END AS status,
			"At" AS created_at,
			"Go'ne" AS deleted_at
		FROM "Of all"."Me'ssages"`,
}

const oddRows = `
	CREATE TEMPORARY VIEW made AS
	SELECT
		i,
		CASE WHEN i < 2000 THEN 1 ELSE 2 END AS user_id,
		timestamptz '2025-01-01 00:00Z' + i * interval '1 minute' AS created_at
	FROM generate_series(1, 3000) AS i
	WHERE i NOT BETWEEN 1101 AND 2000;`

// MakeOdd gives an empty database these settings and one of the OddTables, and returns a session
// that has the settings.
func (d *Database) MakeOdd(table string, settings ...string) *Database {
	d.T.Helper()
	d.Exec(`CREATE SCHEMA ` + OddSchema + `; SET search_path = ` + OddSchema)
	d.Exec(oddRows + OddTables[table] + `; DROP VIEW made`)
	for _, setting := range append(settings, "search_path = "+OddSchema+", public") {
		d.Exec(SetForDatabase(setting))
	}
	return d.OpenSession()
}

// OneOfEach leaves out all but the first of several values for a setting.
func OneOfEach(settings []string) []string {
	each := map[string]string{}
	for _, setting := range slices.Backward(settings) {
		name, _, _ := strings.Cut(setting, " = ")
		each[name] = setting
	}
	return slices.Sorted(maps.Values(each))
}

// WantOddJob installs in an odd database, does the whole job there, and uninstalls.
func (d *Database) WantOddJob(table string) {
	d.T.Helper()
	program := func(args ...string) {
		d.T.Helper()
		d.Note("-- notification-cleanup " + strings.Join(args, " "))
		if _, stderr, status := d.Program(nil, args...); status != 0 {
			d.T.Fatalf("%q: exit status %d: %s", args, status, stderr)
		}
	}
	program("migrate", "up")
	if table != "view" { // of which the owner of the table builds them
		d.WantNone("migrate up", "an index is to be built", `
			SELECT statement FROM notification_cleanup_indexes() WHERE statement IS NOT NULL`)
	}
	for _, look := range []string{"preview", "limits", "stats"} {
		program(look, "--format", "text")
	}
	d.WantJob("1-1000")
	procedure := d.Refused("BEGIN; CALL cleanup_notifications_in_batches()", "2D000")
	if !strings.Contains(procedure.Hint, "SELECT * FROM cleanup_notifications()") {
		d.T.Errorf("inside a transaction the procedure says %v, hint %s", procedure, procedure.Hint)
	}
	d.Exec("ROLLBACK")
	program("history", "--format", "text")
	program("doctor")
	program("migrate", "down")
	if got := d.Numbers("true"); got != "1001-1100 2001-3000" {
		d.T.Errorf("after down there are %s", got)
	}
}
