package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// tree is a working tree of the project: what git knows or would add.
type tree struct {
	root  string
	files []string
	tests map[string][]string // the names of the tests in each folder that may kill a mutant
}

var testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(\w* ?\*testing\.T\)`)

// readTree lists the files and the tests of a working tree.
func readTree(root string) (*tree, error) {
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	list.Stderr = os.Stderr
	names, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	t := &tree{root: root, tests: map[string][]string{}}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if _, err := os.Lstat(filepath.Join(root, name)); errors.Is(err, os.ErrNotExist) {
			continue // deleted, and git has not been told yet
		}
		t.files = append(t.files, name)
		folder := path.Dir(name)
		if !strings.HasSuffix(name, "_test.go") || !mayKill(folder) {
			continue
		}
		source, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		for _, found := range testFunction.FindAllSubmatch(source, -1) {
			t.tests[folder] = append(t.tests[folder], string(found[1]))
		}
	}
	return t, nil
}

// mayKill tells whether the tests in a folder are about the routines or the driver.
func mayKill(folder string) bool {
	return folder != "sql/test/mutate" &&
		(strings.HasPrefix(folder, "sql/test/") || strings.HasPrefix(folder, "cmd/notification-cleanup"))
}

// mutants reads all files of mutants.
func (t *tree) mutants() ([]mutant, error) {
	var all []mutant
	var problems error
	for _, name := range t.files {
		if path.Ext(name) != ".mutants" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(t.root, name))
		if err != nil {
			return nil, err
		}
		mutants, err := parseMutants(name, string(text))
		problems = errors.Join(problems, err)
		all = append(all, mutants...)
	}
	return all, problems
}

// check sees that each mutant can be made and has a name of its own, and that its tests exist.
func (t *tree) check(mutants []mutant) error {
	known := slices.Concat(slices.Collect(maps.Values(t.tests))...)
	places := map[string]string{} // by name
	var problems []error
	for _, m := range mutants {
		report := func(err error) {
			problems = append(problems, fmt.Errorf("%s: %w", m.place, err))
		}
		if first := places[m.String()]; first != "" {
			report(fmt.Errorf("%s has this name too: %s", first, m))
		}
		places[m.String()] = m.place
		for _, test := range m.killedBy {
			if !slices.Contains(known, test) {
				report(fmt.Errorf("killed by: there is no test %s", test))
			}
		}
		if _, err := t.apply(m); err != nil {
			report(err)
		}
	}
	return errors.Join(problems...)
}

// apply makes the changes of a mutant and returns the new texts by the names of their files.
func (t *tree) apply(m mutant) (map[string]string, error) {
	texts := map[string]string{}
	for _, c := range m.changes {
		if _, ok := texts[c.file]; !ok {
			source, err := os.ReadFile(filepath.Join(t.root, c.file))
			if err != nil {
				return nil, err
			}
			texts[c.file] = string(source)
		}
		changed, err := c.apply(texts[c.file])
		if err != nil {
			return nil, err
		}
		texts[c.file] = changed
	}
	return texts, nil
}

// copyTo copies the tree into a folder, with the changes of a mutant.
func (t *tree) copyTo(folder string, m *mutant) error {
	texts := map[string]string{}
	if m != nil {
		var err error
		if texts, err = t.apply(*m); err != nil {
			return err
		}
	}
	for _, name := range t.files {
		from, to := filepath.Join(t.root, name), filepath.Join(folder, name)
		info, err := os.Stat(from)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if changed, ok := texts[name]; ok {
			text = []byte(changed)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, text, info.Mode()); err != nil {
			return err
		}
	}
	return nil
}

// step is some tests that run together.
type step struct {
	folders []string
	tests   []string // nil: all
}

// steps are the tests for a mutant, the most likely to kill it first; without one all tests.
func (t *tree) steps(m *mutant) []step {
	folders := slices.Sorted(maps.Keys(t.tests))
	slices.Reverse(folders) // the tests of SQL before those of the driver
	if m == nil {
		return []step{{folders: folders}}
	}
	first := step{tests: m.killedBy}
	var suite, others step
	for _, folder := range folders {
		if slices.ContainsFunc(m.killedBy, func(test string) bool {
			return slices.Contains(t.tests[folder], test)
		}) {
			first.folders = append(first.folders, folder)
		}
		if folder == m.suite() {
			suite.folders = append(suite.folders, folder)
		} else {
			others.folders = append(others.folders, folder)
		}
	}
	return slices.DeleteFunc([]step{first, suite, others}, func(s step) bool {
		return s.folders == nil
	})
}
