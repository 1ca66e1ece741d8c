package recipes

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/document"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// A reader copies a recipe. They sit in Los Angeles, where a time without a zone is not what UTC
// says.
func TestEachRecipe(t *testing.T) {
	t.Parallel()
	for heading, r := range everyRecipe() {
		if pgtest.OnCitus() != (heading == "Citus") {
			continue // the one is for a cluster, the others are for one server
		}
		t.Run(heading, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Empty(t)
			// Rows as wide as an application's: a narrow table is as soon read as its index.
			const wide = "; ALTER TABLE %s ADD COLUMN message text DEFAULT repeat('x', 300);"
			d.Exec(made + ";" + r.create + fmt.Sprintf(wide, r.table) + r.fill + "; ANALYZE")
			d.Exec(pgtest.SetForDatabase("timezone = 'America/Los_Angeles'"))
			c := copied{d: d, recipe: r, script: scriptOf(t, heading)}
			c.sh(c.setUp())
			if !pgtest.OnCitus() {
				c.wantIndexesThatServe()
			}
			c.wantTheSameInEachZone()
			c.wantWhatItSays()
		})
	}
}

// wantIndexesThatServe is for a database in which nothing has run yet.
func (c copied) wantIndexesThatServe() {
	c.d.T.Helper()
	for _, schema := range c.schemas() {
		session := c.in(schema)
		const missing = `
			SELECT format('%s on %s', purpose, relation)
			FROM notification_cleanup_indexes()
			WHERE purpose IS NOT NULL AND index IS NULL`
		if got := pgtest.All[string](session, missing); len(got) > 0 {
			c.d.T.Errorf("%s: no index serves for %q", schema, got)
		}
		const failures = `
			SELECT c::text
			FROM notification_cleanup_doctor() AS c
			WHERE c.severity = 'failure'`
		if got := pgtest.All[string](session, failures); len(got) > 0 {
			c.d.T.Errorf("%s: the doctor says %q", schema, got)
		}
	}

	const leaves = `
		SELECT c.oid::bigint
		FROM pg_class AS c
		WHERE c.relkind = 'r'
			AND (
				c.oid = $1::text::regclass
				OR c.oid IN (SELECT t.relid FROM pg_partition_tree($1::text::regclass) AS t)
			)`
	tables := pgtest.All[int64](c.d, leaves, c.recipe.table)
	for _, table := range tables { // now, because the doctor's rehearsal leaves dead rows
		c.d.Vacuum(pgtest.One[string](c.d, "SELECT $1::bigint::oid::regclass::text", table))
	}
	c.d.Exec("VACUUM ANALYZE users")
	// To find who is over the limit reads the index, and no row. Of many partitions a small one may
	// be read whole. In a session of its own, because this counts all of a session.
	for _, schema := range c.schemas() {
		session := c.in(schema)
		session.Exec("BEGIN; SELECT count(*) FROM preview_notification_cleanup(100000)")
		const read = `
			SELECT sum(coalesce(idx_tup_fetch, 0) + seq_tup_read)::bigint
			FROM pg_stat_xact_user_tables
			WHERE relid = ANY ($1::bigint[]::oid[])`
		atMost := 0
		if len(tables) > 1 {
			atMost = pgtest.One[int](c.d, "SELECT count(*) / 5 FROM "+c.recipe.table)
		}
		if n := pgtest.One[int](session, read, tables); n > atMost {
			c.d.T.Errorf("%s: to find who is over the limit reads %d rows", schema, n)
		}
		session.Exec("COMMIT")
	}
}

// wantTheSameInEachZone is for a view that does not depend on where somebody sits who looks at it.
func (c copied) wantTheSameInEachZone() {
	c.d.T.Helper()
	for _, schema := range c.schemas() {
		session := c.in(schema)
		const seen = `
			SELECT md5(string_agg(concat_ws(' ', n.id, n.user_id, n.status), ',' ORDER BY n.id))
			FROM notifications AS n`
		there := pgtest.One[string](session, seen)
		session.Exec("SET timezone = 'UTC'")
		if here := pgtest.One[string](session, seen); here != there {
			c.d.T.Errorf("%s.notifications is not the same in Los Angeles", schema)
		}
	}
}

// wantWhatItSays runs the cleanup by program, function and procedure.
func (c copied) wantWhatItSays() {
	c.d.T.Helper()
	doomed := c.recipe.doomed(c.d)
	want, given := pgtest.Ranges(doomed), pgtest.One[int](c.d, "SELECT count(*) FROM "+c.recipe.table)
	if want == "" {
		c.d.T.Fatal("nothing would go")
	}
	before := pgtest.One[string](c.d, c.recipe.columns())

	runs := c.runs()
	c.sh(runs)
	c.wantGone("after the program", want)
	for _, schema := range c.schemas() {
		c.sh("SCHEMA=" + schema + " notification-cleanup restore 1")
	}
	c.wantGone("after undo by the program", "")
	role := c.d.Role() // who may clean up, and nothing else
	for _, schema := range c.schemas() {
		session := c.in(schema)
		limits := pgtest.One[string](session, `
			SELECT format('%s, %s', max_notifications, min_keep)
			FROM notification_cleanup_runs
			WHERE id = 1`)
		if !pgtest.OnCitus() { // there a role has to log in to each node
			session.GrantUses(role, "clean up")
			session.Exec("SET ROLE " + role)
		}
		session.Exec("SELECT cleanup_notifications(" + limits + ")")
	}
	c.wantGone("after the function", want)
	for _, schema := range c.schemas() {
		session := c.in(schema)
		session.Exec("SELECT restore_notifications(2)")
		limits := pgtest.One[string](session, `
			SELECT format('%s, %s', max_notifications, min_keep)
			FROM notification_cleanup_runs
			WHERE id = 2`)
		session.Exec("CALL cleanup_notifications_in_batches(" + limits + ", batch_size => 500)")
	}
	c.wantGone("after undo and the procedure", want)
	c.sh(runs)
	c.wantGone("after one run more", want)
	if after := pgtest.One[string](c.d, c.recipe.columns()); after != before {
		c.d.T.Error("the cleanup has changed columns other than deleted_at")
	}

	for _, schema := range c.schemas() {
		c.in(schema).Exec("SELECT purge_notifications('1 microsecond', 100000)")
	}
	left := pgtest.One[int](c.d, "SELECT count(*) FROM "+c.recipe.table)
	if left != given-len(doomed) {
		c.d.T.Errorf("after purge %d are left, want %d", left, given-len(doomed))
	}
}

// Whoever adds a recipe adds what it promises, and the other way round.
func TestEachRecipeHasAPromise(t *testing.T) {
	t.Parallel()
	recipes := document.Read(t, "sql/RECIPES.md")
	for heading, promises := range map[string]map[string]recipe{
		"Adopt your table": adoptions,
		"Change the rule":  policies,
		"Time zones":       zones,
	} {
		var written []string
		for _, chapter := range recipes.Below(t, heading, 3) {
			written = append(written, chapter.Heading)
		}
		slices.Sort(written)
		if promised := slices.Sorted(maps.Keys(promises)); !slices.Equal(written, promised) {
			t.Errorf("%s: written are %q, promised %q", heading, written, promised)
		}
	}
}

// Each policy says what min_keep counts there.
func TestEachPolicySaysWhatMinKeepMeans(t *testing.T) {
	t.Parallel()
	recipes := document.Read(t, "sql/RECIPES.md")
	for _, chapter := range recipes.Below(t, "Change the rule", 3) {
		if !strings.Contains(chapter.Text, "**MIN_KEEP**: ") {
			t.Errorf("%s does not say what MIN_KEEP means", chapter.Heading)
		}
	}
}

func everyRecipe() map[string]recipe {
	all := maps.Clone(adoptions)
	maps.Copy(all, policies)
	maps.Copy(all, zones)
	return all
}

// number is the number that a notification was made with, from its id: any of the types.
const number = `ltrim(replace(replace(n.id::text, '-', ''), 'c', ''), '0')::integer`

// deletedAt is the column of the application.
func (r recipe) deletedAt() string {
	if r.table == prisma.table {
		return `"deletedAt"`
	}
	return "deleted_at"
}

// columns is a query for a checksum of all that is the application's.
func (r recipe) columns() string {
	return fmt.Sprintf(`
		SELECT count(*) || ' ' || md5(string_agg(
			(to_jsonb(n) - 'deleted_at' - 'deletedAt')::text, ' ' ORDER BY n.id
		))
		FROM %s AS n`, r.table)
}

// wantGone compares what is soft-deleted, asked of the application's own table.
func (c copied) wantGone(when, want string) {
	c.d.T.Helper()
	got := pgtest.Ranges(pgtest.All[int](c.d, fmt.Sprintf(
		"SELECT %s FROM %s AS n WHERE n.%s IS NOT NULL ORDER BY 1",
		number, c.recipe.table, c.recipe.deletedAt())))
	if got != want {
		c.d.T.Fatalf("%s the deleted ones are\n%s\nwant\n%s", when, got, want)
	}
}

// copied is a recipe in the hands of a reader.
type copied struct {
	d      *pgtest.Database
	recipe recipe
	script string // its blocks, for a shell
}

// scriptOf makes a script of the blocks that the chapter tells to execute, in their order: what
// comes first for each policy, its own, and what is the same after all of them.
func scriptOf(t *testing.T, heading string) (script string) {
	t.Helper()
	recipes := document.Read(t, "sql/RECIPES.md")
	var blocks []document.Block
	if _, isAdoption := adoptions[heading]; !isAdoption {
		blocks = append(blocks, recipes.Chapter(t, "Change the rule").Blocks...)
	}
	blocks = append(blocks, recipes.Chapter(t, heading).Blocks...)
	installs := func(b document.Block) bool {
		return strings.Contains(b.Text, "notification-cleanup migrate up")
	}
	if !slices.ContainsFunc(blocks, installs) {
		blocks = append(blocks, recipes.Chapter(t, "How a view works").Blocks...)
	}
	for _, block := range blocks {
		switch block.Language {
		case "sql":
			script += "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" <<'SQL'\n" + block.Text + "SQL\n"
		case "sh":
			script += block.Text
		}
	}
	return script
}

var (
	schema = regexp.MustCompile(`\bSCHEMA=(\w+)`)
	// once is what sets up something, and runs what its own commands call in the end.
	once = regexp.MustCompile(`(?s)psql .*?\nSQL\n|[^\n]*notification-cleanup migrate up\n`)
	runs = regexp.MustCompile(`[^\n]*notification-cleanup run[^\n]*\n`)
)

// setUp is the script without what it runs.
func (c copied) setUp() string { return runs.ReplaceAllString(c.script, "") }

// runs is the script without what it sets up: with the settings, and a run at least.
func (c copied) runs() string {
	left := once.ReplaceAllString(c.script, "")
	if !runs.MatchString(left) {
		left += "notification-cleanup run --workers 2 --batch-size 500\n"
	}
	return left
}

// schemas are those that the script installs into.
func (c copied) schemas() (names []string) {
	for _, found := range schema.FindAllStringSubmatch(c.script, -1) {
		if !slices.Contains(names, found[1]) {
			names = append(names, found[1])
		}
	}
	if names == nil {
		return []string{"public"}
	}
	return names
}

// in opens a session with the schema first in its path.
func (c copied) in(schema string) *pgtest.Database {
	c.d.T.Helper()
	session := c.d.OpenSession()
	session.Exec("SET search_path = " + schema + ", public")
	return session
}

// sh runs lines in a shell.
func (c copied) sh(lines string) {
	c.d.T.Helper()
	shell := exec.Command("sh", "-ec", lines)
	shell.Dir = pgtest.Path("")
	path := filepath.Dir(pgtest.ProgramPath(c.d.T)) + string(filepath.ListSeparator) +
		os.Getenv("PATH")
	shell.Env = append(os.Environ(), "PATH="+path, "DATABASE_URL="+c.d.URL(),
		"PGOPTIONS=-c client_min_messages=warning")
	c.d.Note("/* in a shell:\n" + lines + "*/")
	if out, err := shell.CombinedOutput(); err != nil {
		c.d.T.Fatalf("%v\n%s", err, out)
	}
}
