package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// released lists the migrations that are final, as sha256sum writes it. While there is no such file
// nothing has been released.
const released = "migrations/released.sha256"

// stub is what the routines leave behind when they move to the next number.
const stub = `-- The routines were here, and have moved to a later migration.

-- +goose Up
SELECT 1;

-- +goose Down
`

// The checksums of the migrations that are final, by their paths.
type finals map[string]string

func (f finals) has(path string) bool { return f[path] != "" }

func checksum(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }

// readFinal reads which migrations are final.
func readFinal() (finals, error) {
	text, err := os.ReadFile(released)
	if errors.Is(err, fs.ErrNotExist) {
		return finals{}, nil
	}
	final := finals{}
	for line := range strings.Lines(string(text)) {
		sum, name, isPair := strings.Cut(strings.TrimSpace(line), "  ")
		if !isPair {
			return nil, fmt.Errorf("%s: %q is not a checksum and a name", released, line)
		}
		final[filepath.Join("migrations", name)] = sum
	}
	return final, err
}

// release makes all migrations final as they are.
func release() error {
	paths, err := filepath.Glob("migrations/*.sql")
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%s  %s\n", checksum(text), filepath.Base(path))
	}
	return os.WriteFile(released, []byte(list.String()), 0o644)
}

// checkFinal refuses where a migration that is final has changed, but for the stub of the routines.
func checkFinal() error {
	final, err := readFinal()
	if err != nil {
		return err
	}
	for path, sum := range final {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("a release has it: %w", err)
		}
		isStub := strings.HasSuffix(path, routinesSuffix) && string(text) == stub
		if checksum(text) != sum && !isStub {
			return fmt.Errorf("%s has changed since it was released: write a new migration", path)
		}
	}
	return nil
}

const routinesSuffix = "_routines.sql"

// newest returns the path of the migration that has the routines, and the highest number of all.
func newest() (path string, highest int, err error) {
	paths, err := filepath.Glob("migrations/*.sql")
	if err != nil {
		return "", 0, err
	}
	slices.Sort(paths)
	for _, p := range paths {
		highest = version(p)
		if strings.HasSuffix(p, routinesSuffix) {
			path = p
		}
	}
	if path == "" {
		return "", 0, fmt.Errorf("migrations/ has no *%s", routinesSuffix)
	}
	return path, highest, nil
}

// version is the number of a migration.
func version(path string) int {
	digits, _, _ := strings.Cut(filepath.Base(path), "_")
	n, _ := strconv.Atoi(digits)
	return n
}

// freezeRoutines returns the migration of the routines, which has the highest number. It moves to
// the next one where a release has it as it was, or another migration was added behind it.
func freezeRoutines(objects []object) (map[string][]byte, error) {
	path, highest, err := newest()
	if err != nil {
		return nil, err
	}
	final, err := readFinal()
	if err != nil {
		return nil, err
	}
	before, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	at := func(n int) ([]byte, error) {
		former := ""
		if len(final) > 0 {
			former = dropFormer(objects, string(before), n)
		}
		return routines(objects, n, former)
	}
	n := version(path)
	text, err := at(n)
	mayChange := !final.has(path) || bytes.Equal(text, before)
	if err != nil || n == highest && mayChange {
		return map[string][]byte{path: text}, err
	}
	moved := map[string][]byte{path: nil}
	if final.has(path) {
		moved[path] = []byte(stub)
	}
	next := fmt.Sprintf("migrations/%05d%s", highest+1, routinesSuffix)
	moved[next], err = at(highest + 1)
	return moved, err
}

const (
	formerBegin = "\n-- what former versions had with other arguments, results or names of them\n"
	formerEnd   = "-- end of what former versions had\n"
)

var (
	declared = regexp.MustCompile(
		`(?ms)^CREATE OR REPLACE (?:FUNCTION|PROCEDURE) (\w+)\((.*?)^LANGUAGE `)
	view       = regexp.MustCompile(`(?ms)^CREATE OR REPLACE (VIEW) (\w+)(.*?;)$`)
	defaults   = regexp.MustCompile(`(?m) DEFAULT [^,\n]*`)
	comments   = regexp.MustCompile(`(?m)--.*$`)
	formerDrop = regexp.MustCompile(`(?s)< (\d+) THEN\n        EXECUTE format\('(DROP .*?)',`)
	dropped    = regexp.MustCompile(`(?ms)^(DROP (?:FUNCTION|PROCEDURE|VIEW)) ((\w+).*?);$`)
)

// dropFormer returns the statement that drops the routines and views which CREATE OR REPLACE could
// not replace: their arguments, results or text have changed since a version below this one. Their
// grants go with them. What it dropped before it drops for ever, since an upgrade may leave out
// versions. A view depends on functions, so it goes whenever one of them does.
func dropFormer(objects []object, before string, version int) string {
	var now strings.Builder
	for _, o := range objects {
		now.WriteString(o.text)
	}
	was, is := declarations(before), declarations(now.String())
	_, down, _ := strings.Cut(before, "-- +goose Down")
	all := dropped.FindAllStringSubmatch(down, -1)
	changes := slices.ContainsFunc(all, func(d []string) bool { return was[d[3]] != is[d[3]] })
	type drop struct{ version, statement string }
	var drops []drop
	for _, match := range formerDrop.FindAllStringSubmatch(before, -1) {
		drops = append(drops, drop{match[1], match[2]})
	}
	for _, d := range all { // views first, as they were created last
		if was[d[3]] != is[d[3]] || changes && d[1] == "DROP VIEW" {
			statement := d[1] + " IF EXISTS %I." + strings.Join(strings.Fields(d[2]), " ")
			drops = append(drops, drop{strconv.Itoa(version), statement})
		}
	}
	if len(drops) == 0 {
		return ""
	}
	var text strings.Builder
	text.WriteString(formerBegin + `-- +goose StatementBegin
DO $$
DECLARE
    v_version integer := 0;
BEGIN
    IF to_regprocedure(format('%I.notification_cleanup_version()', current_schema())) IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT %I.notification_cleanup_version()', current_schema())
    INTO v_version;
`)
	for _, d := range slices.Compact(drops) {
		fmt.Fprintf(&text, "    IF v_version < %s THEN\n"+
			"        EXECUTE format('%s', current_schema());\n    END IF;\n", d.version, d.statement)
	}
	return text.String() + "END\n$$;\n-- +goose StatementEnd\n" + formerEnd
}

// declarations returns by name what CREATE OR REPLACE cannot replace: the arguments of a routine,
// which of them have a default, and what it returns; and the whole text of a view.
func declarations(text string) map[string]string {
	all := map[string]string{}
	note := func(name, what string) {
		all[name] = strings.Join(strings.Fields(comments.ReplaceAllString(what, "")), " ")
	}
	for _, match := range declared.FindAllStringSubmatch(text, -1) {
		note(match[1], defaults.ReplaceAllString(match[2], " DEFAULT"))
	}
	for _, match := range view.FindAllStringSubmatch(text, -1) {
		note(match[2], match[3])
	}
	return all
}
