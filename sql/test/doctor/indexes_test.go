package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

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
func mails(user, condition string) string {
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
		CREATE VIEW notifications AS
		SELECT
			ctid,
			tableoid,
			id,
			` + user + ` AS user_id,
			seen AS status,
			made AS created_at,
			gone AS deleted_at
		FROM mails AS m ` + condition
}

const (
	dropOurs = "DROP INDEX notifications_live_idx, notifications_deleted_idx; "
	// Conditions of views, with what the planner makes of a varchar.
	noBills  = "WHERE kind NOT IN ('bill', 'ad')"
	isNoBill = "((kind)::text <> ALL ('{bill,ad}'::text[]))"
	ofAnn    = `WHERE NOT EXISTS (
		SELECT FROM people AS p WHERE p.id = m.owner AND p.name = 'ann')`
	byKind  = "CASE WHEN owner > 0 THEN kind END"
	keyKind = "((CASE WHEN (owner > 0) THEN kind ELSE NULL::character varying END))"
)

// Which index serves for live and for deleted notifications, or what builds one.
var indexCases = map[string]struct {
	create string
	change string
	want   []string
}{
	"wider ones": {
		change: dropOurs + `
			CREATE INDEX wider ON notifications (user_id, created_at DESC)
			WHERE deleted_at IS NULL;
			CREATE INDEX timed ON notifications (deleted_at, id)`,
		want: []string{
			"notifications live wider",
			"notifications deleted timed",
		},
	},
	"of other rows": {
		change: dropOurs + `
			CREATE INDEX ON notifications (user_id)
			WHERE deleted_at IS NULL AND status = 'read';
			CREATE INDEX ON notifications (deleted_at)
			WHERE deleted_at IS NOT NULL AND status = 'read'`,
		want: []string{
			live("notifications_live_idx ON public.notifications (user_id)"),
			gone("notifications_deleted_idx ON public.notifications (deleted_at)"),
		},
	},
	"of all rows": {
		change: dropOurs + `
			CREATE INDEX ON notifications (user_id);
			CREATE INDEX ON notifications (user_id) INCLUDE (deleted_at);
			CREATE INDEX ON notifications USING hash (deleted_at)`,
		want: []string{
			live("notifications_live_idx ON public.notifications (user_id)"),
			gone("notifications_deleted_idx ON public.notifications (deleted_at)"),
		},
	},
	"by user and time": {
		change: dropOurs + "CREATE INDEX pair ON notifications (user_id, deleted_at)",
		want: []string{
			"notifications live pair",
			gone("notifications_deleted_idx ON public.notifications (deleted_at)"),
		},
	},
	"an invalid one": {
		change: `
			UPDATE pg_index
			SET indisvalid = false
			WHERE indexrelid = 'notifications_live_idx'::regclass`,
		want: []string{
			"notifications live -> REINDEX INDEX CONCURRENTLY public.notifications_live_idx",
			"notifications deleted notifications_deleted_idx",
		},
	},
	"an invalid one of more columns": {
		change: dropOurs + `
			CREATE INDEX wider ON notifications (user_id, created_at) WHERE deleted_at IS NULL;
			UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'wider'::regclass`,
		want: []string{
			"notifications live -> REINDEX INDEX CONCURRENTLY public.wider",
			gone("notifications_deleted_idx ON public.notifications (deleted_at)"),
		},
	},
	"two names that are taken": {
		change: dropOurs + `
			CREATE TABLE notifications_deleted_idx (user_id uuid);
			CREATE INDEX notifications_deleted_idx1 ON notifications_deleted_idx (user_id);
			CREATE INDEX mine ON notifications (user_id) WHERE deleted_at IS NULL`,
		want: []string{
			"notifications live mine",
			gone("notifications_deleted_idx2 ON public.notifications (deleted_at)"),
		},
	},
	"a name that is taken": {
		change: dropOurs + `
			CREATE TABLE former (user_id uuid);
			CREATE INDEX notifications_live_idx ON former (user_id)`,
		want: []string{
			live("notifications_live_idx1 ON public.notifications (user_id)"),
			gone("notifications_deleted_idx ON public.notifications (deleted_at)"),
		},
	},
	"beside one that is as cheap": {
		change: "CREATE INDEX ON notifications (user_id) INCLUDE (deleted_at)",
		want: []string{
			"notifications live notifications_live_idx",
			"notifications deleted notifications_deleted_idx",
		},
	},
	"a child by INHERITS": {
		create: plain + "; CREATE TABLE child () INHERITS (notifications)",
		change: "DROP INDEX child_user_id_idx",
		want: []string{
			"notifications live notifications_live_idx",
			strings.Replace(live("ON public.child (user_id)"), "notifications", "child", 1),
			"notifications deleted notifications_deleted_idx",
			"child deleted child_deleted_at_idx",
		},
	},
	"no partition yet": {
		create: hashed,
		want: []string{
			"notifications notifications_live_idx",
			"notifications notifications_deleted_idx",
		},
	},
	"a view": {
		create: mails("owner", noBills),
		want: []string{
			"mails live -> CREATE INDEX CONCURRENTLY ON public.mails (owner)" +
				" WHERE ((gone IS NULL) AND " + isNoBill + ")",
			"mails deleted -> CREATE INDEX CONCURRENTLY ON public.mails (gone)" +
				" WHERE ((gone IS NOT NULL) AND " + isNoBill + ")",
		},
	},
	"a view whose condition they have": {
		create: mails("owner", noBills),
		change: `
			CREATE INDEX l ON mails (owner) WHERE gone IS NULL AND kind NOT IN ('bill', 'ad');
			CREATE INDEX d ON mails (gone)`,
		want: []string{"mails live l", "mails deleted d"},
	},
	"a view whose condition reads a column": {
		create: mails("owner", noBills),
		change: `
			CREATE INDEX l ON mails (owner) INCLUDE (kind) WHERE gone IS NULL;
			CREATE INDEX d ON mails (gone)`,
		want: []string{"mails live l", "mails deleted d"},
	},
	"a view with an expression": {
		create: mails(byKind, ""),
		change: "CREATE INDEX no_columns ON mails ((" + byKind + ")) WHERE gone IS NULL",
		want: []string{
			"mails live -> CREATE INDEX CONCURRENTLY ON public.mails " + keyKind +
				" INCLUDE (owner, kind) WHERE (gone IS NULL)",
			"mails deleted -> CREATE INDEX CONCURRENTLY ON public.mails (gone)" +
				" WHERE (gone IS NOT NULL)",
		},
	},
	"a view whose expression they have": {
		create: mails(byKind, ""),
		change: `
			CREATE INDEX l ON mails ((` + byKind + `)) INCLUDE (kind, owner) WHERE gone IS NULL;
			CREATE INDEX d ON mails (gone, id) WHERE gone IS NOT NULL`,
		want: []string{"mails live l", "mails deleted d"},
	},
	"a view, with strings that have escapes": {
		create: pgtest.SetForDatabase("standard_conforming_strings = off") + ";" +
			mails("owner", ""),
		change: "SET standard_conforming_strings = off",
		want: []string{
			"mails live -> CREATE INDEX CONCURRENTLY ON public.mails (owner)" +
				" WHERE (gone IS NULL)",
			"mails deleted -> CREATE INDEX CONCURRENTLY ON public.mails (gone)" +
				" WHERE (gone IS NOT NULL)",
		},
	},
	"a view of several tables": {
		create: mails("owner", ofAnn),
		change: "CREATE INDEX l ON mails (owner) WHERE gone IS NULL",
		want:   []string{"mails live l", "mails deleted"},
	},
}

// live is that none serves for live notifications, and what builds one.
func live(on string) string {
	return "notifications live -> CREATE INDEX CONCURRENTLY " + on + " WHERE (deleted_at IS NULL)"
}

// gone is the same for deleted ones.
func gone(on string) string {
	return "notifications deleted -> CREATE INDEX CONCURRENTLY " + on +
		" WHERE (deleted_at IS NOT NULL)"
}

func TestThePlannerSaysWhichIndexServes(t *testing.T) {
	t.Parallel()
	for name, test := range indexCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, test.create)
			d.Exec(test.change)
			got := pgtest.All[string](d, `
				SELECT concat_ws(' ', relation, purpose, index, '-> ' || statement)
				FROM notification_cleanup_indexes()`)
			if !slices.Equal(got, test.want) {
				t.Errorf(
					"there are\n%s\nwant\n%s",
					strings.Join(got, "\n"),
					strings.Join(test.want, "\n"),
				)
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

func TestAnIndexOfAnInboxThatHasTheDeletedInItIsNoted(t *testing.T) {
	t.Parallel()
	const inbox = "CREATE INDEX inbox ON notifications (user_id, created_at DESC)"
	for name, test := range map[string]struct{ create, advice string }{
		"of a plain table": {
			plain + ";" + inbox,
			"CREATE INDEX CONCURRENTLY ON notifications (user_id, created_at DESC)" +
				" WHERE deleted_at IS NULL; DROP INDEX CONCURRENTLY inbox;" +
				" DROP INDEX CONCURRENTLY notifications_live_idx;",
		},
		"of a partitioned table": {
			hashed + ";" + inbox,
			"on notifications (user_id, created_at DESC) WHERE deleted_at IS NULL",
		},
		"without them": {
			plain + "; ALTER TABLE notifications ADD deleted_at timestamptz;" + inbox +
				" WHERE deleted_at IS NULL",
			"",
		},
		"of the unread": {
			plain + ";" + inbox + " WHERE status = 'unread'",
			"",
		},
		"with the status": {
			plain + "; CREATE INDEX ON notifications (user_id, status, created_at)",
			"",
		},
		"unique": {
			plain + "; CREATE UNIQUE INDEX ON notifications (user_id, created_at)",
			"",
		},
		"the users alone": {
			plain + "; CREATE INDEX ON notifications (user_id)",
			"",
		},
		"of a created table": {
			"SELECT",
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Adopt(t, test.create)
			c := find(d, "indexes")
			if test.advice == "" {
				if c.Severity != "ok" {
					t.Errorf("it says %+v", c)
				}
				return
			}
			if c.Severity != "note" || !strings.HasSuffix(c.Advice, ": "+test.advice) ||
				!strings.HasPrefix(c.Found, "inbox, by user and time") {
				t.Errorf("it says %+v", c)
			}
			if !strings.HasPrefix(test.advice, "CREATE") {
				return
			}
			for _, statement := range strings.Split(test.advice, "; ") {
				d.Exec(statement)
			}
			if c := find(d, "indexes"); c.Severity != "ok" {
				t.Errorf("with what it said it says %+v", c)
			}
		})
	}
}
