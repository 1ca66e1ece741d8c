package doctor

import (
	"slices"
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
		"a table":    {plain, "notifications t"},
		"partitions": {pgtest.Partitioned["range of hash"], `notifications f, p1 t, other.sub f, other.p2 t, other."P 3" t`},
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
			CREATE VIEW notifications AS SELECT * FROM inner_view`, "inbox t, inner_view f, notifications f"},
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

// hashed has no partition yet.
const hashed = `
	CREATE TABLE notifications (
		id bigint,
		user_id bigint,
		status text,
		created_at timestamptz,
		PRIMARY KEY (id, user_id)
	) PARTITION BY HASH (user_id)`

// mails is a table of an application, and a view of it that shows what its users get.
func mails(view string) string {
	return `
		CREATE TABLE mails (
			id bigint PRIMARY KEY,
			owner bigint,
			kind varchar(9),
			seen text,
			made timestamptz,
			gone timestamptz
		);
		CREATE TABLE people (id bigint PRIMARY KEY, name text);
		CREATE VIEW notifications AS SELECT ctid, tableoid, id, ` + view
}

func TestThePlannerSaysWhichIndexServes(t *testing.T) {
	t.Parallel()
	const (
		ours  = "DROP INDEX notifications_live_idx, notifications_deleted_idx; "
		build = "-> CREATE INDEX CONCURRENTLY "
		live  = "notifications live " + build + "notifications_live_idx" +
			" ON public.notifications (user_id) WHERE (deleted_at IS NULL)"
		gone = "notifications deleted " + build + "notifications_deleted_idx" +
			" ON public.notifications (deleted_at) WHERE (deleted_at IS NOT NULL)"
		rest = " AS user_id, seen AS status, made AS created_at, gone AS deleted_at FROM mails AS m"
	)
	for name, test := range map[string]struct {
		create, change string
		want           []string
	}{
		"wider ones": {"SELECT", ours + `CREATE INDEX wider ON notifications (user_id, created_at DESC) WHERE deleted_at IS NULL;
			CREATE INDEX timed ON notifications (deleted_at, id)`, []string{"notifications live wider", "notifications deleted timed"}},
		"of other rows": {"SELECT", ours + `CREATE INDEX ON notifications (user_id) WHERE deleted_at IS NULL AND status = 'read';
			CREATE INDEX ON notifications (deleted_at)
			WHERE deleted_at IS NOT NULL AND status = 'read'`, []string{live, gone}},
		"of all rows": {"SELECT", ours + `
			CREATE INDEX ON notifications (user_id);
			CREATE INDEX ON notifications (user_id) INCLUDE (deleted_at);
			CREATE INDEX ON notifications USING hash (deleted_at)`, []string{live, gone}},
		"by user and time": {"SELECT", ours + "CREATE INDEX pair ON notifications (user_id, deleted_at)", []string{"notifications live pair", gone}},
		"an invalid one": {"SELECT", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'notifications_live_idx'::regclass",
			[]string{"notifications live -> REINDEX INDEX CONCURRENTLY public.notifications_live_idx", "notifications deleted notifications_deleted_idx"}},
		"a name that is taken": {"SELECT", ours + "CREATE TABLE former (user_id uuid); CREATE INDEX notifications_live_idx ON former (user_id)",
			[]string{strings.Replace(live, "notifications_live_idx ", "", 1), gone}},
		"beside one that is as cheap": {"SELECT", "CREATE INDEX ON notifications (user_id) INCLUDE (deleted_at)",
			[]string{"notifications live notifications_live_idx", "notifications deleted notifications_deleted_idx"}},
		"a child by INHERITS": {plain + "; CREATE TABLE child () INHERITS (notifications)",
			"DROP INDEX child_user_id_idx", []string{"notifications live notifications_live_idx",
				"child live " + build + "ON public.child (user_id) WHERE (deleted_at IS NULL)",
				"notifications deleted notifications_deleted_idx", "child deleted child_deleted_at_idx"}},
		"no partition yet": {hashed, "SELECT", []string{"notifications notifications_live_idx", "notifications notifications_deleted_idx"}},
		"a view": {mails("owner" + rest + " WHERE kind NOT IN ('bill', 'ad')"), "SELECT", []string{
			"mails live " + build + "ON public.mails (owner) WHERE ((gone IS NULL) AND ((kind)::text <> ALL ('{bill,ad}'::text[])))",
			"mails deleted " + build + "ON public.mails (gone) WHERE ((gone IS NOT NULL) AND ((kind)::text <> ALL ('{bill,ad}'::text[])))"}},
		"a view whose condition they have": {mails("owner" + rest + " WHERE kind NOT IN ('bill', 'ad')"),
			"CREATE INDEX l ON mails (owner) WHERE gone IS NULL AND kind NOT IN ('bill', 'ad'); CREATE INDEX d ON mails (gone)", []string{"mails live l", "mails deleted d"}},
		"a view whose condition reads a column": {mails("owner" + rest + " WHERE kind NOT IN ('bill', 'ad')"),
			"CREATE INDEX l ON mails (owner) INCLUDE (kind) WHERE gone IS NULL; CREATE INDEX d ON mails (gone)", []string{"mails live l", "mails deleted d"}},
		"a view with an expression": {mails("CASE WHEN owner > 0 THEN kind END" + rest), "CREATE INDEX no_columns ON mails ((CASE WHEN owner > 0 THEN kind END)) WHERE gone IS NULL", []string{
			"mails live " + build + "ON public.mails ((CASE WHEN (owner > 0) THEN kind ELSE NULL::character varying END)) INCLUDE (owner, kind) WHERE (gone IS NULL)",
			"mails deleted " + build + "ON public.mails (gone) WHERE (gone IS NOT NULL)"}},
		"a view, with strings that have escapes": {
			pgtest.SetForDatabase("standard_conforming_strings = off") + ";" + mails("owner"+rest),
			"SET standard_conforming_strings = off",
			[]string{
				"mails live " + build + "ON public.mails (owner) WHERE (gone IS NULL)",
				"mails deleted " + build + "ON public.mails (gone) WHERE (gone IS NOT NULL)",
			},
		},
		"a view of several tables": {mails("owner" + rest + " WHERE NOT EXISTS (SELECT FROM people AS p WHERE p.id = m.owner AND p.name = 'ann')"),
			"CREATE INDEX l ON mails (owner) WHERE gone IS NULL", []string{"mails live l", "mails deleted"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, test.create)
			d.Exec(test.change)
			got := pgtest.All[string](d, `
				SELECT concat_ws(' ', relation, purpose, index, '-> ' || statement)
				FROM notification_cleanup_indexes()`)
			if !slices.Equal(got, test.want) {
				t.Errorf("there are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			for _, line := range got { // what it says helps
				if _, statement, found := strings.Cut(line, "-> "); found {
					d.Exec(statement)
				}
			}
			const left = "SELECT count(statement) FROM notification_cleanup_indexes()"
			if n := pgtest.One[int](d, left); n > 0 {
				t.Errorf("when all that it says is done, %d are left", n)
			}
		})
	}
}
