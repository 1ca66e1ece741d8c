package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestReadsMutants(t *testing.T) {
	t.Parallel()
	const text = `# A comment.
killed by: TestOne

file: sql/undo/purge_notifications.sql

mutant: purges: the youngest
replace: ORDER BY n.deleted_at
by: ORDER BY n.deleted_at DESC

# Another one.
mutant: waits for what is held
killed by: TestTwo, TestThree
delete:
    SKIP

    LOCKED
file: cmd/run.go
replace everywhere: FOR NO KEY
    UPDATE
by:
    FOR UPDATE

mutant: has one connection
delete everywhere: workers
`
	got, err := parseMutants("sql/test/undo/undo.mutants", text)
	if err != nil {
		t.Fatal(err)
	}
	const routine, program = "sql/undo/purge_notifications.sql", "cmd/run.go"
	want := []mutant{
		{
			name:     "purges: the youngest",
			place:    "sql/test/undo/undo.mutants:6",
			killedBy: []string{"TestOne"},
			changes: []change{
				{file: routine, before: "ORDER BY n.deleted_at", after: "ORDER BY n.deleted_at DESC"},
			},
		},
		{
			name:     "waits for what is held",
			place:    "sql/test/undo/undo.mutants:11",
			killedBy: []string{"TestTwo", "TestThree"},
			changes: []change{
				{file: routine, before: "SKIP\n    LOCKED"},
				{file: program, before: "FOR NO KEY\n    UPDATE", after: "FOR UPDATE", everywhere: true},
			},
		},
		{
			name:     "has one connection",
			place:    "sql/test/undo/undo.mutants:23",
			killedBy: []string{"TestOne"},
			changes:  []change{{file: program, before: "workers", everywhere: true}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
	if name := got[1].String(); name != "purge_notifications: waits for what is held" {
		t.Errorf("its name is %q", name)
	}
	if suite := got[1].suite(); suite != "sql/test/undo" {
		t.Errorf("its suite is %q", suite)
	}
}

func TestSaysWhatIsWrongInAFileOfMutants(t *testing.T) {
	t.Parallel()
	const file = "file: a.sql\n"
	for text, want := range map[string]string{
		"    indented":                              "x.mutants:1: an indented line",
		file + "mutation: a":                        `x.mutants:2: "mutation" is no field`,
		file + "mutant: a\nreplace: b\nby:":         "x.mutants:4: by is empty",
		file + "mutant: a\nreplace: b\nmutant: c":   "x.mutants:4: replace and by belong together",
		file + "mutant: a\ndelete: b\nby: c":        "x.mutants:4: replace and by belong together",
		file + "mutant: a\nreplace: b":              "x.mutants: the last replace has no by",
		file + "mutant: a\ndelete: b\nkilled by: T": "x.mutants:4: killed by comes after mutant",
		file + "delete: a":                          "x.mutants:2: a change comes after file and mutant",
		"mutant: a\ndelete: b":                      "x.mutants:2: a change comes after file and mutant",
		file + "mutant: a\nmutant: b\ndelete: c":    `x.mutants:2: "a" changes nothing`,
	} {
		_, err := parseMutants("x.mutants", text)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
