// Snapshot freezes the routines of sql/ into a migration, because goose cannot include files. There
// is one frozen copy of each.
//
//	go run ./sql/snapshot            writes migrations/00004_routines.sql
//	go run ./sql/snapshot --check    changes nothing; exit status 1 where the migration differs
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
	migration = "migrations/00004_routines.sql"
	precheck  = "migrations/00001_checks.sql"
	tables    = "migrations/00002_tables.sql"
	remember  = "sql/rights/remember_objects.sql"
	revoke    = "sql/rights/revoke_default_grants.sql"
	doctor    = "sql/doctor/notification_cleanup_doctor.sql.tmpl"
	checks    = "sql/doctor/check_*.sql"
)

// finally is what the routines' migration ends with.
var finally = []string{
	"sql/rights/refuse_namesakes.sql",
	"sql/rights/warn_of_creators.sql",
	"sql/doctor/warn_of_indexes.sql",
}

// pin stands at the beginning of either direction.
const pin = `-- SET search_path FROM CURRENT then pins the schema that goose installs into, behind it those
-- where the types of the columns live with their operators (citext in a schema of its own), and
-- temporary objects last.
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
	objects, err := objects()
	if err != nil {
		return err
	}
	frozen, err := freeze(objects)
	if err != nil {
		return err
	}
	switch {
	case len(arguments) == 0:
		for path, text := range frozen {
			if err := os.WriteFile(path, text, 0o644); err != nil {
				return err
			}
		}
		return nil
	case slices.Equal(arguments, []string{"--check"}):
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
		return nil
	default:
		return fmt.Errorf("usage: go run ./sql/snapshot [--check]")
	}
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

// freeze returns the texts of the migrations that have copies of sql/ in them.
func freeze(objects []object) (map[string][]byte, error) {
	before, err := copyOf(remember)
	if err != nil {
		return nil, err
	}
	after, err := copyOf(revoke)
	if err != nil {
		return nil, err
	}
	var up, down, end strings.Builder
	for _, path := range finally {
		text, err := copyOf(path)
		if err != nil {
			return nil, err
		}
		end.WriteString(text)
	}
	for _, o := range objects {
		fmt.Fprintf(&up, "\n%s", o.frozen())
	}
	for _, o := range slices.Backward(objects) {
		down.WriteString(o.drop())
	}
	routines := fmt.Appendf(nil, `-- Written by make snapshot: edit sql/, never this copy.

-- +goose Up
%s
%s%s
%s
%s
-- +goose Down
%s%s`, pin, before, &up, after, &end, pin, &down)

	text, err := os.ReadFile(tables)
	if err != nil {
		return nil, err
	}
	for _, copy := range []string{before, after} {
		first, last, _ := strings.Cut(copy, "\n")
		last = last[strings.LastIndex(strings.TrimSpace(last), "\n")+1:]
		start, end := bytes.Index(text, []byte(first)), bytes.Index(text, []byte(last))
		if start < 0 || end < start {
			return nil, fmt.Errorf("%s has no line %q, or none that ends it", tables, first)
		}
		text = slices.Concat(text[:start], []byte(copy), text[end+len(last):])
	}
	first, err := os.ReadFile(precheck)
	if err != nil {
		return nil, err
	}
	head, rest, hasHead := bytes.Cut(first, []byte(namesBegin))
	_, rest, hasRest := bytes.Cut(rest, []byte(namesEnd))
	if !hasHead || !hasRest {
		return nil, fmt.Errorf("%s has no place for the names", precheck)
	}
	first = slices.Concat(head, []byte(namesBegin+names(objects, text)+namesEnd), rest)
	return map[string][]byte{migration: routines, tables: text, precheck: first}, nil
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
	all := string(tables)
	for _, o := range objects {
		all += o.drop()
	}
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
		var found []string
		for _, match := range kind.pattern.FindAllStringSubmatch(all, -1) {
			found = append(found, match[1])
		}
		slices.Sort(found)
		fmt.Fprintf(&declared, "    %s CONSTANT name[] := '{\n        %s\n    }';\n",
			kind.variable, strings.Join(slices.Compact(found), ",\n        "))
	}
	return declared.String()
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
