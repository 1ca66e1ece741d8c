package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
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
	Schema, Path string // where the routines stand, and look for tables
	IsHere       bool   // in the first schema of the connection's path, where migrations work
	IsAtHome     bool   // they look for tables where they stand
	Version      int64  // 0: before there were versions
	Differ       []string
}

//go:embed installation.sql
var installationQuery string

// movedError says that the routines look for their tables elsewhere than where they stand.
type movedError struct{ schema, path string }

func (e *movedError) Error() string {
	return fmt.Sprintf("the routines in schema %s look for their tables in %s: "+
		"the schema was renamed. HINT: notification-cleanup migrate adopt makes them anew.",
		e.schema, e.path)
}

// inspect looks at the routines that are installed; nil where there are none. They are of no use,
// and a *movedError, where their schema was renamed.
func (a *app) inspect(ctx context.Context) (*installation, error) {
	names, checksums := broughtRoutines()
	found, err := database.Read[installation](ctx, a.db, installationQuery, names, checksums)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	case !found.IsAtHome:
		return &found, &movedError{found.Schema, found.Path}
	}
	return &found, nil
}

var bodyOf = regexp.MustCompile(
	`(?s)\nCREATE OR REPLACE (?:FUNCTION|PROCEDURE) (\w+)\(.*?\nAS \$\$(.*?)\$\$;`)

// broughtRoutines returns the names of the routines that this program brings, and the checksums of
// their bodies.
func broughtRoutines() (names, checksums []string) {
	for _, match := range bodyOf.FindAllStringSubmatch(upStatements(routinesFile), -1) {
		names = append(names, match[1])
		checksums = append(checksums, fmt.Sprintf("%x", sha256.Sum256([]byte(match[2]))))
	}
	return names, checksums
}

// mismatch says how an installation differs from what this program brings, and what to do; nothing
// where it does not, or where nothing is installed.
func (i *installation) mismatch() (found, advice string) {
	switch {
	case i == nil || len(i.Differ) == 0:
		return "", ""
	case i.Version > programVersion:
		return fmt.Sprintf("the database has version %d, and this program is older: %d",
			i.Version, programVersion), "Use the program of that version."
	case i.Version < programVersion:
		return fmt.Sprintf("the database has version %d, and this program brings %d",
			i.Version, programVersion), "notification-cleanup migrate up"
	default:
		return fmt.Sprintf("routines are not those of this program: %s", strings.Join(i.Differ, ", ")),
			"notification-cleanup migrate adopt makes them anew."
	}
}

// finding is a check of the doctor, which only the program can make.
func (i *installation) finding() finding {
	f := finding{Name: "version", Severity: "ok", Found: "that of this program"}
	if i == nil {
		f.Severity, f.Found = "note", "the search_path finds no routines to compare"
	} else if found, advice := i.mismatch(); found != "" {
		f.Severity, f.Found, f.Advice = "warning", found, &advice
	}
	return f
}

// warnOfMismatch logs it.
func (a *app) warnOfMismatch(i *installation) {
	if found, advice := i.mismatch(); found != "" {
		a.log.Warn(found, "advice", advice)
	}
}
