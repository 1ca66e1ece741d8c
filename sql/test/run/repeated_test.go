package run

import (
	"cmp"
	"fmt"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

const repeatedColumns = `
	id bigint NOT NULL,
	user_id text COLLATE "C" NOT NULL,
	status text NOT NULL,
	created_at timestamptz NOT NULL,
	deleted_at timestamptz`

// repeating are tables in which an id stands several times: in other partitions, in children, for
// other tenants. The notifications are inserted into rows.
var repeating = map[string]string{
	"ranges of time": `
		CREATE TABLE notifications (` + repeatedColumns + `, PRIMARY KEY (id, created_at))
			PARTITION BY RANGE (created_at);
		CREATE TABLE early PARTITION OF notifications FOR VALUES FROM (MINVALUE) TO ('2025-01-02Z');
		CREATE TABLE late PARTITION OF notifications DEFAULT;
		CREATE VIEW rows AS SELECT * FROM notifications`,
	"a list of statuses": `
		CREATE TABLE notifications (` + repeatedColumns + `, UNIQUE (id, status, created_at))
			PARTITION BY LIST (status);
		CREATE TABLE seen PARTITION OF notifications FOR VALUES IN ('read');
		CREATE TABLE others PARTITION OF notifications DEFAULT;
		CREATE VIEW rows AS SELECT * FROM notifications`,
	"children": `
		CREATE TABLE notifications (` + repeatedColumns + `, PRIMARY KEY (id));
		CREATE TABLE early () INHERITS (notifications);
		CREATE TABLE late () INHERITS (notifications);
		CREATE VIEW rows AS SELECT * FROM notifications;
		CREATE FUNCTION spread() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.created_at < '2025-01-02Z' THEN
				INSERT INTO early VALUES (NEW.*);
			ELSE
				INSERT INTO late VALUES (NEW.*);
			END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER spread INSTEAD OF INSERT ON rows FOR EACH ROW EXECUTE FUNCTION spread()`,
	"a view of tenants": `
		CREATE TABLE inbox (tenant text NOT NULL,` + repeatedColumns + `);
		CREATE UNIQUE INDEX ON inbox (tenant, id, created_at);
		CREATE VIEW notifications AS SELECT ctid, tableoid, * FROM inbox;
		CREATE VIEW rows AS SELECT id, user_id, status, created_at, deleted_at FROM inbox;
		ALTER TABLE inbox ALTER tenant SET DEFAULT 'a'`,
}

// Who is judged is the row, and not whatever else has its id.
func TestAnIDThatRepeatsGoesOnlyWhereItsRowIsJudged(t *testing.T) {
	t.Parallel()
	for name, create := range repeating {
		for _, size := range []int{1, 7, 1000000} {
			t.Run(fmt.Sprint(name, " in batches of ", size), func(t *testing.T) {
				t.Parallel()
				d := pgtest.Adopt(t, create)
				// Users of which one has the same ids twice, an early and a late one.
				d.Exec(`
					INSERT INTO rows (id, user_id, status, created_at)
					SELECT
						i % 20,
						CASE WHEN i % 3 = 0 THEN 'Bob' ELSE 'bob' END,
						CASE WHEN i % 7 = 0 THEN 'unread' ELSE 'read' END,
						timestamptz '2025-01-01Z' + i * interval '1 hour'
					FROM generate_series(1, 60) AS i;
					CREATE TABLE expected AS
					SELECT user_id, created_at
					FROM (
						SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY created_at DESC) AS newest
						FROM rows
						WHERE status = 'read'
					) AS ranked
					WHERE newest > 5`)
				const job = "CALL cleanup_notifications_in_batches(10, 5, batch_size => %d)"
				d.Exec(fmt.Sprintf(job, size))
				d.WantNone("the run", "another one went, or one did not", `
					SELECT row(user_id, created_at)::text
					FROM rows AS n
					WHERE (deleted_at IS NOT NULL) <> EXISTS (
						SELECT FROM expected AS e
						WHERE (e.user_id, e.created_at) = (n.user_id, n.created_at)
					)`)
				d.WantNone("the run", "the record is not that", `
					SELECT r::text
					FROM notification_cleanup_runs AS r
					WHERE id = 1 AND notifications_deleted <> (SELECT count(*) FROM expected)`)
			})
		}
	}
}

// What VACUUM frees another notification may fill, of the same user and with the same id. Each time
// one thing only tells that it is not what the plan judged.
func TestAPlaceThatIsFilledAgainIsLeft(t *testing.T) {
	t.Parallel()
	for name, filled := range map[string]struct {
		status, createdAt, deletedAt, order string
		inPlace, stillOver                  int64
	}{
		"of another date": {
			createdAt: "created_at + interval '1 second'",
			inPlace:   60,
			stillOver: 1,
		},
		"unread": {
			status:    "'unread'",
			inPlace:   60,
			stillOver: 1,
		},
		"deleted": {
			deletedAt: "timestamptz '2025-06-01Z'",
			inPlace:   60,
		},
		"by each other's row": {
			order:     "place > (SELECT min(place) FROM doomed) DESC, place",
			inPlace:   1,
			stillOver: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
			d.Insert(pgtest.Alice, "read", 1, 60)
			run := d.Plan("50, 10")
			d.Exec("CREATE TABLE former AS SELECT *, ctid AS place FROM notifications ORDER BY ctid")
			const doomed = pgtest.NotificationNumber + " < 60"
			d.Exec("CREATE VIEW doomed AS SELECT * FROM former WHERE " + doomed)
			d.Exec("DELETE FROM notifications WHERE " + doomed)
			d.Vacuum("notifications")
			d.Exec(fmt.Sprintf(`
				INSERT INTO notifications (id, user_id, status, created_at, deleted_at)
				SELECT id, user_id, %s, %s, %s
				FROM doomed
				ORDER BY %s`,
				cmp.Or(filled.status, "status"),
				cmp.Or(filled.createdAt, "created_at"),
				cmp.Or(filled.deletedAt, "deleted_at"),
				cmp.Or(filled.order, "place")))
			const places = `
				SELECT count(*) FILTER (WHERE n.id = f.id)
				FROM former AS f
				JOIN notifications AS n ON n.ctid = f.place
				HAVING count(*) = 60`
			if n := pgtest.One[int64](d, places); n != filled.inPlace {
				t.Fatalf("%d lie where they lay, want %d", n, filled.inPlace)
			}
			d.Drain(run)
			d.WantDeletedBy(
				d.Record(run),
				"",
				pgtest.Counts{OverLimit: 1, StillOver: filled.stillOver, Changed: 50},
			)
		})
	}
}
