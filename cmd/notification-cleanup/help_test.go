package main

import (
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/config"
)

// say runs a command line that needs no database.
func say(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, log strings.Builder
	status = execute(t.Context(), args, envconfig.MapLookuper(nil), &out, &log)
	return out.String(), log.String(), status
}

// everyCommand are all that do something.
func everyCommand() (all []*cobra.Command) {
	var list func(*cobra.Command)
	list = func(c *cobra.Command) {
		if c.Name() != "help" && c.Name() != "completion" {
			all = append(all, c)
			for _, c := range c.Commands() {
				list(c)
			}
		}
	}
	list(newRoot(newApp(envconfig.MapLookuper(nil), &strings.Builder{}, &strings.Builder{})))
	return all
}

func TestVersionIsWhatTheBuildSays(t *testing.T) {
	t.Parallel()
	says := regexp.MustCompile(
		`^notification-cleanup \S+ \(` + regexp.QuoteMeta(runtime.Version()) + `\)\n$`)
	for _, args := range []string{"--version", "version"} {
		if stdout, stderr, status := say(t, args); status != 0 || !says.MatchString(stdout) {
			t.Errorf("%s prints %q, exit status %d: %s", args, stdout, status, stderr)
		}
	}
}

var quoted = regexp.MustCompile("'[^']*'")

func TestEachCommandHasHelpWithExamplesThatWork(t *testing.T) {
	t.Parallel()
	for _, c := range everyCommand() {
		words := strings.Fields(c.CommandPath())[1:]
		for _, args := range [][]string{
			append(slices.Clone(words), "--help"),
			append(slices.Clone(words), "-h"),
			append([]string{"help"}, words...),
		} {
			stdout, stderr, status := say(t, args...)
			if status != 0 || !strings.Contains(stdout, "\nFor example:\n"+c.Example+"\n") {
				t.Errorf("%v: exit status %d, stderr %s, prints\n%s", args, status, stderr, stdout)
			}
		}
		if c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for example := range strings.Lines(c.Example) {
			example, _, _ = strings.Cut(quoted.ReplaceAllString(example, "quoted"), "|")
			example, _, _ = strings.Cut(example, ">")
			root := newRoot(newApp(envconfig.MapLookuper(nil), &strings.Builder{}, &strings.Builder{}))
			found, rest, err := root.Find(strings.Fields(example)[1:])
			if err == nil {
				err = found.ParseFlags(rest)
			}
			if err == nil {
				err = found.ValidateArgs(found.Flags().Args())
			}
			if err != nil {
				t.Errorf("an example of %s is %q: %v", c.CommandPath(), example, err)
			}
		}
	}
}

func TestTheHelpOfACommandHasItsFlagsAndNoOthers(t *testing.T) {
	t.Parallel()
	for _, c := range everyCommand() {
		stdout, _, _ := say(t, append(strings.Fields(c.CommandPath())[1:], "--help")...)
		for _, s := range config.Settings() {
			want := c.Flags().Lookup(s.Flag()) != nil
			if got := strings.Contains(stdout, "\n  --"+s.Flag()+" "); got != want {
				t.Errorf("the help of %s has --%s: %v, want %v\n%s",
					c.CommandPath(), s.Flag(), got, want, stdout)
			}
		}
	}
}

func TestEachSettingIsAFlagOfSomeCommand(t *testing.T) {
	t.Parallel()
	for _, s := range config.Settings() {
		if !slices.ContainsFunc(everyCommand(), func(c *cobra.Command) bool {
			return c.Flags().Lookup(s.Flag()) != nil
		}) {
			t.Errorf("no command takes --%s", s.Flag())
		}
	}
}

// Two examples are on the first screen.
func TestHelpBeginsWithTwoExamples(t *testing.T) {
	t.Parallel()
	shown := strings.SplitN(onTerminal(t, 80, nil, "--help"), "\n", 25)
	first := strings.Join(shown[:24], "\n")
	if strings.Count(first, "\n  notification-cleanup ") != 2 {
		t.Errorf("the first screen is\n%s", first)
	}
}

func TestHelpIsFoldedToTheTerminal(t *testing.T) {
	t.Parallel()
	// A terminal of 0 columns does not know how many it has.
	for given, columns := range map[uint16]int{60: 60, 80: 80, 160: 160, 0: 80} {
		longest := 0
		for line := range strings.Lines(onTerminal(t, given, nil, "--help")) {
			longest = max(longest, len(strings.TrimSuffix(line, "\n")))
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
		"rnu":            "run?",
		"urn":            "run?",
		"stat":           "stats?",
		"migrate stauts": "status?",
		"restor 7":       "restore?",
		"--dryrun":       "--dry-run?",
		"--batchsize=5":  "--batch-size?",
		"run --worker 2": "--workers?",
		"preview --tpo":  "--top?",
		"clean":          "",
		"--verbose":      "",
		"-x":             "",
	} {
		stdout, stderr, status := say(t, strings.Fields(mistyped)...)
		_, meant, _ := strings.Cut(stderr, "(did you mean ")
		if status != 2 || stdout != "" ||
			strings.TrimSuffix(strings.SplitAfter(meant, "?")[0], "\n") != want {
			t.Errorf("%s: exit status %d, stdout %s, stderr %s, want %q",
				mistyped, status, stdout, stderr, want)
		}
	}
}

func TestAFlagThatTheCommandDoesNotTakeIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range everyCommand() {
		words := strings.Fields(c.CommandPath())[1:]
		if strings.HasSuffix(c.Use, "RUN_ID") {
			words = append(words, "7")
		}
		for _, s := range config.Settings() {
			if c.Flags().Lookup(s.Flag()) != nil {
				continue
			}
			_, stderr, status := say(t, append(slices.Clone(words), "--"+s.Flag()+"=1")...)
			if status != 2 || !strings.Contains(stderr, c.Name()+" has no flag --"+s.Flag()) {
				t.Errorf("%v --%s: exit status %d, stderr %s", words, s.Flag(), status, stderr)
			}
		}
	}
}

func TestShellsComplete(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		stdout, stderr, status := say(t, "completion", shell)
		if status != 0 || !strings.Contains(stdout, "notification-cleanup") {
			t.Errorf("%s: exit status %d, stderr %s", shell, status, stderr)
		}
	}
	stdout, _, _ := say(t, "__complete", "run", "--format", "")
	if !strings.HasPrefix(stdout, "text\njson\n") {
		t.Errorf("behind --format it proposes %s", stdout)
	}
}
