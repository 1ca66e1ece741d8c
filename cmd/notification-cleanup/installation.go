package main

import (
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/database"
	"github.com/notification-cleanup/notification-cleanup/migrations"
)

// routinesFile is the migration with the routines, and its number the version of the program: it is
// the highest.
var routinesFile, programVersion = func() (string, int64) {
	names, _ := fs.Glob(migrations.FS, "*_routines.sql") // is a good pattern
	newest := slices.Max(names)
	version, _ := goose.NumericComponent(newest)
	return newest, version
}()

// installation is what is installed where the connection leads.
type installation struct {
	version int64    // 0: nothing, or before there were versions
	exists  bool     // some version
	differ  []string // routines that are not what this program brings, sorted
}

//go:embed installation.sql
var installationQuery string

// movedError says that the routines work in another schema than they stand in.
type movedError struct{ schema, path string }

func (e movedError) Error() string {
	return fmt.Sprintf("the routines in schema %s look for their tables in %s: the schema was renamed. "+
		"HINT: notification-cleanup migrate adopt makes them anew.", e.schema, e.path)
}

// inspect looks at the routines that are installed. They are of no use, and a movedError, where
// their schema was renamed.
func (a *app) inspect(ctx context.Context) (installation, error) {
	const procedurePath = "'path of this procedure'" // stands in one body, where it was installed
	bodies := routineBodies()
	type routine struct {
		Schema, Path string
		IsAtHome     bool
		Name, Body   string
	}
	installed, err := database.All[routine](ctx, a.db, installationQuery,
		slices.Collect(maps.Keys(bodies)))
	if err != nil || len(installed) == 0 {
		return installation{}, err
	}
	found := installation{exists: true}
	for _, r := range installed {
		path := "'" + strings.ReplaceAll(r.Path, "'", "''") + "'"
		if r.Name == versionRoutine {
			found.version, _ = strconv.ParseInt(digits.FindString(r.Body), 10, 64)
		}
		if strings.ReplaceAll(r.Body, path, procedurePath) == bodies[r.Name] {
			delete(bodies, r.Name)
		}
	}
	found.differ = slices.Sorted(maps.Keys(bodies))
	if first := installed[0]; !first.IsAtHome {
		return found, movedError{first.Schema, first.Path}
	}
	return found, nil
}

const versionRoutine = "notification_cleanup_version"

var (
	digits = regexp.MustCompile(`\d+`)
	bodyOf = regexp.MustCompile(
		`(?s)\nCREATE OR REPLACE (?:FUNCTION|PROCEDURE) (\w+)\(.*?\nAS \$\$(.*?)\$\$;`)
)

// routineBodies returns the body of each routine that this program brings, by name.
func routineBodies() map[string]string {
	bodies := map[string]string{}
	for _, match := range bodyOf.FindAllStringSubmatch(upStatements(routinesFile), -1) {
		bodies[match[1]] = match[2]
	}
	return bodies
}

// mismatch says how an installation differs from what this program brings, and what to do; nothing
// where it does not, or where nothing is installed.
func (i installation) mismatch() (found, advice string) {
	switch {
	case !i.exists || len(i.differ) == 0:
		return "", ""
	case i.version > programVersion:
		return fmt.Sprintf("the database has version %d, and this program is older: %d",
			i.version, programVersion), "Use the program of that version."
	case i.version < programVersion:
		return fmt.Sprintf("the database has version %d, and this program brings %d",
			i.version, programVersion), "notification-cleanup migrate up"
	default:
		return fmt.Sprintf("routines are not those of this program: %s", strings.Join(i.differ, ", ")),
			"notification-cleanup migrate adopt makes them anew."
	}
}

// finding is a check of the doctor, which only the program can make.
func (i installation) finding() finding {
	f := finding{Name: "version", Severity: "ok", Found: "that of this program"}
	if found, advice := i.mismatch(); found != "" {
		f.Severity, f.Found, f.Advice = "warning", found, &advice
	}
	return f
}

// warnOfMismatch logs it.
func (a *app) warnOfMismatch(i installation) {
	if found, advice := i.mismatch(); found != "" {
		a.log.Warn(found, "advice", advice)
	}
}
