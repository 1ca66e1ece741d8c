package doctor

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// plain is an application's table.
const plain = `
	CREATE TABLE notifications (
		id bigint PRIMARY KEY,
		user_id bigint,
		status text,
		created_at timestamptz
	)`

func TestEachTableBehindNotificationsIsFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ create, want string }{
		"a table": {plain, "notifications t"},
		"partitions": {
			pgtest.Partitioned["range of hash"],
			`notifications f, p1 t, other.sub f, other.p2 t, other."P 3" t`,
		},
		"children": {plain + `;
			CREATE TABLE child () INHERITS (notifications);
			CREATE TABLE "Grand child" () INHERITS (child);
			CREATE TABLE other (id bigint)`,
			`notifications t, child t, "Grand child" t`},
		"a view of a view": {`
			CREATE TABLE words (id bigint);
			CREATE TABLE inbox (
				id bigint PRIMARY KEY,
				user_id bigint,
				status text,
				created_at timestamptz,
				deleted_at timestamptz
			);
			CREATE VIEW inner_view AS
			SELECT ctid, tableoid, *
			FROM inbox
			WHERE id NOT IN (SELECT id FROM words WHERE ctid <> '(0,1)');
			CREATE VIEW notifications AS SELECT * FROM inner_view`,
			"inbox t, inner_view f, notifications f"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, test.create)
			if got := pgtest.One[string](d, `
				SELECT string_agg(
					relation || ' ' || left(is_leaf::text, 1), ', ' ORDER BY relation::oid)
				FROM notification_tables()`); got != test.want {
				t.Errorf("found are %s, want %s", got, test.want)
			}
		})
	}
	d := pgtest.New(t)
	d.RowsPerPage(1)
	d.Insert(pgtest.Alice, "unread", 1, 10)
	const pages = "SELECT concat_ws(' ', pages, round(visible_share, 1)) FROM notification_tables()"
	if got := pgtest.One[string](d, pages); got != "10 0.0" {
		t.Errorf("before VACUUM it has %s", got)
	}
	d.Vacuum("notifications")
	if got := pgtest.One[string](d, pages); got != "10 1.0" {
		t.Errorf("after VACUUM it has %s", got)
	}
}

func TestTheDoctorSeesAViewThatHidesWhatIsDeleted(t *testing.T) {
	t.Parallel()
	const view = `
		CREATE OR REPLACE VIEW retention.notifications AS
		SELECT
			ctid,
			tableoid,
			message AS id,
			recipient AS user_id,
			CASE WHEN read_at IS NULL THEN 'unread' ELSE 'read' END AS status,
			sent_at AS created_at,
			removed_at AS deleted_at
		FROM messages
		WHERE `
	for condition, want := range map[string]string{
		"removed_at IS NULL":                               "failure",
		"recipient <> 'bob' AND removed_at IS NULL":        "failure",
		"removed_at IS NULL OR removed_at > '2020-01-01Z'": "ok",
		"recipient <> 'bob'":                               "ok",
	} {
		t.Run(condition, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, pgtest.InboxView...)
			d.Exec(view + condition)
			for _, c := range examine(d) {
				if c.Name == "table" && (c.Severity != want ||
					want != "ok" && !strings.Contains(c.Found, "the view hides what is soft-deleted")) {
					t.Errorf("it says %+v, want %s", c, want)
				}
			}
		})
	}
}
