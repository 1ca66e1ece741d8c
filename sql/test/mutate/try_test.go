package main

import (
	"strings"
	"testing"
)

// What go test -json prints, and what it means.
func TestEndsAtTheFirstRedTest(t *testing.T) {
	t.Parallel()
	const green = `{"Action":"start","Package":"p"}
{"Action":"pass","Package":"p","Test":"TestA"}
`
	const later = "\nnot read any more"
	tests := map[string]struct {
		output, killer, problem string
	}{
		"green": {output: green + `{"Action":"pass","Package":"p"}`},
		"red": {
			output: green + `{"Action":"fail","Package":"p","Test":"TestB/on_a_view"}` + later,
			killer: "TestB",
		},
		"red, and says why": {
			output: `{"Action":"output","Test":"TestB/on_a_view","Output":"=== RUN   TestB/on_a_view\n"}
{"Action":"output","Test":"TestC","Output":"    c_test.go:7: green\n"}
{"Action":"output","Test":"TestB/on_a_view","Output":"    b_test.go:12: got 1, want 2\n"}
{"Action":"output","Test":"TestB/on_a_view","Output":"    b_test.go:13: to repeat it in psql:\n"}
{"Action":"fail","Test":"TestB/on_a_view"}`,
			killer: "TestB b_test.go:12: got 1, want 2",
		},
		"hangs": {
			output: `{"Action":"output","Test":"TestB","Output":"panic: test timed out after 6m0s\n"}
{"Action":"fail","Package":"p","Test":"TestB"}`,
			killer: "TestB (test timed out)",
		},
		"does not compile": {
			output: `{"ImportPath":"p [p.test]","Action":"build-output","Output":"# p [p.test]\n"}
{"ImportPath":"p [p.test]","Action":"build-output","Output":"./a.go:1:2: undefined: x\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`,
			problem: "go build: ./a.go:1:2: undefined: x",
		},
		"does not begin": {
			output: `{"Action":"output","Package":"p","Output":"migrate the template database: ERROR\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}`,
			problem: "the tests did not run: migrate the template database: ERROR",
		},
		"is no JSON": {output: "go: no such tool", problem: "go test -json: "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killer, err := firstRed(strings.NewReader(test.output))
			var problem string
			if err != nil {
				problem = err.Error()
			}
			same := killer == test.killer && (problem == "") == (test.problem == "")
			if !same || !strings.HasPrefix(problem, test.problem) {
				t.Errorf("got %q, %q; want %q, %q", killer, problem, test.killer, test.problem)
			}
		})
	}
}
