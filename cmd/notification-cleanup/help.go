package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/agnivade/levenshtein"
	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
)

// subcommand is a word of the command line. The flags it takes are those whose tag "for" names it, and those without the tag.
type subcommand struct {
	name, argument, about, example string // the argument is RUN_ID, or one of [some|words]
	run                            func(a *app, ctx context.Context) error
}

// parseCommand returns the command and the argument that the words are.
func parseCommand(words []string) (subcommand, string, error) {
	line := cmp.Or(strings.Join(words, " "), "run")
	name, argument, _ := strings.Cut(line, " ")
	var known []string
	for _, c := range commands {
		known = append(known, c.name)
		for _, option := range strings.FieldsFunc(c.argument, func(r rune) bool { return !unicode.IsLower(r) }) {
			known = append(known, c.name+" "+option)
		}
		if _, err := strconv.ParseInt(argument, 10, 64); c.name == name && c.argument == "RUN_ID" && err != nil {
			return c, "", usageError(fmt.Sprintf("%s takes the id of a run, not %q: notification-cleanup history lists them", name, argument))
		}
		if c.name == name && (c.argument == "RUN_ID" || slices.Contains(known, line)) {
			return c, argument, nil
		}
	}
	return subcommand{}, "", usageError(fmt.Sprintf("unknown command %q%s: notification-cleanup -help lists them", line, didYouMean(line, known)))
}

// didYouMean proposes the known word that is nearest to a mistyped one, if it is near.
func didYouMean(mistyped string, known []string) string {
	distance := func(word string) int { return levenshtein.ComputeDistance(mistyped, word) }
	nearest := slices.MinFunc(known, func(a, b string) int { return distance(a) - distance(b) })
	if distance(nearest) > 1+len(mistyped)/4 {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", nearest)
}

// writeHelp explains the command that is among the words, or else all.
func writeHelp(s screen, words []string) error {
	chosen, name, end := commands, "", "notification-cleanup COMMAND -help has an example; without a command it is run.\n"+
		"Exit status: 0 done, 1 failed, 2 bad configuration or usage, 3 stopped early\n(signal, TIMEOUT, or somebody stopped or undid the run)."
	if i := slices.IndexFunc(commands, func(c subcommand) bool { return slices.Contains(words, c.name) }); i >= 0 {
		chosen, name, end = commands[i:i+1], commands[i].name, "For example: notification-cleanup "+commands[i].name+" "+commands[i].example
	}
	var usage, flags []table.Row
	for _, c := range chosen {
		usage = append(usage, table.Row{"  " + c.name + " " + c.argument, c.about})
	}
	for field := range configFields() {
		about, takers := field.Tag.Get("usage"), field.Tag.Get("for")
		if _, option, found := strings.Cut(field.Tag.Get("env"), "default="); found {
			about += " (default " + option + ")"
		}
		if name == "" || takers == "" || slices.Contains(strings.Fields(takers), name) {
			flags = append(flags, table.Row{"  -" + flagName(field), about})
		}
	}
	_, err := fmt.Fprintf(s, "notification-cleanup soft-deletes the oldest read notifications of users who\nhave too many.\n\n%s\n\n"+
		"Each flag can be a variable too (-batch-size as BATCH_SIZE); the flag wins.\n\n%s\n\n%s\n",
		s.table(usage, left, left), s.table(flags, left, left), end)
	return err
}

// version is what Go has recorded of the build: a tag, or the commit and whether the files differed from it.
func version() string {
	info, _ := debug.ReadBuildInfo() // every Go build has it
	return fmt.Sprintf("notification-cleanup %s (%s)", info.Main.Version, info.GoVersion)
}

// forPeople changes an attribute of the log: what goes without saying is left out, and numbers are easy to read.
func forPeople(_ []string, attr slog.Attr) slog.Attr {
	switch value := attr.Value; {
	case attr.Key == slog.TimeKey, value.Any() == slog.LevelInfo, value.Any() == false:
		return slog.Attr{}
	case value.Kind() == slog.KindFloat64:
		attr.Value = slog.StringValue(humanize.CommafWithDigits(value.Float64(), 1))
	case value.Kind() == slog.KindInt64 && !strings.HasSuffix(attr.Key, "id"):
		attr.Value = slog.StringValue(humanize.Comma(value.Int64()))
	}
	return attr
}
