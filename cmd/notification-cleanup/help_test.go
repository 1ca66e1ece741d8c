package main

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"
)

func TestVersionIsWhatTheBuildSays(t *testing.T) {
	t.Parallel()
	says := regexp.MustCompile(
		`^notification-cleanup \S+ \(` + regexp.QuoteMeta(runtime.Version()) + `\)\n$`)
	for _, flag := range []string{"--version", "-version"} {
		var stdout bytes.Buffer
		err := run(
			t.Context(),
			[]string{"run", flag},
			envconfig.MapLookuper(map[string]string{"WORKERS": "wrong"}),
			&stdout,
			io.Discard,
		)
		if err != nil || !says.MatchString(stdout.String()) {
			t.Errorf("%s prints %q, error %v", flag, &stdout, err)
		}
	}
}

func TestEachCommandHasHelpWithAnExampleThatWorks(t *testing.T) {
	t.Parallel()
	for _, c := range commands {
		for _, args := range [][]string{
			{c.name, "-help"},
			{"-h", c.name},
			{"-workers", "2", c.name, "--help"},
		} {
			var stdout bytes.Buffer
			if err := run(t.Context(), args, envconfig.MapLookuper(nil), &stdout, io.Discard); err != nil {
				t.Fatal(err)
			}
			_, example, found := strings.Cut(stdout.String(), "\nFor example: notification-cleanup "+c.name)
			if !found || !strings.Contains(stdout.String(), c.about) {
				t.Errorf("%v prints\n%s", args, &stdout)
			}
			example, _, _ = strings.Cut(example, "|")
			_, words, err := loadConfig(
				t.Context(),
				append([]string{c.name}, strings.Fields(example)...),
				envconfig.MapLookuper(nil),
			)
			if got, _, parseErr := parseCommand(words); err != nil || parseErr != nil || got.name != c.name {
				t.Errorf("the example of %s is %q: %v %v", c.name, example, err, parseErr)
			}
		}
	}
}

func TestTheHelpOfACommandHasItsFlagsAndNoOthers(t *testing.T) {
	t.Parallel()
	for field := range configFields() {
		for _, name := range strings.Fields(field.Tag.Get("for")) {
			if !slices.ContainsFunc(commands, func(c subcommand) bool { return c.name == name }) {
				t.Errorf("-%s is for %q, which is no command", flagName(field), name)
			}
		}
	}
	var stdout bytes.Buffer
	_ = run(t.Context(), []string{"preview", "-help"}, envconfig.MapLookuper(nil), &stdout, io.Discard)
	for flag, want := range map[string]bool{
		"-top":       true,
		"-min-keep":  true,
		"-schema":    true,
		"-workers":   false,
		"-retention": false,
	} {
		if got := strings.Contains(stdout.String(), "  "+flag+" "); got != want {
			t.Errorf("help for preview has %s: %v, want %v", flag, got, want)
		}
	}
}

func TestHelpIsFoldedToTheTerminal(t *testing.T) {
	t.Parallel()
	// A terminal of 0 columns does not know how many it has.
	for given, columns := range map[uint16]int{60: 60, 80: 80, 160: 160, 0: 80} {
		longest := 0
		for line := range strings.Lines(onTerminal(t, given, nil, "-help")) {
			if strings.HasPrefix(line, "  ") {
				longest = max(longest, len(strings.TrimSuffix(line, "\n")))
			}
		}
		if longest > columns || longest < min(columns-10, 100) {
			t.Errorf("on %d columns the longest line has %d", columns, longest)
		}
	}
}

func TestProposesWhatWasMeant(t *testing.T) {
	t.Parallel()
	for mistyped, want := range map[string]string{
		"preveiw":        "preview?",
		"histroy":        "history?",
		"stat":           "stats?",
		"migrate stauts": "migrate status?",
		"restor 7":       "restore?",
		"-dryrun":        "-dry-run?",
		"--batchsize=5":  "-batch-size?",
		"run -worker 2":  "-workers?",
		"-tpo 3":         "-top?",
		"clean":          "",
		"-verbose":       "",
		"-":              "",
		"help":           "",
	} {
		_, words, err := loadConfig(t.Context(), strings.Fields(mistyped), envconfig.MapLookuper(nil))
		if err == nil {
			_, _, err = parseCommand(words)
		}
		if _, meant, _ := strings.Cut(fmt.Sprint(err), "(did you mean "); err == nil ||
			exitStatus(err) != 2 ||
			strings.TrimSuffix(strings.SplitAfter(meant, "?")[0], "\n") != want {
			t.Errorf("%s: %v, want %q", mistyped, err, want)
		}
	}
}
