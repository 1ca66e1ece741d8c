package documents

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/notification-cleanup/notification-cleanup/sql/test/document"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// routine is a function or procedure that is installed.
type routine struct {
	Name      string
	Arguments string
	Result    *string // NULL: a procedure
}

func installedRoutines(d *pgtest.Database) map[string]routine {
	d.T.Helper()
	byName := map[string]routine{}
	for _, r := range pgtest.Collect(d, pgx.RowToStructByName[routine], `
		SELECT
			proname::text AS name,
			pg_get_function_arguments(oid) AS arguments,
			pg_get_function_result(oid) AS result
		FROM pg_proc
		WHERE pronamespace = 'public'::regnamespace`) {
		byName[r.Name] = r
	}
	return byName
}

var (
	spaces = regexp.MustCompile(`\s+`)
	cast   = regexp.MustCompile(`::[a-z_ ]+(\[\])?`)
)

// signature is a routine as the reference writes it, on one line.
func (r routine) signature() string {
	line := r.Name + "(" + strings.ReplaceAll(r.Arguments, "IN ", "") + ")"
	line = cast.ReplaceAllString(line, "")
	if r.Result != nil {
		line += " RETURNS " + *r.Result
	}
	return line
}

// oneLine takes the layout away.
func oneLine(text string) string {
	line := strings.TrimSpace(spaces.ReplaceAllString(text, " "))
	return strings.NewReplacer("( ", "(", " )", ")").Replace(line)
}

// entries are the chapters of the reference about one object each, by its name.
func entries(t *testing.T) map[string]document.Chapter {
	t.Helper()
	byName := map[string]document.Chapter{}
	for _, chapter := range document.Read(t, "sql/README.md").Below(t, "Reference", 4) {
		byName[strings.Trim(chapter.Heading, "`")] = chapter
	}
	return byName
}

// inside are the routines that the reference only names, with their folders.
func inside(t *testing.T) map[string]string {
	t.Helper()
	folders := map[string]string{}
	text := document.Read(t, "sql/README.md").Chapter(t, "Inside").Text
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\| (.*) \\|$").
		FindAllStringSubmatch(text, -1) {
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[2], -1) {
			folders[name[1]] = row[1]
		}
	}
	return folders
}

func TestTheReferenceHasEachRoutineWithItsSignature(t *testing.T) {
	t.Parallel()
	installed := installedRoutines(pgtest.New(t))
	written, internal := entries(t), inside(t)
	for name, r := range installed {
		entry, public := written[name]
		_, isInternal := internal[name]
		switch {
		case public == isInternal:
			t.Errorf("%s needs an entry in the reference, or a place in its chapter Inside", name)
		case !public:
		case len(entry.Blocks) < 2:
			t.Errorf("%s has no signature, or no example", name)
		default:
			if got := oneLine(entry.Blocks[0].Text); got != r.signature() {
				t.Errorf("the reference has\n%s\ninstalled is\n%s", got, r.signature())
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(internal)) {
		if _, exists := installed[name]; !exists {
			t.Errorf("%s of the chapter Inside is not installed", name)
		}
		// A template, where make snapshot fills something in.
		files, _ := filepath.Glob(pgtest.Path("sql/" + internal[name] + "/" + name + ".sql*"))
		if len(files) == 0 {
			t.Errorf("%s is not in the folder that the chapter Inside says", name)
		}
	}
}

func TestTheReferenceHasEachTableWithItsColumns(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	written := entries(t)
	tables := pgtest.All[string](d, `
		SELECT relname::text
		FROM pg_class
		WHERE relnamespace = 'public'::regnamespace
			AND relkind IN ('r', 'v')
			AND relname ~ 'cleanup' AND relname !~ 'schema_version'`)
	for _, table := range tables {
		entry, exists := written[table]
		if !exists {
			t.Errorf("the reference has no entry for %s", table)
		}
		if !strings.Contains(entry.Text, "| column |") {
			continue // its columns are for nobody to read
		}
		var columns []string
		for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").
			FindAllStringSubmatch(entry.Text, -1) {
			columns = append(columns, strings.Split(strings.ReplaceAll(row[1], "`", ""), ", ")...)
		}
		want := pgtest.All[string](d, `
			SELECT attname::text
			FROM pg_attribute
			WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
			ORDER BY attnum`, table)
		slices.Sort(columns)
		slices.Sort(want)
		if !slices.Equal(columns, want) {
			t.Errorf("%s: the reference has %q, installed are %q", table, columns, want)
		}
	}
	installed := installedRoutines(d)
	for name := range written {
		_, isRoutine := installed[name]
		if !isRoutine && !slices.Contains(tables, name) {
			t.Errorf("%s of the reference is not installed", name)
		}
	}
}

// The examples are about run 7 and the users 42 and 43, and each works.
func TestTheExamplesOfTheReferenceWork(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, `
		CREATE TABLE notifications (
			id bigserial PRIMARY KEY,
			user_id bigint NOT NULL,
			status text NOT NULL,
			created_at timestamptz NOT NULL
		)`)
	d.Exec(`ALTER TABLE notification_cleanup_runs ALTER id RESTART WITH 7;
		INSERT INTO notifications (user_id, status, created_at)
		SELECT 42, 'read', timestamptz '2025-01-01' + i * interval '1 minute'
		FROM generate_series(1, 1100) AS i`)
	reference := document.Read(t, "sql/README.md").Below(t, "Reference", 4)
	for _, chapter := range reference {
		if len(chapter.Blocks) > 1 {
			for _, example := range chapter.Blocks[1:] {
				d.Exec(example.Text)
			}
		}
	}
	if left := pgtest.One[int](d, "SELECT count(*) FROM notifications"); left != 1100 {
		t.Errorf("%d notifications are left, want all", left)
	}
}

// Each condition that our SQL raises is explained.
func TestTheReferenceExplainsEachError(t *testing.T) {
	t.Parallel()
	text := document.Read(t, "sql/README.md").Chapter(t, "Errors").Text
	raised := regexp.MustCompile(`ERRCODE = '(\w+)'`)
	err := filepath.WalkDir(pgtest.Path("sql"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".sql" || strings.Contains(path, "/demo/") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, code := range raised.FindAllStringSubmatch(string(source), -1) {
			if !strings.Contains(text, code[1]) {
				t.Errorf("%s raises %s, which the reference does not explain", path, code[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Each argument that has a default, and each variable of the program that is one, is a setting.
func TestTheReferenceHasEachSetting(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	text := document.Read(t, "sql/README.md").Chapter(t, "Settings").Text
	for _, setting := range pgtest.All[string](d, `
		SELECT DISTINCT unnest(proargnames)
		FROM pg_proc
		WHERE oid IN (
			SELECT oid FROM pg_proc
			WHERE pronamespace = 'public'::regnamespace
				AND proname IN ('cleanup_notifications_in_batches', 'purge_notifications')
		)
		EXCEPT
		SELECT 'max_rows'`) {
		if !strings.Contains(text, "| `"+setting+"` |") {
			t.Errorf("the chapter Settings does not have %s", setting)
		}
	}
}
