package main

import (
	"strings"
	"testing"
)

// The changes that are made, in a routine or a program.
func TestChangesWhatItFindsWhateverTheLayout(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file, source, before, after, want string
		everywhere                        bool
	}{
		"white space": {
			file: "a.sql", source: "WHERE n.id=l.id\n  AND true;", before: "n.id = l.id AND", after: "",
			want: "WHERE  true;",
		},
		"no white space": {
			file: "a.sql", source: "count( * )>1", before: "count(*) > 1", after: "true",
			want: "true",
		},
		"comments": {
			file: "a.sql", source: "a -- it's one\n/* or 'two\n*/ AND b", before: "a AND", after: "",
			want: " b",
		},
		"comments of the mutant": {
			file: "a.sql", source: "a AND b", before: "a -- this\nAND", after: "",
			want: " b",
		},
		"comments beside it stay": {
			file: "a.sql", source: "-- a\na -- b\n", before: "a", after: "c",
			want: "-- a\nc -- b\n",
		},
		"in dollar quotes": {
			file: "a.sql", source: "AS $$\nBEGIN\n  NULL ;\nEND\n$$;", before: "NULL;", after: "RETURN;",
			want: "AS $$\nBEGIN\n  RETURN;\nEND\n$$;",
		},
		"everywhere": {
			file: "a.sql", source: "a = 1 OR b = 1 OR a  =  1", before: "a = 1", after: "true",
			want: "true OR b = 1 OR true", everywhere: true,
		},
		"a program": {
			file: "a.go", source: "if !ok { // it's gone\n\treturn true\n}",
			before: "if !ok { return", after: "if ok { return",
			want: "if ok { return true\n}",
		},
		"a string of a program": {
			file: "a.go", source: `f("// no comment", '"')`, before: `, '"'`, after: "",
			want: `f("// no comment")`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := change{file: test.file, before: test.before, after: test.after, everywhere: test.everywhere}
			got, err := c.apply(test.source)
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestRefusesWhatItDoesNotFindExactlyOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file, source, before, after, want string
	}{
		"a part of a word":      {"a.sql", "n.deleted_at", "deleted", "", "has no such text"},
		"a part of an operator": {"a.sql", "a >= 1", "a >", "a <", "has no such text"},
		"a part of a number":    {"a.sql", "0.95", "0.9", "1", "has no such text"},
		"a part of a string":    {"a.sql", "'it''s read'", "read", "", "has no such text"},
		"another string":        {"a.sql", "'a  b'", "'a b'", "", "has no such text"},
		"upper case":            {"a.sql", "where", "WHERE", "", "has no such text"},
		"in a comment":          {"a.sql", "a -- WHERE\n", "WHERE", "", "has no such text"},
		"more than there is":    {"a.sql", "a", "a b", "", "has no such text"},
		"twice":                 {"a.sql", "a;\nb; a;", "a;", "", "in the lines [1 2]"},
		"the same":              {"a.sql", "a AND b", "a AND b", "a\n  AND b", "stays as it is"},
		"of another kind":       {"Makefile", "a", "a", "b", "only .sql and .go"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := change{file: test.file, before: test.before, after: test.after}.apply(test.source)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, %v; want an error: %s", got, err, test.want)
			}
		})
	}
}
