// Package types proves that the cleanup works with the types that the columns have, whatever these
// are, and as long as they are what they were.
package types

import (
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// A kind is a table whose columns are of unusual types, and two of its users.
type kind struct {
	before string // its types
	id     string // the type of the id, ...
	user   string // ... of the user, ...
	time   string // ... and of created_at
	ann    string // how the one user is written, in turns
	bob    string // the other user
}

// anyCase is a collation to which 'ann' and 'Ann' are equal, but not to a byte of them.
const anyCase = `
	CREATE COLLATION any_case (
		provider = icu,
		locale = 'und-u-ks-level2',
		deterministic = false
	)`

var kinds = map[string]kind{
	"a collation without case": {
		before: anyCase,
		user:   "text COLLATE any_case",
		ann:    "'ann,Ann,ANN'",
		bob:    "'bob'",
	},
	"a collation in a schema of its own": {
		before: "CREATE SCHEMA locales; " + anyCase + "; ALTER COLLATION any_case SET SCHEMA locales",
		user:   "varchar(10) COLLATE locales.any_case",
		ann:    "'ann,Ann,ANN'",
		bob:    "'bob'",
	},
	"a domain with a collation": {
		before: anyCase + "; CREATE DOMAIN name_of_user AS varchar(10) COLLATE any_case NOT NULL",
		user:   "name_of_user",
		ann:    "'ann,Ann,ANN'",
		bob:    "'bob'",
	},
	"the order of bytes": {
		user: `text COLLATE "C"`,
		ann:  "'ann'",
		bob:  "'Ann'",
	},
	"citext beside the table": {
		before: "CREATE EXTENSION citext",
		user:   "citext",
		ann:    "'ann,Ann,ANN'",
		bob:    "'bob'",
	},
	"citext in a schema of the path": {
		before: "CREATE SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions; " +
			pgtest.SetSearchPath("public, extensions"),
		user: "extensions.citext",
		ann:  "'ann,Ann,ANN'",
		bob:  "'bob'",
	},
	"citext in a schema with a capital, beside the path": {
		before: `CREATE SCHEMA "Ext"; CREATE EXTENSION citext SCHEMA "Ext"`,
		user:   `"Ext".citext`,
		ann:    "'ann,Ann,ANN'",
		bob:    "'bob'",
	},
	"a domain over citext": {
		before: `CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext;
			CREATE DOMAIN inner_domain AS ext.citext; CREATE DOMAIN outer_domain AS inner_domain`,
		user: "outer_domain",
		ann:  "'ann,Ann,ANN'",
		bob:  "'bob'",
	},
	"domains that are not NULL": {
		before: `CREATE DOMAIN nid AS bigint NOT NULL; CREATE DOMAIN uid AS nid CHECK (VALUE < 1000);
			CREATE DOMAIN moment AS timestamptz(0) NOT NULL`,
		id:   "nid",
		user: "uid",
		time: "moment",
		ann:  "'1'",
		bob:  "'2'",
	},
	"padded with blanks": {
		id:   "char(12)",
		user: "char(8)",
		ann:  "'ann'",
		bob:  "'bob'",
	},
	"numeric": {
		id:   "numeric(12, 0)",
		user: "numeric",
		ann:  "'1,1.0,1.00'",
		bob:  "'2'",
	},
	"no time zone": {
		user: "text",
		time: "timestamp(0)",
		ann:  "'ann'",
		bob:  "'bob'",
	},
	"bytea": {
		user: "bytea",
		ann:  "'ann'",
		bob:  "'bob'",
	},
	"network addresses": {
		user: "inet",
		ann:  "'10.0.0.1,10.0.0.1/32'",
		bob:  "'10.0.0.2'",
	},
}

// adopt makes the table, in which 1-1500 are of one user and 2001-3000 of another, at the limit,
// and installs the cleanup.
func (k kind) adopt(t *testing.T) *pgtest.Database {
	t.Helper()
	id, created := k.id, k.time
	if id == "" {
		id = "bigint"
	}
	if created == "" {
		created = "timestamptz"
	}
	d := pgtest.Adopt(t, "SELECT; "+k.before, `
		CREATE TABLE notifications (
			id `+id+` PRIMARY KEY,
			user_id `+k.user+`,
			status text,
			created_at `+created+`,
			deleted_at timestamptz
		)`)
	d.Exec(`
		INSERT INTO notifications (id, user_id, status, created_at)
		SELECT
			i::text::` + id + `,
			name::` + k.user + `,
			'read',
			timestamptz '2025-01-01 00:00Z' + i * interval '1 minute'
		FROM (
			SELECT i, spelled[1 + i % cardinality(spelled)] AS name
			FROM generate_series(1, 1500) AS i, string_to_array(` + k.ann + `, ',') AS spelled
			UNION ALL
			SELECT i, ` + k.bob + `
			FROM generate_series(2001, 3000) AS i
		) AS made`)
	return d
}

func TestUsersAreEqualWhereTheirTypeSaysSo(t *testing.T) {
	t.Parallel()
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := k.adopt(t)
			const users = "SELECT users_with_notifications::integer FROM notification_stats()"
			if got := pgtest.One[int](d, users); got != 2 {
				t.Errorf("%d users, want 2", got)
			}
			d.WantJob("1-1400")
		})
	}
}

func TestOneUserOfTheListStandsForAllWhoEqualThem(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a collation without case", "a domain over citext"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := kinds[name].adopt(t)
			d.WantCleanup("user_ids => '{aNN}'", "1-1400",
				pgtest.Counts{OverLimit: 1, Cleaned: 1, Deleted: 1400})
		})
	}
}
