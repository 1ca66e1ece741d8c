package undo

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// behind names the table that has the rows, of each of kindsOfTables, and its primary key.
func behind(kind string) (table, key string) {
	switch kind {
	case "a view":
		return "messages", "id"
	case "hash partitions":
		return "notifications", "id, user_id"
	case "time partitions":
		return "notifications", "id, created_at"
	default:
		return "notifications", "id"
	}
}

// A refusal keeps notification 5 from being restored or purged.
type refusal struct {
	code, detail string
	statements   string // {table} is the table that has the rows, {key} its primary key
}

// when makes a trigger that fires for notification 5 alone.
func when(kind, event, body string) string {
	return `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			` + body + `
		END $$;
		CREATE ` + kind + ` ` + event + ` ON {table} ` +
		map[bool]string{true: "DEFERRABLE INITIALLY DEFERRED"}[strings.HasPrefix(kind, "CONSTRAINT")] + `
		FOR EACH ROW WHEN (OLD.id = 5) EXECUTE FUNCTION refuse()`
}

// allAfter makes a trigger that fires after each UPDATE, once for all notifications.
func allAfter(body string) string {
	return `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF pg_trigger_depth() = 1 THEN
				` + body + `
			END IF;
			RETURN NULL;
		END $$;
		CREATE TRIGGER refuse AFTER UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse()`
}

const (
	raises  = "RAISE EXCEPTION 'not this one';"
	before  = "TRIGGER refuse BEFORE"
	after   = "TRIGGER refuse AFTER"
	atLast  = "CONSTRAINT TRIGGER refuse AFTER"
	keptIt  = "a trigger or rule keeps it"
	another = "NEW.deleted_at := '2025-07-01Z'; RETURN NEW;"
)

var refusals = map[string]map[string]refusal{
	"restore": {
		"a unique index": {
			"23505",
			"already exists",
			`CREATE UNIQUE INDEX ON {table} (user_id, created_at) WHERE deleted_at IS NULL;
			INSERT INTO {table} (id, user_id, created_at)
			SELECT 1000, user_id, created_at FROM {table} WHERE id = 5`,
		},
		"a CHECK": {
			"23514",
			"violates check constraint",
			"ALTER TABLE {table} ADD CHECK (id <> 5 OR deleted_at IS NOT NULL)",
		},
		"an error": {
			"P0001",
			"not this one",
			when(before, "UPDATE", raises),
		},
		"an ASSERT": {
			"P0004",
			"not this one",
			when(before, "UPDATE", "ASSERT false, 'not this one';"),
		},
		"an error at the end": {
			"P0001",
			"not this one",
			when(atLast, "UPDATE", raises),
		},
		"a code of its own": {
			"42501",
			"on hold",
			when(before, "UPDATE", "RAISE insufficient_privilege USING MESSAGE = 'on hold';"),
		},
		"a veto": {
			"27000",
			keptIt,
			when(before, "UPDATE", "RETURN NULL;"),
		},
		"a time that stays": {
			"27000",
			keptIt,
			when(before, "UPDATE", "NEW.deleted_at := OLD.deleted_at; RETURN NEW;"),
		},
		"a time of its own": {
			"27000",
			keptIt,
			when(before, "UPDATE", another),
		},
		"a time of its own, afterwards": {
			"27000",
			keptIt,
			when(after, "UPDATE", `
				UPDATE {table} SET deleted_at = '2025-07-01Z'
				WHERE id = NEW.id AND deleted_at IS NULL;
				RETURN NULL;`),
		},
		"a time of its own, of all": {
			"27000",
			keptIt,
			allAfter(`
				UPDATE {table} SET deleted_at = '2025-07-01Z'
				WHERE id = 5 AND deleted_at IS NULL;`),
		},
		"a division by zero": {
			"22012",
			"division by zero",
			when(before, "UPDATE", "NEW.id := 1 / (OLD.id - 5); RETURN NEW;"),
		},
		"a function that is no": {
			"42883",
			"does not exist",
			when(before, "UPDATE", "PERFORM nowhere(); RETURN NEW;"),
		},
	},
	"purge": {
		"a foreign key": {
			"23503",
			"is still referenced from table",
			`CREATE TABLE receipts AS SELECT {key} FROM {table} WHERE id = 5;
			ALTER TABLE receipts ADD FOREIGN KEY ({key}) REFERENCES {table} ({key})`,
		},
		"a deferred foreign key": {
			"23503",
			"is still referenced from table",
			`CREATE TABLE receipts AS SELECT {key} FROM {table} WHERE id = 5;
			ALTER TABLE receipts ADD FOREIGN KEY ({key}) REFERENCES {table} ({key})
			DEFERRABLE INITIALLY DEFERRED`,
		},
		"an error": {
			"P0001",
			"not this one",
			when(before, "DELETE", raises),
		},
		"an ASSERT": {
			"P0004",
			"not this one",
			when(before, "DELETE", "ASSERT false, 'not this one';"),
		},
		"an error at the end": {
			"P0001",
			"not this one",
			when(atLast, "DELETE", raises),
		},
		"a veto": {
			"27000",
			keptIt,
			when(before, "DELETE", "RETURN NULL;"),
		},
		"an UPDATE instead": {
			"27000",
			keptIt,
			when(before, "DELETE", `
				UPDATE {table} SET deleted_at = now() WHERE id = OLD.id;
				RETURN NULL;`),
		},
		"an UPDATE before": {
			"27000",
			"already modified",
			when(before, "DELETE", `
				UPDATE {table} SET deleted_at = now() WHERE id = OLD.id;
				RETURN OLD;`),
		},
	},
}

// refusing has notifications 1 to 91 of 101 deleted by run 1, of which 5 refuses.
func refusing(t *testing.T, kind string, r refusal) *pgtest.Database {
	t.Helper()
	d := pgtest.Adopt(t, kindsOfTables[kind]...)
	d.Insert(pgtest.Alice, "read", 1, 101)
	d.Cleanup("10, 10")
	table, key := behind(kind)
	replacer := strings.NewReplacer("{table}", "public."+table, "{key}", key)
	d.Exec(replacer.Replace(r.statements))
	return d
}

// call does batches of 40 until there are no more, and returns how many notifications they were.
func call(d *pgtest.Database, operation string) (total int) {
	d.T.Helper()
	statement := map[string]string{
		"restore": "SELECT restore_next_batch(1, 40)",
		"purge":   "SELECT purge_next_batch('1 microsecond', 40)",
	}[operation]
	for _, n := range untilNone(d, statement) {
		total += n
	}
	return total
}

// note is what notification_cleanup_refused says of a notification.
type note struct {
	Operation string
	ID        int
	Code      string
	Detail    string
}

func notes(d *pgtest.Database) []note {
	d.T.Helper()
	return pgtest.Collect(d, pgx.RowToStructByPos[note], `
		SELECT operation, `+pgtest.NotificationNumber+`, sqlstate, detail
		FROM notification_cleanup_refused
		ORDER BY number`)
}

func TestOneThatRefusesIsNotInTheWayOfTheOthers(t *testing.T) {
	t.Parallel()
	left := map[string]string{"restore": "5", "purge": "5 92-101"}
	for operation, refusals := range refusals {
		for name, refusal := range refusals {
			for kind := range kindsOfTables {
				t.Run(strings.Join([]string{operation, name, kind}, ", "), func(t *testing.T) {
					t.Parallel()
					d := refusing(t, kind, refusal)
					if n := call(d, operation); n != 90 {
						t.Errorf("%d are done, want 90 of 91", n)
					}
					condition := map[string]string{"restore": "deleted_at IS NOT NULL", "purge": "true"}
					if got := d.Numbers(condition[operation]); got != left[operation] {
						t.Errorf("left are %q, want %q", got, left[operation])
					}
					noted := notes(d)
					if len(noted) != 1 || noted[0].Operation != operation || noted[0].ID != 5 ||
						noted[0].Code != refusal.code ||
						!strings.Contains(noted[0].Detail, refusal.detail) {
						t.Errorf("noted is %+v, want %s: %s", noted, refusal.code, refusal.detail)
					}
					if n := call(d, operation); n != 0 || len(notes(d)) != 1 {
						t.Errorf("the next calls do %d, and note %+v", n, notes(d))
					}
				})
			}
		}
	}
}

func TestWhatRefusedIsTriedAgainAfterADay(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"restore", "purge"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			d := refusing(t, "a table", refusals[operation]["a veto"])
			call(d, operation)
			d.Exec("DROP TRIGGER refuse ON notifications")
			if n := call(d, operation); n != 0 {
				t.Errorf("%d are done on the same day", n)
			}
			d.Exec("UPDATE notification_cleanup_refused SET refused_at = now() - interval '25 hours'")
			if n := call(d, operation); n != 1 || len(notes(d)) != 0 {
				t.Errorf("%d are done a day later, want 1; noted is still %+v", n, notes(d))
			}
		})
	}
}

// What is noted is the row as it lay.
func TestWhatTheApplicationHasMendedIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	d := refusing(t, "a table", refusals["restore"]["a unique index"])
	call(d, "restore")
	d.Set("user_id = "+pgtest.Key(pgtest.Bob), 5, 5)
	if n := call(d, "restore"); n != 1 {
		t.Errorf("%d are restored, want the one that the application has changed", n)
	}
	wantRestored(d, 91, "")
}

func TestWhatRefusesIsToldWithItsReason(t *testing.T) {
	t.Parallel()
	for operation, says := range map[string]string{
		"restore": "1 notifications cannot be restored: a trigger or rule keeps it deleted",
		"purge":   "1 notifications cannot be purged: a trigger or rule keeps it",
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			d := refusing(t, "a table", refusals[operation]["a veto"])
			session, told := d.WithNotices()
			call(session, operation)
			if strings.Count(told(), says) != 1 {
				t.Errorf("told was %s, want once %s", told(), says)
			}
		})
	}
}

// It lies elsewhere then, but it is live.
func TestUndoFindsWhatATriggerHasWrittenOnceMore(t *testing.T) {
	t.Parallel()
	for kind := range kindsOfTables {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := refusing(t, kind, refusal{statements: when(after, "UPDATE OF deleted_at",
				"UPDATE {table} SET status = 'read' WHERE id = NEW.id; RETURN NULL;")})
			if n := call(d, "restore"); n != 91 || len(notes(d)) != 0 {
				t.Errorf("%d are restored, want 91; noted is %+v", n, notes(d))
			}
		})
	}
}

// On a row that refuses only once it is the second.
func TestTwoThatRefuseEachOther(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	d.Set("title = 'twin'", 5, 6)
	d.Exec("CREATE UNIQUE INDEX ON notifications (title) WHERE deleted_at IS NULL")
	if n := call(d, "restore"); n != 900 {
		t.Errorf("%d are restored, want all but one of the twins", n)
	}
	if noted := notes(d); len(noted) != 1 || noted[0].Code != "23505" {
		t.Errorf("noted is %+v", noted)
	}
}

func TestUndoInOneTransactionStepsOverTheFew(t *testing.T) {
	t.Parallel()
	for kind := range kindsOfTables {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := refusing(t, kind, refusals["restore"]["a unique index"])
			if n := pgtest.One[int](d, "SELECT restore_notifications(1)"); n != 90 {
				t.Errorf("restored %d, want 90 of 91", n)
			}
			if noted := notes(d); len(noted) != 1 || noted[0].ID != 5 {
				t.Errorf("noted is %+v", noted)
			}
			wantRestored(d, 90, "5")
		})
	}
}

// every makes each n-th notification an obstacle for its restoration.
func every(n int) string {
	return fmt.Sprintf(`
		ALTER TABLE notifications ADD CHECK (deleted_at IS NOT NULL OR %s %% %d > 0 OR %[1]s > 901)`,
		pgtest.NotificationNumber, n)
}

func TestUndoInOneTransactionFailsWholeWhereTooManyRefuse(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	d.Exec(every(30))
	err := d.Refused("SELECT restore_notifications(1)", "54000")
	if !strings.Contains(err.Hint, "restore_next_batch") {
		t.Errorf("the hint is %s", err.Hint)
	}
	wantRestored(d, 0, "1-901")
	if noted := notes(d); len(noted) != 0 {
		t.Errorf("noted is %+v", noted)
	}
	if n := call(d, "restore"); n != 871 || len(notes(d)) != 30 {
		t.Errorf("batch by batch %d are restored, %d noted, want 871 and 30", n, len(notes(d)))
	}
}

// A subtransaction that was committed has a number of its own.
func TestACallTriesNoMoreThanItMay(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Insert(pgtest.Alice, "read", 1, 1001)
	d.Cleanup("")
	d.Exec(every(4))
	var restored []int
	for n := range slices.Values(restoreAll(d, 500)) {
		restored = append(restored, n)
	}
	if n := pgtest.One[int](d, `
		SELECT max(parts)
		FROM (
			SELECT count(DISTINCT n.xmin::text) AS parts
			FROM notifications AS n
			WHERE n.deleted_at IS NULL AND n.xmin::text NOT IN (
				SELECT xmin::text FROM notifications WHERE `+pgtest.NotificationNumber+` > 901)
		) AS call`); n < len(restored) || n > 60*len(restored) {
		t.Errorf("%d subtransactions in %d calls", n, len(restored))
	}
	for _, attempts := range []int{1, 10, 60} {
		got := pgtest.One[int](d, fmt.Sprintf(`
			SELECT r.attempts
			FROM (
				SELECT
					array_agg(tableoid) AS relations,
					array_agg(ctid) AS places,
					array_agg(id::notification_id) AS ids,
					array_agg(user_id::notification_user_id) AS users,
					array_agg(created_at::notification_created_at) AS created_ats,
					array_agg(deleted_at) AS deleted_ats
				FROM notifications
				WHERE deleted_at IS NOT NULL
			) AS l
			CROSS JOIN restore_or_purge('restore', %d, l.relations, l.places, l.ids, l.users,
				l.created_ats, l.deleted_ats) AS r`, attempts))
		if got != attempts {
			t.Errorf("%d attempts, want %d", got, attempts)
		}
	}
	wantRestored(d, 676, pgtest.Ranges(fours()))
}

func fours() (numbers []int) {
	for n := 4; n <= 901; n += 4 {
		numbers = append(numbers, n)
	}
	return numbers
}

// Answers go with their question. A purge in halves lets the answers go first, as the newer ones.
func TestWhatGoesBeforeAnotherOneRefusesNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, tableWith("notifications", "(id)"))
	d.Insert(pgtest.Alice, "read", 1, 101)
	d.Cleanup("10, 10")
	d.Exec(`
		ALTER TABLE notifications ADD question bigint REFERENCES notifications ON DELETE CASCADE;
		UPDATE notifications SET question = 91 - id WHERE id BETWEEN 46 AND 90`)
	refuses := strings.ReplaceAll(when(before, "DELETE", raises), "OLD.id = 5", "OLD.id = 86")
	d.Exec(strings.ReplaceAll(refuses, "{table}", "notifications"))
	d.Exec("SELECT purge_next_batch('1 microsecond')")
	if noted := notes(d); len(noted) != 2 || noted[0].ID+noted[1].ID != 91 {
		t.Errorf("noted is %+v, want the one that refuses, and its question", noted)
	}
	if got := d.Numbers("id <= 91"); got != "5 86" {
		t.Errorf("left are %s", got)
	}
}

func TestARuleInsteadOfDeleteIsAnErrorOfPurge(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]string{
		"nothing": "NOTHING",
		"an update": `UPDATE {table} SET deleted_at = now()
			WHERE id = OLD.id RETURNING OLD.*`,
	} {
		for kind := range kindsOfTables {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				d := refusing(t, kind, refusal{
					statements: "CREATE RULE keep AS ON DELETE TO {table} DO INSTEAD " + rule,
				})
				err := d.Refused("SELECT purge_notifications('1 microsecond')", "55000")
				if !strings.Contains(err.Message, "keep on ") {
					t.Errorf("the message is %s", err.Message)
				}
				if got := d.Numbers("true"); got != "1-101" {
					t.Errorf("left are %s", got)
				}
			})
		}
	}
}

func TestWhatFailsWithoutAnyNotificationIsNotNoted(t *testing.T) {
	t.Parallel()
	d := refusing(t, "a table", refusal{statements: "SELECT"})
	role := d.Role(
		"USAGE ON SCHEMA public",
		"EXECUTE ON ALL ROUTINES IN SCHEMA public",
		"SELECT, UPDATE ON ALL TABLES IN SCHEMA public",
		"INSERT, DELETE ON notification_cleanup_refused, notification_cleanup_batches,"+
			" notification_cleanup_open_runs",
	)
	d.Exec("SET ROLE " + role)
	d.Refused("SELECT purge_notifications('1 microsecond')", "42501")
	d.Exec("RESET ROLE")
	if noted := notes(d); len(noted) != 0 {
		t.Errorf("noted is %+v", noted)
	}
}

func TestWhatMayPassIsAnErrorAndNotNoted(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"restore", "purge"} {
		event := map[string]string{"restore": "UPDATE", "purge": "DELETE"}[operation]
		for _, code := range []string{
			"08006", "25006", "40001", "40P01", "53100", "53200",
			"55006", "55P03", "57014", "57P01", "58030", "XX000",
		} {
			t.Run(operation+" "+code, func(t *testing.T) {
				t.Parallel()
				d := refusing(t, "a table", refusal{
					statements: when(before, event, "RAISE EXCEPTION USING ERRCODE = '"+code+"';"),
				})
				d.Refused(map[string]string{
					"restore": "SELECT restore_next_batch(1)",
					"purge":   "SELECT purge_notifications('1 microsecond')",
				}[operation], code)
				if noted := notes(d); len(noted) != 0 {
					t.Errorf("noted is %+v", noted)
				}
			})
		}
	}
}
