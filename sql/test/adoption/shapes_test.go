package adoption

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// shape is a table that some application has, and how the README's chapter on installing it is
// followed there.
type shape struct {
	readme    string // first words of the README's view of it; none: the table is adopted directly
	create    string // the application's table, ...
	table     string
	insert    string // ... and how the notifications of made get into it, or those of users only
	went      string // numbers of the notifications that go
	schema    string
	createdAt string // the type that created_at has for the cleanup
}

var shapes = map[string]shape{
	"the table this was made for": {
		create: `CREATE TABLE users (id uuid PRIMARY KEY);
			CREATE TABLE notifications (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
				user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
				type varchar(50) NOT NULL, title text NOT NULL, message text, data jsonb DEFAULT '{}',
					status varchar(20) DEFAULT 'unread', read_at timestamptz,
				delivered_via_ws boolean DEFAULT false, delivered_via_email boolean DEFAULT false,
					aggregation_id uuid,
				created_at timestamptz DEFAULT now(), deleted_at timestamptz);
			CREATE INDEX ON notifications (user_id);
			CREATE INDEX ON notifications (user_id, status, created_at DESC);
			CREATE INDEX ON notifications (type);
			CREATE INDEX ON notifications (created_at DESC);
			CREATE INDEX ON notifications (aggregation_id) WHERE aggregation_id IS NOT NULL;
			INSERT INTO users SELECT lpad(i::text, 32, '0')::uuid FROM generate_series(1, 3000) AS i`,
		table: "public.notifications",
		insert: `(id, user_id, type, title, message, status, read_at, created_at)
			SELECT lpad(i::text, 32, '0')::uuid, lpad(owner::text, 32, '0')::uuid, kind, 'Title', text,
				CASE WHEN read THEN 'read' ELSE 'unread' END,
				CASE WHEN read THEN at + interval '1 day' END, at FROM made WHERE owner_type = 'User'`,
		went:      "51-1000",
		schema:    "public",
		createdAt: "timestamp with time zone",
	},
	"Laravel": {
		readme: "Laravel",
		create: `
			CREATE TABLE notifications (id uuid PRIMARY KEY, type varchar(255) NOT NULL,
				notifiable_type varchar(255) NOT NULL, notifiable_id bigint NOT NULL,
				data text NOT NULL, read_at timestamp(0), created_at timestamp(0), updated_at timestamp(0));
			CREATE INDEX ON notifications (notifiable_type, notifiable_id)`,
		table: "public.notifications",
		insert: `
			SELECT lpad(i::text, 32, '0')::uuid, 'App\Notifications\' || kind, 'App\Models\' || owner_type,
				owner, to_json(text),
				CASE WHEN read THEN at + interval '1 day' END, at, at FROM made WHERE true`,
		went:      "51-1000",
		schema:    "cleanup",
		createdAt: "timestamp without time zone",
	},
	"Rails": {
		readme: "Rails",
		create: `
			CREATE TABLE noticed_notifications (id bigserial PRIMARY KEY, type varchar,
				event_id bigint NOT NULL, recipient_type varchar NOT NULL, recipient_id bigint NOT NULL,
				read_at timestamp(6), seen_at timestamp(6), created_at timestamp(6) NOT NULL,
					updated_at timestamp(6) NOT NULL);
			CREATE INDEX ON noticed_notifications (event_id);
			CREATE INDEX ON noticed_notifications (recipient_type, recipient_id)`,
		table: "public.noticed_notifications",
		insert: `(id, type, event_id, recipient_type, recipient_id, read_at, created_at, updated_at)
			SELECT i, kind || repeat('Notification', 20), i, owner_type, owner,
				CASE WHEN read THEN at + interval '1 day' END, at, at
			FROM made
			WHERE true`,
		went:      "51-1000",
		schema:    "cleanup",
		createdAt: "timestamp with time zone",
	},
	"a boolean": {
		readme: "A boolean",
		create: `
			CREATE TABLE alerts (id serial PRIMARY KEY, account_id integer NOT NULL, kind text NOT NULL,
				body text, read boolean, created_at timestamptz NOT NULL DEFAULT now());
			CREATE INDEX ON alerts (account_id, created_at)`,
		table: "public.alerts",
		insert: `(id, account_id, kind, body, read, created_at)
			SELECT i, owner, kind, text, CASE WHEN read THEN true WHEN i % 2 = 0 THEN false END, at
			FROM made
			WHERE owner_type = 'User'`,
		went:      "51-100 161-1000",
		schema:    "cleanup",
		createdAt: "timestamp with time zone",
	},
}

// made are notifications of three users: one is over the limit with the oldest ones unread and some
// invoices among the old ones, one is at the limit, and one is over it with nothing but unread
// ones. There are teams with the numbers of two of them, and eight share a created_at.
const made = `CREATE TABLE made AS
	SELECT i, owner, owner_type, kind, read,
		timestamptz '2025-01-01 00:00Z' + i / 8 * interval '1 minute' AS at, repeat('x', 200) AS text
	FROM (VALUES (1, 'User', 1, 50, 'comment', false), (1, 'User', 51, 100, 'comment', true),
		(1, 'User', 101, 150, 'invoice', true),
		(1, 'User', 151, 160, 'security', true), (1, 'User', 161, 1100, 'comment', true),
			(2, 'User', 2001, 3000, 'comment', true),
		(3, 'User', 3001, 4001, 'comment', false), (1, 'Team', 5001, 6500, 'comment', true),
			(2, 'Team', 6501, 6700, 'comment', true)
	) AS inbox (owner, owner_type, first, last, kind, read), generate_series(first, last) AS i`

// blocks returns the code blocks of the README's chapter on adoption in this language.
func blocks(t *testing.T, language string) (blocks []string) {
	t.Helper()
	readme, err := os.ReadFile(pgtest.Path("README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(string(readme), "\n## Install on an existing database\n")
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	fenced := regexp.MustCompile("(?s)```" + language + "\n(.*?)```")
	for _, block := range fenced.FindAllStringSubmatch(chapter, -1) {
		blocks = append(blocks, block[1])
	}
	return blocks
}

// script is what a reader of the README does with this shape, in a shell. It has an sh block for
// all, of which the first lines tell where program and database are, an sql block of views that
// begins with what they have in common, and an sh block for whoever has made one.
func (s shape) script(t *testing.T, d *pgtest.Database) string {
	t.Helper()
	sh, sql := blocks(t, "sh"), blocks(t, "sql")
	if len(sh) != 2 || len(sql) != 3 || !strings.Contains(sh[0], "postgres://owner@db.example/app") {
		t.Fatalf(
			"the chapter has %d blocks of sh and %d of sql, and no %s",
			len(sh),
			len(sql),
			"postgres://owner@db.example/app",
		)
	}
	for i, block := range sh {
		sh[i] = strings.ReplaceAll(block, "postgres://owner@db.example/app", "'"+d.URL()+"'")
	}
	psql := func(statements string) string {
		return "psql -X -v ON_ERROR_STOP=1 \"$DATABASE_URL\" <<'SQL'\n" + statements + "\nSQL\n"
	}
	if s.readme == "" {
		return sh[0] + psql(sql[1])
	}
	prepare, _, _ := strings.Cut(sh[0], "notification-cleanup migrate up")
	views := strings.Split(sql[0], "\n-- ")
	view := slices.IndexFunc(
		views,
		func(view string) bool { return strings.HasPrefix(view, s.readme) },
	)
	if view < 1 {
		t.Fatalf("no view for %q in\n%s", s.readme, sql[0])
	}
	return prepare + psql(views[0]+"\n-- "+views[view]) + sh[1]
}

// adopted makes a database with the shape's table, runs a statement there, and follows the README.
// What it returns has the search_path.
func (s shape) adopted(t *testing.T, statement string) *pgtest.Database {
	t.Helper()
	d := pgtest.Empty(t)
	d.Exec(s.create + ";" + made + "; INSERT INTO " + s.table + " " + s.insert)
	d.Exec(statement)
	shell := exec.Command("sh", "-ec", s.script(t, d))
	shell.Dir = pgtest.Path("")
	path := filepath.Dir(pgtest.ProgramPath(t)) + string(filepath.ListSeparator) + os.Getenv("PATH")
	shell.Env = append(os.Environ(), "PATH="+path)
	d.Note("/* in a shell:\n" + shell.Args[2] + "*/")
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d.Exec(pgtest.SetSearchPath(s.schema + ", public"))
	return d.OpenSession()
}

func eachShape(t *testing.T, test func(t *testing.T, s shape)) {
	t.Parallel()
	for name, s := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}
