// Snapshot freezes the routines of sql/ into a migration, because goose cannot include files. There
// is one frozen copy of each, in the migration with the highest number.
//
//	go run ./sql/snapshot            writes that migration
//	go run ./sql/snapshot --check    changes nothing; exit status 1 where something differs
//	go run ./sql/snapshot --release  makes all migrations final, as they are
//
// What is final never changes, but for one thing: when a routine has changed since a release, the
// copies move to the next number, and leave a stub.
//
// A routine or view is a file of sql/ with CREATE OR REPLACE. The doctor is compiled: a template,
// and a file for each of its checks. What several migrations have to do is frozen in each of them.
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

const (
	precheck = "migrations/00001_checks.sql"
	tables   = "migrations/00002_tables.sql"
	remember = "sql/rights/remember_objects.sql"
	revoke   = "sql/rights/revoke_default_grants.sql"
	refuse   = "sql/rights/refuse_namesakes.sql"
	doctor   = "sql/doctor/notification_cleanup_doctor.sql.tmpl"
	checks   = "sql/doctor/check_*.sql"
	number   = "sql/snapshot/notification_cleanup_version.sql.tmpl"
)

// finally is what the routines' migration ends with.
var finally = []string{
	"sql/rights/grant_new_routines.sql",
	"sql/rights/warn_of_creators.sql",
	"sql/doctor/warn_of_indexes.sql",
}

// pin stands at the beginning of either direction.
const pin = `-- SET search_path FROM CURRENT then pins the schema that goose installs into,
-- behind it those where the types of the columns live with their operators (citext in a schema of
-- its own), and temporary objects last.
SELECT set_config(
    'search_path',
    concat_ws(
        ', ',
        quote_ident(current_schema()::text),
        (
            SELECT string_agg(DISTINCT quote_ident(namespace.nspname::text), ', ')
            FROM pg_type AS domain
            JOIN pg_type AS base ON base.oid = domain.typbasetype
            JOIN pg_namespace AS namespace ON namespace.oid = base.typnamespace
                AND namespace.nspname NOT IN ('pg_catalog', current_schema())
            WHERE domain.oid IN (
                'notification_user_id'::regtype,
                'notification_id'::regtype,
                'notification_created_at'::regtype
            )
        ),
        'pg_temp'
    ),
    true
);
-- For Citus: routines and history are the coordinator's alone.
SET LOCAL citus.enable_ddl_propagation = off;
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if slices.Equal(arguments, []string{"--release"}) {
		return release()
	}
	isCheck := slices.Equal(arguments, []string{"--check"})
	if len(arguments) > 0 && !isCheck {
		return fmt.Errorf("usage: go run ./sql/snapshot [--check | --release]")
	}
	objects, err := objects()
	if err != nil {
		return err
	}
	frozen, err := freeze(objects)
	if err != nil {
		return err
	}
	if isCheck {
		return compare(objects, frozen)
	}
	for path, text := range frozen {
		if text == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compare compares what is frozen with what should be, and looks at what is final.
func compare(objects []object, frozen map[string][]byte) error {
	for path, text := range frozen {
		if current, err := os.ReadFile(path); err != nil || !bytes.Equal(current, text) {
			return fmt.Errorf("%s differs from sql/: run make snapshot", path)
		}
	}
	for _, o := range objects {
		if strings.Contains(o.text, "\nREVOKE ") {
			return fmt.Errorf("%s: leave out REVOKE, which %s does for all", o.path, revoke)
		}
	}
	return checkFinal()
}

// An object is a routine or a view.
type object struct {
	path string
	text string
}

// objects returns all of them in an order in which they can be created: a view needs the functions
// that it calls, while the body of a function is only read when it is called.
func objects() ([]object, error) {
	var all []object
	paths, err := filepath.Glob("sql/*/*.sql")
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if bytes.Contains(text, []byte("\nCREATE OR REPLACE ")) {
			all = append(all, object{path, string(text)})
		}
	}
	text, err := compileDoctor()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doctor, err)
	}
	all = append(all, object{doctor, text})
	unnumbered, err := os.ReadFile(number)
	if err != nil {
		return nil, err
	}
	all = append(all, object{number, string(unnumbered)})
	for _, o := range all {
		if o.drop() == "" {
			return nil, fmt.Errorf("%s has no COMMENT ON its object", o.path)
		}
	}
	slices.SortStableFunc(all, func(a, b object) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.path, b.path))
	})
	return all, nil
}

func (o object) rank() int {
	if strings.Contains(o.text, "\nCREATE OR REPLACE VIEW ") {
		return 1
	}
	return 0
}

// A check is one of the doctor's.
type check struct {
	Name  string
	Query string
}

// compileDoctor puts the checks, in the order of the template, into it.
func compileDoctor() (string, error) {
	files, err := filepath.Glob(checks)
	if err != nil {
		return "", err
	}
	functions := template.FuncMap{"checks": func(names ...string) ([]check, error) {
		var all []check
		for _, name := range names {
			path := fileOf(name)
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			query, isStatement := strings.CutSuffix(strings.TrimSpace(string(text)), ";")
			if !isStatement {
				return nil, fmt.Errorf("%s does not end with a semicolon", path)
			}
			all = append(all, check{name, query})
			files = slices.DeleteFunc(files, func(file string) bool { return file == path })
		}
		if len(files) > 0 {
			return nil, fmt.Errorf("the template does not name the check of %s", files[0])
		}
		return all, nil
	}}
	parsed, err := template.New(filepath.Base(doctor)).Funcs(functions).ParseFiles(doctor)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	err = parsed.Execute(&text, nil)
	return text.String(), err
}

// fileOf returns the path of a check: that of "last run" is check_last_run.sql.
func fileOf(check string) string {
	return strings.ReplaceAll(checks, "*", strings.NewReplacer(" ", "_", "-", "_").Replace(check))
}

// freeze returns the texts of the migrations that have copies of sql/ in them, by their paths; of
// one that is to be removed there is none.
func freeze(objects []object) (map[string][]byte, error) {
	frozen, err := freezeRoutines(objects)
	if err != nil {
		return nil, err
	}
	final, err := readFinal()
	if err != nil {
		return nil, err
	}
	text, err := freezeTables()
	if err != nil {
		return nil, err
	}
	if !final.has(tables) {
		frozen[tables] = text
	}
	if !final.has(precheck) {
		frozen[precheck], err = freezeNames(objects, text)
	}
	return frozen, err
}

// routines returns the text of the migration of the routines, which has this version.
func routines(objects []object, version int, former string) ([]byte, error) {
	before, err := copyOf(remember)
	if err != nil {
		return nil, err
	}
	after, err := copyOf(revoke)
	if err != nil {
		return nil, err
	}
	refusal, err := copyOf(refuse)
	if err != nil {
		return nil, err
	}
	refusal = strings.Replace(refusal, "{names of ours}", find(routineName, drops(objects), 12), 1)
	var up, end strings.Builder
	for _, path := range finally {
		text, err := copyOf(path)
		if err != nil {
			return nil, err
		}
		end.WriteString(text)
	}
	for _, o := range objects {
		if o.path == number {
			o.text = strings.ReplaceAll(o.text, "{{.}}", fmt.Sprint(version))
		}
		fmt.Fprintf(&up, "\n%s", o.frozen())
	}
	return fmt.Appendf(nil, `-- Written by make snapshot: edit sql/, never this copy.

-- +goose Up
%s
%s
%s%s%s
%s
%s
-- +goose Down
%s%s`, pin, refusal, before, former, &up, after, &end, pin, drops(objects)), nil
}

// freezeTables puts the copies into the migration of the tables.
func freezeTables() ([]byte, error) {
	text, err := os.ReadFile(tables)
	if err != nil {
		return nil, err
	}
	for _, path := range []string{remember, revoke} {
		copy, err := copyOf(path)
		if err != nil {
			return nil, err
		}
		first, last, _ := strings.Cut(copy, "\n")
		last = last[strings.LastIndex(strings.TrimSpace(last), "\n")+1:]
		start, end := bytes.Index(text, []byte(first)), bytes.Index(text, []byte(last))
		if start < 0 || end < start {
			return nil, fmt.Errorf("%s has no line %q, or none that ends it", tables, first)
		}
		text = slices.Concat(text[:start], []byte(copy), text[end+len(last):])
	}
	return text, nil
}

// freezeNames puts the names of all that the migrations create into the one that looks if they are
// taken.
func freezeNames(objects []object, tables []byte) ([]byte, error) {
	text, err := os.ReadFile(precheck)
	if err != nil {
		return nil, err
	}
	head, rest, hasHead := bytes.Cut(text, []byte(namesBegin))
	_, rest, hasRest := bytes.Cut(rest, []byte(namesEnd))
	if !hasHead || !hasRest {
		return nil, fmt.Errorf("%s has no place for the names", precheck)
	}
	return slices.Concat(head, []byte(namesBegin+names(objects, tables)+namesEnd), rest), nil
}

// What stands between these is written here.
const (
	namesBegin = "    -- names of ours\n"
	namesEnd   = "    -- end of the names\n"
)

var (
	routineName  = regexp.MustCompile(`(?m)^DROP (?:FUNCTION|PROCEDURE) (\w+)`)
	relationName = regexp.MustCompile(
		`(?m)^(?:DROP VIEW|CREATE TABLE|CREATE INDEX) (?:IF NOT EXISTS )?(\w+)`,
	)
	domainName  = regexp.MustCompile(`(?m)^COMMENT ON DOMAIN (\w+)`)
	historyName = regexp.MustCompile(`(?m)^COMMENT ON COLUMN notification_cleanup_runs\.(\w+)`)
)

// names declares the names of all that the migrations create: the objects, and what is in the
// migration of the tables.
func names(objects []object, tables []byte) string {
	all := string(tables) + drops(objects)
	var declared strings.Builder
	for _, kind := range []struct {
		variable string
		pattern  *regexp.Regexp
	}{
		{"v_routines", routineName},
		{"v_relations", relationName},
		{"v_domains", domainName},
		{"v_columns_of_history", historyName},
	} {
		fmt.Fprintf(&declared, "    %s CONSTANT name[] := '%s';\n",
			kind.variable, find(kind.pattern, all, 8))
	}
	return declared.String()
}

// find returns the names that a pattern finds, as an array of SQL whose elements are indented.
func find(pattern *regexp.Regexp, text string, indent int) string {
	var found []string
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	line := "\n" + strings.Repeat(" ", indent)
	return "{" + line + strings.Join(slices.Compact(found), ","+line) + line[:len(line)-4] + "}"
}

// drops returns the statements that drop the objects, the last one first.
func drops(objects []object) string {
	var statements strings.Builder
	for _, o := range slices.Backward(objects) {
		statements.WriteString(o.drop())
	}
	return statements.String()
}

// copyOf returns a file of statements as it stands in migrations.
func copyOf(path string) (string, error) {
	text, err := os.ReadFile(path)
	return object{path, string(text)}.frozen(), err
}

func (o object) frozen() string {
	return fmt.Sprintf("-- frozen copy of %s\n%s-- end of %s\n", o.path, o.statements(), o.path)
}

var (
	begin = regexp.MustCompile(`(?m)^(CREATE OR REPLACE (FUNCTION|PROCEDURE) |DO )`)
	end   = regexp.MustCompile(`(?m)^\$\$;$`)
	named = regexp.MustCompile(`(?m)^COMMENT ON (FUNCTION|PROCEDURE|VIEW)\s+([^']*?)\s+IS$`)
)

// statements returns the text, in which goose is told where the statements with semicolons in them
// begin and end.
func (o object) statements() string {
	text := begin.ReplaceAllString(o.text, "-- +goose StatementBegin\n$1")
	return end.ReplaceAllString(text, "$$$$;\n-- +goose StatementEnd")
}

// drop returns the statement that drops the object, which its comment names with its arguments.
func (o object) drop() string {
	var statements strings.Builder
	for _, match := range named.FindAllStringSubmatch(o.text, -1) {
		fmt.Fprintf(&statements, "DROP %s %s;\n", match[1], match[2])
	}
	return statements.String()
}
