package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// inbox is an application's table with 1500 read notifications of one user, of which 1400 go.
const inbox = `
	CREATE TABLE notifications (
		id bigserial PRIMARY KEY,
		user_id bigint NOT NULL,
		status text NOT NULL,
		created_at timestamptz NOT NULL DEFAULT now(),
		deleted_at timestamptz,
		trash boolean NOT NULL DEFAULT false
	);
	INSERT INTO notifications (user_id, status, created_at)
	SELECT 1, 'read', timestamptz '2025-01-01Z' + i * interval '1 minute'
	FROM generate_series(1, 1500) AS i;`

// A rehearsal is what one step of it says.
type rehearsal struct {
	Step     string
	Outcome  string
	SQLState string
	Message  string
	Detail   string
	Advice   string
}

// rehearse returns what is said of each step.
func rehearse(d *pgtest.Database) map[string]rehearsal {
	d.T.Helper()
	steps := map[string]rehearsal{}
	for _, step := range pgtest.Collect(d, pgx.RowToStructByPos[rehearsal], `
		SELECT
			step,
			outcome,
			coalesce(sqlstate, ''),
			coalesce(message, ''),
			coalesce(detail, ''),
			coalesce(advice, '')
		FROM rehearse_notification_cleanup()`) {
		steps[step.Step] = step
	}
	return steps
}

// trigger makes one that fires at that time, under that condition if there is any.
func trigger(when, condition, body string) string {
	if condition != "" {
		condition = "WHEN (" + condition + ")"
	}
	kind, deferrable := "TRIGGER", ""
	timing, isDeferred := strings.CutSuffix(when, " DEFERRED")
	if isDeferred {
		kind, deferrable = "CONSTRAINT TRIGGER", "DEFERRABLE INITIALLY DEFERRED"
	}
	return fmt.Sprintf(`
		CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN %s; END$$;
		CREATE %s t %s ON notifications %s FOR EACH ROW %s EXECUTE FUNCTION f()`,
		body, kind, timing, deferrable, condition)
}

// What the application has made of its table, and what becomes of each step: what a run, an undo
// and a purge say then, the rehearsal says before.
var stagings = map[string]struct {
	fault    string
	outcomes string // of the steps, each with its SQLSTATE
	says     string // of the first step that does not work
	since    int    // the version of PostgreSQL that can do that to a table
}{
	"nothing": {
		fault:    "SELECT",
		outcomes: "works, works, works",
	},
	"a publication with a row filter": {
		fault:    "CREATE PUBLICATION p FOR TABLE notifications WHERE (user_id > 0)",
		outcomes: "fails 42P10, not tried, not tried",
		says:     "REPLICA IDENTITY FULL",
		since:    15,
	},
	"a publication with a list of columns": {
		fault: `ALTER TABLE notifications REPLICA IDENTITY FULL;
		CREATE PUBLICATION p FOR TABLE notifications (id, user_id)`,
		outcomes: "fails 42P10, not tried, not tried",
		says:     "row filter and a list of columns",
		since:    15,
	},
	"a publication by the columns of the key": {
		fault:    "CREATE PUBLICATION p FOR TABLE notifications (id, status) WHERE (id > 0)",
		outcomes: "works, works, works",
		since:    15,
	},
	"a publication without identity": {
		fault: `ALTER TABLE notifications REPLICA IDENTITY NOTHING;
		CREATE PUBLICATION p FOR TABLE notifications`,
		outcomes: "fails 55000, not tried, not tried",
		says:     "REPLICA IDENTITY",
	},
	"a check that ties deleted_at": {
		fault: `ALTER TABLE notifications
		ADD CONSTRAINT tied CHECK ((deleted_at IS NOT NULL) = trash)`,
		outcomes: "fails 23514, not tried, not tried",
		says:     `"tied"`,
	},
	"a check of something else": {
		fault:    "ALTER TABLE notifications ADD CHECK (deleted_at >= created_at)",
		outcomes: "works, works, works",
	},
	"a trigger that names a table without its schema": {
		fault: `CREATE SCHEMA app;
		CREATE TABLE app.log (id bigint);` +
			pgtest.SetSearchPath("public, app") + `;
		SET search_path = public, app;` +
			trigger("AFTER UPDATE", "", "INSERT INTO log VALUES (NEW.id); RETURN NULL"),
		outcomes: "fails 42P01, not tried, not tried",
		says:     "runs under the search_path that is pinned here (public, pg_temp)",
	},
	"a trigger that calls a function without its schema": {
		fault: `CREATE SCHEMA app;
		CREATE FUNCTION app.tell(bigint) RETURNS void LANGUAGE sql AS '';` +
			pgtest.SetSearchPath("public, app") + `;
		SET search_path = public, app;` +
			trigger("BEFORE UPDATE", "", "PERFORM tell(NEW.id); RETURN NEW"),
		outcomes: "fails 42883, not tried, not tried",
		says:     "ALTER FUNCTION f() SET search_path = public, app;",
	},
	"a trigger with a path of its own": {
		fault: `CREATE SCHEMA app;
		CREATE TABLE app.log (id bigint);` +
			trigger("AFTER UPDATE", "", "INSERT INTO log VALUES (NEW.id); RETURN NULL") + `;
		ALTER FUNCTION f() SET search_path = app`,
		outcomes: "works, works, works",
	},
	"a rule that does something else, too": {
		fault: `CREATE TABLE log (id bigint);
		CREATE RULE r AS ON UPDATE TO notifications DO ALSO INSERT INTO log VALUES (OLD.id)`,
		outcomes: "fails 0A000, not tried, not tried",
		says:     "rule",
	},
	"a rule on INSERT": {
		fault: `CREATE TABLE log (id bigint);
		CREATE RULE r AS ON INSERT TO notifications DO ALSO INSERT INTO log VALUES (NEW.id)`,
		outcomes: "works, works, works",
	},
	"a rule that keeps all": {
		fault:    "CREATE RULE r AS ON UPDATE TO notifications DO INSTEAD NOTHING",
		outcomes: "fails 0A000, not tried, not tried",
		says:     "rule",
	},
	"a trigger that writes another deleted_at": {
		fault:    trigger("BEFORE UPDATE", "", "NEW.deleted_at := now(); RETURN NEW"),
		outcomes: "fails 27000, not tried, not tried",
		says:     "a trigger or rule wrote deleted_at",
	},
	"a trigger that writes something else": {
		fault:    trigger("BEFORE UPDATE", "", "NEW.trash := true; RETURN NEW"),
		outcomes: "works, works, works",
	},
	"a trigger that keeps all": {
		fault:    trigger("BEFORE UPDATE", "", "RETURN NULL"),
		outcomes: "kept, not tried, not tried",
		says:     "keeps it as it is",
	},
	"a trigger that keeps one": {
		fault:    trigger("BEFORE UPDATE", "NEW.id = 1", "RETURN NULL"),
		outcomes: "works, works, works",
	},
	"a trigger that brings it back": {
		fault: trigger("AFTER UPDATE", "NEW.deleted_at IS NOT NULL",
			"UPDATE notifications SET deleted_at = NULL WHERE id = NEW.id; RETURN NULL"),
		outcomes: "kept, not tried, not tried",
		says:     "keeps it as it is",
	},
	"a trigger that writes another time afterwards": {
		fault: trigger("AFTER UPDATE", "OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL",
			"UPDATE notifications SET deleted_at = now() WHERE id = NEW.id; RETURN NULL"),
		outcomes: "fails 27000, not tried, not tried",
		says:     "a trigger or rule wrote deleted_at",
	},
	"a trigger that moves it to an archive": {
		fault: `CREATE TABLE archive (LIKE notifications);` +
			trigger("AFTER UPDATE", "NEW.deleted_at IS NOT NULL", `
				WITH moved AS (DELETE FROM notifications WHERE id = NEW.id RETURNING *)
				INSERT INTO archive SELECT * FROM moved;
				RETURN NULL`),
		outcomes: "fails, not tried, not tried",
		says:     "a trigger deletes it for good, or the view hides it",
	},
	"a trigger that deletes it again": {
		fault: trigger("AFTER UPDATE", "OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NULL",
			"UPDATE notifications SET deleted_at = now() WHERE id = NEW.id; RETURN NULL"),
		outcomes: "works, kept, works",
		says:     "keeps it as it is",
	},
	"a trigger that writes something else afterwards": {
		fault: trigger("AFTER UPDATE OF deleted_at", "",
			"UPDATE notifications SET trash = true WHERE id = NEW.id; RETURN NULL"),
		outcomes: "works, works, works",
	},
	"a trigger that inserts it again": {
		fault: trigger("AFTER DELETE", "",
			"INSERT INTO notifications SELECT OLD.*; RETURN NULL"),
		outcomes: "works, works, kept",
		says:     "keeps it as it is",
	},
	"a trigger that raises": {
		fault:    trigger("BEFORE UPDATE", "", "RAISE 'not mine'"),
		outcomes: "fails P0001, not tried, not tried",
		says:     "not mine",
	},
	"a deferred trigger that raises": {
		fault:    trigger("AFTER UPDATE DEFERRED", "", "RAISE 'not mine'"),
		outcomes: "fails P0001, not tried, not tried",
		says:     "not mine",
	},
	"a trigger that raises when it comes back": {
		fault:    trigger("BEFORE UPDATE", "NEW.deleted_at IS NULL", "RAISE 'not mine'"),
		outcomes: "works, fails P0001, works",
		says:     "not mine",
	},
	"a key that is taken meanwhile": {
		fault: `ALTER TABLE notifications ADD event bigint;
		UPDATE notifications SET event = id;
		CREATE UNIQUE INDEX ON notifications (user_id, event) WHERE deleted_at IS NULL;` +
			trigger("AFTER UPDATE", "NEW.deleted_at IS NOT NULL", `
				INSERT INTO notifications (user_id, status, event)
				VALUES (1, 'unread', NEW.event);
				RETURN NULL`),
		outcomes: "works, refused 23505, works",
		says:     "duplicate key",
	},
	"a rule that turns DELETE into UPDATE": {
		fault: `CREATE RULE r AS ON DELETE TO notifications DO INSTEAD
			UPDATE notifications SET trash = true WHERE id = OLD.id`,
		outcomes: "works, works, fails 55000",
		says:     "rules do something else instead of DELETE",
	},
	"a rule that does something else at DELETE, too": {
		fault: `CREATE TABLE log (id bigint);
			CREATE RULE r AS ON DELETE TO notifications DO ALSO INSERT INTO log VALUES (OLD.id)`,
		outcomes: "works, works, fails 0A000",
		says:     "rule",
	},
	"a trigger that turns DELETE into UPDATE": {
		fault: trigger("BEFORE DELETE", "",
			"UPDATE notifications SET trash = true WHERE id = OLD.id; RETURN NULL"),
		outcomes: "works, works, kept",
		says:     "keeps it as it is",
	},
	"a trigger that raises at DELETE": {
		fault:    trigger("BEFORE DELETE", "", "RAISE 'not mine'"),
		outcomes: "works, works, fails P0001",
		says:     "not mine",
	},
	"a publication of deletes without identity": {
		fault: `ALTER TABLE notifications REPLICA IDENTITY NOTHING;
			CREATE PUBLICATION p FOR TABLE notifications WITH (publish = 'insert, delete')`,
		outcomes: "works, works, fails 55000",
		says:     "REPLICA IDENTITY",
	},
	"a foreign key without cascade": {
		fault: `CREATE TABLE t (id bigint PRIMARY KEY REFERENCES notifications);
			INSERT INTO t SELECT id FROM notifications`,
		outcomes: "works, works, refused 23503",
		says:     `is still referenced from table "t"`,
	},
	"a deferred foreign key without cascade": {
		fault: `CREATE TABLE t (
				id bigint PRIMARY KEY REFERENCES notifications DEFERRABLE INITIALLY DEFERRED
			);
			INSERT INTO t SELECT id FROM notifications`,
		outcomes: "works, works, refused 23503",
		says:     `is still referenced from table "t"`,
	},
	"a foreign key that cascades": {
		fault: `CREATE TABLE t (id bigint PRIMARY KEY REFERENCES notifications ON DELETE CASCADE);
			INSERT INTO t SELECT id FROM notifications`,
		outcomes: "works, works, works",
	},
	"a foreign key by which a live one would go along": {
		fault: `ALTER TABLE notifications ADD parent bigint REFERENCES notifications ON DELETE CASCADE;
			INSERT INTO notifications (id, user_id, status, created_at, parent)
			SELECT -id, 9, 'unread', now(), id FROM notifications`,
		outcomes: "works, works, refused 23000",
		says:     "would delete other notifications along with it",
	},
	"a foreign key to another one": {
		fault: `CREATE TABLE t (id bigint PRIMARY KEY REFERENCES notifications);
			INSERT INTO notifications VALUES (0, 9, 'unread', now());
			INSERT INTO t VALUES (0)`,
		outcomes: "works, works, works",
	},
}

// version is a query for the number of the PostgreSQL at hand.
const version = "SELECT current_setting('server_version_num')::integer / 10000"

func TestTheRehearsalFindsWhatWouldFail(t *testing.T) {
	t.Parallel()
	for name, test := range stagings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, inbox)
			if pgtest.One[int](d, version) < test.since {
				return
			}
			d.Exec(test.fault)
			d = d.OpenSession() // with what the database is set to now
			before := pgtest.One[string](d, everything)
			steps := rehearse(d)
			var outcomes, said []string
			for _, step := range []string{"soft-delete", "restore", "purge"} {
				s := steps[step]
				outcomes = append(outcomes, strings.TrimSpace(s.Outcome+" "+s.SQLState))
				if s.Outcome != "works" && s.Outcome != "not tried" {
					said = append(said, s.Message+" "+s.Detail+" "+s.Advice)
				}
			}
			if got := strings.Join(outcomes, ", "); got != test.outcomes {
				t.Errorf("the outcomes are %s, want %s", got, test.outcomes)
			}
			if got := strings.Join(said, "; "); !strings.Contains(got, test.says) ||
				strings.Contains(got, "Failing row contains") { // which is private
				t.Errorf("it says %q, want %q", got, test.says)
			}
			if after := pgtest.One[string](d, everything); after != before {
				t.Errorf("it leaves %s, before it was %s", after, before)
			}
			wantSame(d, steps)
		})
	}
}

// everything is a query for all that a rehearsal writes and takes back.
const everything = `
	SELECT concat_ws(
		' ',
		(SELECT md5(string_agg(n::text, ' ' ORDER BY id)) FROM notifications AS n),
		(SELECT count(*) FROM notification_cleanup_runs),
		(SELECT count(*) FROM notification_cleanup_batches)
	)`

// wantSame does what was only rehearsed, each step after a soft-delete.
func wantSame(d *pgtest.Database, rehearsed map[string]rehearsal) {
	d.T.Helper()
	for _, step := range []struct{ name, call, done string }{
		{
			"soft-delete",
			"SELECT",
			`SELECT EXISTS (
				SELECT
				FROM notifications
				WHERE deleted_at IN (SELECT started_at FROM notification_cleanup_runs)
			)`,
		},
		{
			"restore",
			"SELECT restore_notifications(max(id)) FROM notification_cleanup_runs",
			"SELECT NOT EXISTS (SELECT FROM notifications WHERE deleted_at IS NOT NULL)",
		},
		{
			"purge",
			"COMMIT; SELECT purge_notifications('1 microsecond', 9999)",
			"SELECT NOT EXISTS (SELECT FROM notifications WHERE deleted_at IS NOT NULL)",
		},
	} {
		r := rehearsed[step.name]
		if r.Outcome == "not tried" {
			continue
		}
		_, err := d.Conn.Exec(context.Background(), "BEGIN; SELECT cleanup_notifications()")
		if err == nil {
			_, err = d.Conn.Exec(context.Background(), "SET CONSTRAINTS ALL IMMEDIATE; "+step.call)
		}
		var pgErr *pgconn.PgError
		if err != nil && !errors.As(err, &pgErr) {
			d.T.Fatal(err)
		}
		done := err == nil && pgtest.One[bool](d, step.done)
		if done != (r.Outcome == "works") ||
			// Undo notes what is in the way; of much it says that it takes several transactions.
			err != nil && pgErr.Code != "54000" && r.SQLState != pgErr.Code {
			d.T.Errorf("rehearsed was %+v; it ends with %v, done: %t", r, err, done)
		}
		d.Exec("ROLLBACK")
	}
}

// outcomesOf returns the outcomes of the steps, in their order.
func outcomesOf(d *pgtest.Database) string {
	d.T.Helper()
	return strings.Join(pgtest.All[string](d, `
		SELECT concat_ws(': ', outcome, message) FROM rehearse_notification_cleanup()`), "; ")
}

// wantOutcomes compares what each step comes to; all of them are said to come to the same.
func wantOutcome(d *pgtest.Database, want string) {
	d.T.Helper()
	for _, got := range strings.Split(outcomesOf(d), "; ") {
		if !strings.HasPrefix(got, want) {
			d.T.Errorf("it comes to %s, want %s", got, want)
		}
	}
}

// That undo and purge step over one says nothing of the others.
func TestTheRehearsalTriesAnotherOneWhereOneIsRefused(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, inbox)
	d.Exec(`
		CREATE TABLE t (id bigint PRIMARY KEY REFERENCES notifications);
		INSERT INTO t SELECT id FROM notifications ORDER BY id LIMIT 2`)
	if s := rehearse(d)["purge"]; s.Outcome != "works" {
		t.Errorf("it says %+v", s)
	}
}

func TestTheRehearsalWaitsForNobody(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, inbox)
	d.Exec("DELETE FROM notifications WHERE id > 6")
	d.Exec("SET statement_timeout = '5s'")
	d.Hold("id < 6")
	wantOutcome(d, "works: done to 6")
	d.Hold("id = 6")
	if got := outcomesOf(d); !strings.HasPrefix(got, "held: ") {
		t.Errorf("of what others hold it says %s", got)
	}
	wantNote(d, "rehearsal", "another session holds it")
	d.OpenSession().Exec("BEGIN; LOCK notification_cleanup_batches IN EXCLUSIVE MODE")
	if got := outcomesOf(d); !strings.HasPrefix(got, "held: ") {
		t.Errorf("of a table that others have locked it says %s", got)
	}
}

func TestTheRehearsalLeavesNothingToWhoeverAsks(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, inbox)
	d.Exec(`
		CREATE TABLE parent (id bigint PRIMARY KEY);
		INSERT INTO parent VALUES (7);
		CREATE TABLE child (id bigint REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`)
	observer := d.OpenSession()
	for _, isolation := range []string{"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"} {
		d.Exec("BEGIN ISOLATION LEVEL " + isolation)
		d.Exec("INSERT INTO child VALUES (7)")
		wantOutcome(d, "works")
		observer.WantNothingLocked()
		d.Exec("DELETE FROM parent; DELETE FROM child; COMMIT") // deferred as they were
		d.Exec("INSERT INTO parent VALUES (7)")
	}
	if run := d.Plan(""); run.ID != 1 {
		t.Errorf("the first run is number %d", run.ID)
	}
}

func TestTheRehearsalSaysWhyItTriesNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, inbox)
	d.Exec("SET notification_cleanup.rehearsal = off")
	wantOutcome(d, "not tried: notification_cleanup.rehearsal is off")
	d.Exec("SET notification_cleanup.rehearsal = on; BEGIN READ ONLY")
	wantOutcome(d, "not tried: nothing can be written in a read-only transaction")
	wantWrong(d, "")
	d.Exec("COMMIT")
	d.Exec("SET ROLE " + d.RoleTo("watch"))
	wantOutcome(d, "not tried: this role may not do it")
	d.Exec("RESET ROLE")
	wantOutcome(d, "works")
	for _, change := range []string{
		"deleted_at = '2025-06-01Z'",
		"deleted_at = NULL, status = 'unread'",
	} {
		d.Exec("UPDATE notifications SET " + change)
		wantOutcome(d, "accepted: the server takes the statement, but no read notification was found")
	}
}

func TestTheRehearsalPurgesNothingThatWouldTakeLong(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, inbox)
	d.Exec(`
		CREATE TABLE t (id bigint REFERENCES notifications ON DELETE CASCADE, filler text);
		ALTER TABLE t ALTER filler SET STORAGE PLAIN;
		INSERT INTO t SELECT NULL, repeat('x', 6000) FROM generate_series(1, 999)`)
	wantOutcome(d, "works")
	d.Exec("INSERT INTO t SELECT NULL, repeat('x', 6000)")
	if got, want := outcomesOf(d), "not tried: it would read all of t"; !strings.HasSuffix(got, want) {
		t.Errorf("it says %s, want %s", got, want)
	}
	d.Exec("CREATE INDEX ON t (id)")
	wantOutcome(d, "works")
}

func TestTheRehearsalReadsSomePagesOnly(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.RowsPerPage(1)
	d.Insert(pgtest.Alice, "unread", 1, 10000)
	d.Exec("UPDATE notifications SET status = 'read' WHERE id = " + pgtest.Key(9990))
	for _, statistics := range []string{"none", "fresh"} {
		if statistics == "fresh" {
			d.Exec("ANALYZE notifications")
		}
		for _, function := range []string{
			"find_notifications_to_rehearse(6)",
			"sample_notifications()",
		} {
			type plan struct {
				Plan struct {
					Hit  int `json:"Shared Hit Blocks"`
					Read int `json:"Shared Read Blocks"`
				}
			}
			explained := pgtest.Decode[[]plan](t, pgtest.One[string](d,
				"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT FROM "+function))[0].Plan
			// Those of the catalog count too, in a session that has not read it yet.
			if pages := explained.Hit + explained.Read; pages < 500 || pages > 4000 {
				t.Errorf("%s reads %d pages, statistics: %s", function, pages, statistics)
			}
		}
	}
}

// shapes are tables and views of an application, and where the rows lie.
var shapes = map[string]struct {
	create []string
	rows   string
}{
	"hash":          {[]string{pgtest.Partitioned["hash"]}, "notifications"},
	"range":         {[]string{pgtest.Partitioned["range"]}, "notifications"},
	"range of hash": {[]string{pgtest.Partitioned["range of hash"]}, "notifications"},
	"a child by INHERITS": {
		[]string{plain, "CREATE TABLE child () INHERITS (notifications)"},
		"child",
	},
	"a view": {pgtest.InboxView, "notifications"},
}

func TestTheRehearsalIsOfAnyTable(t *testing.T) {
	t.Parallel()
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, shape.create...)
			wantOutcome(d, "accepted")
			if name == "a view" {
				d.Exec("INSERT INTO messages SELECT i, 1, '2025-03-01', '2025-02-01'" +
					" FROM generate_series(1, 5) AS i")
			} else {
				d.Exec("INSERT INTO " + shape.rows + " (id, user_id, status, created_at)" +
					" SELECT i, i, 'read', '2025-02-01' FROM generate_series(1, 5) AS i")
			}
			wantOutcome(d, "works")
			for _, table := range pgtest.All[string](d,
				"SELECT relation::text FROM notification_tables() WHERE is_leaf") {
				d.Exec("ALTER TABLE " + table + " ADD CONSTRAINT c CHECK (random() < 0) NOT VALID")
			}
			if got := outcomesOf(d); !strings.HasPrefix(got, "fails: ") {
				t.Errorf("where no row may be written it says %s", got)
			}
		})
	}
}

func TestTheRehearsalTriesWithTheRightsOfTheOwnerOfAView(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, pgtest.InboxView...)
	d.Exec("CREATE ROLE " + d.RoleName() + "; GRANT USAGE ON SCHEMA retention TO " + d.RoleName() +
		"; GRANT SELECT ON messages TO " + d.RoleName() +
		"; ALTER VIEW notifications OWNER TO " + d.RoleName())
	t.Cleanup(func() { d.Exec("DROP OWNED BY " + d.RoleName() + " CASCADE") })
	for _, insert := range []string{
		"SELECT",
		"INSERT INTO messages VALUES (1, 1, '2025-03-01', '2025-02-01')",
	} {
		d.Exec(insert)
		wantWrong(d, "indexes, rehearsal", "permission denied for table messages", "owner of")
	}
	d.Exec("GRANT UPDATE, DELETE ON messages TO " + d.RoleName())
	wantWrong(d, "indexes")
}

// That it hides them, the planner does not understand, so that it can be adopted.
func TestTheRehearsalFindsAViewThatHidesWhatIsDeleted(t *testing.T) {
	t.Parallel()
	hiding := pgtest.InboxView[2] + " WHERE coalesce(removed_at, 'infinity') = 'infinity'"
	d := pgtest.Adopt(t, append(slices.Clone(pgtest.InboxView[:2]), hiding, pgtest.InboxView[3])...)
	d.Exec("INSERT INTO messages VALUES (1, 1, '2025-03-01', '2025-02-01')")
	wantWrong(d, "indexes, rehearsal", "the view hides it once it is deleted")
}
