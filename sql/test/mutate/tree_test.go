package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// makeTree makes a working tree of these files.
func makeTree(t *testing.T, files map[string]string) *tree {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if output, err := exec.Command("git", "init", "-q", root).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v: %s", err, output)
	}
	made, err := readTree(root)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

const oneTest = "func TestA(t *testing.T) {\n}\n"

func TestCheckNamesEachMutantThatCannotBeMade(t *testing.T) {
	t.Parallel()
	const file = "file: sql/undo/purge.sql\n"
	const known, unknown = "killed by: TestA\n", "killed by: TestB\n"
	tree := makeTree(t, map[string]string{
		"sql/undo/purge.sql":          "DELETE FROM notifications WHERE true\n",
		"sql/test/undo/undo_test.go":  oneTest,
		"sql/test/undo/undo.mutants":  file + "mutant: good\n" + known + "delete: WHERE true\n",
		"sql/test/undo/lost.mutants":  file + "mutant: lost\ndelete: WHERE false\n",
		"sql/test/undo/twice.mutants": file + "mutant: good\ndelete: WHERE true\n",
		"sql/test/undo/file.mutants":  "file: sql/undo/no.sql\nmutant: none\ndelete: WHERE true\n",
		"sql/test/undo/tests.mutants": file + "mutant: untested\n" + unknown + "delete: true\n",
	})
	mutants, err := tree.mutants()
	if err != nil {
		t.Fatal(err)
	}
	err = tree.check(mutants)
	if err == nil {
		t.Fatal("found nothing wrong")
	}
	wants := []string{
		"file.mutants:2: open ",
		"lost.mutants:2: sql/undo/purge.sql has no such text: WHERE false",
		"tests.mutants:2: killed by: there is no test TestB",
		"undo.mutants:2: sql/test/undo/twice.mutants:2 has this name too",
	}
	lines := strings.Split(err.Error(), "\n")
	for _, want := range wants {
		var found bool
		for _, line := range lines {
			found = found || strings.Contains(line, want)
		}
		if !found {
			t.Errorf("no line is %s", want)
		}
	}
	if len(lines) > len(wants) {
		t.Errorf("more than %d lines:\n%v", len(wants), err)
	}
}

func TestACopyHasTheChangesAndTheOriginalHasNot(t *testing.T) {
	t.Parallel()
	tree := makeTree(t, map[string]string{"a.sql": "one two three", "b.sql": "one"})
	m := mutant{changes: []change{
		{file: "a.sql", before: "one"},
		{file: "a.sql", before: "three", after: "four"},
	}}
	folder := t.TempDir()
	if err := tree.copyTo(folder, &m); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(folder, "a.sql"):    " two four",
		filepath.Join(folder, "b.sql"):    "one",
		filepath.Join(tree.root, "a.sql"): "one two three",
	} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", path, got, err, want)
		}
	}
}

func TestTheLikeliestTestsGoFirst(t *testing.T) {
	t.Parallel()
	tree := makeTree(t, map[string]string{
		"cmd/notification-cleanup/run_test.go": "func TestRun(t *testing.T) {\n}\n",
		"cmd/with-postgres/main_test.go":       oneTest,
		"sql/test/mutate/mutant_test.go":       oneTest,
		"sql/test/rule/rule_test.go":           "func TestRule(t *testing.T) {\n}\n",
		"sql/test/undo/undo_test.go":           "func TestMain(m *testing.M) {\n}\n\n" + oneTest,
	})
	const driver, rule, undo = "cmd/notification-cleanup", "sql/test/rule", "sql/test/undo"
	m := mutant{place: undo + "/undo.mutants:1", killedBy: []string{"TestRule", "TestRun"}}
	want := []step{
		{folders: []string{rule, driver}, tests: m.killedBy},
		{folders: []string{undo}},
		{folders: []string{rule, driver}},
	}
	if got := tree.steps(&m); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	m = mutant{place: "sql/test/new/new.mutants:1"}
	all := []step{{folders: []string{undo, rule, driver}}}
	if got := tree.steps(&m); !reflect.DeepEqual(got, all) {
		t.Errorf("without a suite: got %v, want %v", got, all)
	}
	if got := tree.steps(nil); !reflect.DeepEqual(got, all) {
		t.Errorf("without a mutant: got %v, want %v", got, all)
	}
}
