package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// mutant is one way to break the product.
type mutant struct {
	name     string
	place    string   // file and line of its description
	changes  []change // one after another
	killedBy []string // the tests that run first
}

// change replaces a text of a file.
type change struct {
	file       string
	before     string
	after      string // empty: the text is deleted
	everywhere bool   // else the text has to be found exactly once
}

// String is the name by which a mutant is chosen and reported.
func (m mutant) String() string {
	base := path.Base(m.changes[0].file)
	return strings.TrimSuffix(base, path.Ext(base)) + ": " + m.name
}

// suite is the folder of the tests that the mutant was written for.
func (m mutant) suite() string {
	return path.Dir(m.place)
}

// field is a field of a file of mutants.
type field struct {
	name  string
	value string
	line  int
}

// fieldNames are all that a file of mutants may have.
var fieldNames = []string{
	"file", "mutant", "killed by",
	"delete", "delete everywhere", "replace", "replace everywhere", "by",
}

// parseFields takes a file of mutants apart.
func parseFields(text string) ([]field, error) {
	var fields []field
	for i, line := range strings.Split(text, "\n") {
		name, value, ok := strings.Cut(line, ":")
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"):
			if fields == nil {
				return nil, fmt.Errorf("%d: an indented line belongs to a field above it", i+1)
			}
			fields[len(fields)-1].value += "\n" + line
		case !ok || !slices.Contains(fieldNames, name):
			return nil, fmt.Errorf("%d: %q is no field: there are %s",
				i+1, name, strings.Join(fieldNames, ", "))
		default:
			fields = append(fields, field{name, value, i + 1})
		}
	}
	for i, f := range fields {
		if fields[i].value = strings.TrimSpace(f.value); fields[i].value == "" {
			return nil, fmt.Errorf("%d: %s is empty", f.line, f.name)
		}
	}
	return fields, nil
}

// parseMutants reads the text of a file of mutants.
func parseMutants(name, text string) ([]mutant, error) {
	fields, err := parseFields(text)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", name, err)
	}
	var mutants []mutant
	var file string
	var killedBy []string // of those that name none themselves
	var incomplete bool   // a replace that has no by yet
	for _, f := range fields {
		fail := func(message string) ([]mutant, error) {
			return nil, fmt.Errorf("%s:%d: %s", name, f.line, message)
		}
		if incomplete != (f.name == "by") {
			return fail("replace and by belong together, in this order")
		}
		kind, everywhere := strings.CutSuffix(f.name, " everywhere")
		var current *mutant
		if mutants != nil {
			current = &mutants[len(mutants)-1]
		}
		switch kind {
		case "file":
			file = f.value
		case "mutant":
			place := fmt.Sprintf("%s:%d", name, f.line)
			mutants = append(mutants, mutant{name: f.value, place: place, killedBy: killedBy})
		case "killed by":
			tests := strings.Fields(strings.ReplaceAll(f.value, ",", " "))
			switch {
			case current == nil:
				killedBy = tests
			case current.changes != nil:
				return fail("killed by comes after mutant, before its changes")
			default:
				current.killedBy = tests
			}
		case "delete", "replace":
			if file == "" || current == nil {
				return fail("a change comes after file and mutant")
			}
			c := change{file: file, before: f.value, everywhere: everywhere}
			current.changes = append(current.changes, c)
			incomplete = kind == "replace"
		case "by":
			current.changes[len(current.changes)-1].after = f.value
			incomplete = false
		}
	}
	if incomplete {
		return nil, fmt.Errorf("%s: the last replace has no by", name)
	}
	for _, m := range mutants {
		if m.changes == nil {
			err = errors.Join(err, fmt.Errorf("%s: %q changes nothing", m.place, m.name))
		}
	}
	return mutants, err
}
