package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/config"
	"github.com/notification-cleanup/notification-cleanup/sql/test/document"
)

// firstColumn are the words in the first column of the tables of a chapter.
func firstColumn(t *testing.T, chapter string) (words []string) {
	t.Helper()
	text := document.Read(t, "cmd/notification-cleanup/README.md").Chapter(t, chapter).Text
	command := regexp.MustCompile("(?m)^\\| `([\\w-]+)[^|`]*` \\|")
	for _, row := range command.FindAllStringSubmatch(text, -1) {
		words = append(words, row[1])
	}
	slices.Sort(words)
	return words
}

func TestTheReadmeHasEachCommand(t *testing.T) {
	t.Parallel()
	var commands []string
	for _, command := range newRoot(&app{}).Commands() {
		if !slices.Contains([]string{"help", "completion"}, command.Name()) {
			commands = append(commands, command.Name())
		}
	}
	slices.Sort(commands)
	if written := firstColumn(t, "Commands"); !slices.Equal(written, commands) {
		t.Errorf("README.md has the commands %q, the program has %q", written, commands)
	}
}

func TestTheReadmeHasEachSetting(t *testing.T) {
	t.Parallel()
	var variables []string
	for _, setting := range config.Settings() {
		variables = append(variables, setting.Variable)
	}
	slices.Sort(variables)
	if written := firstColumn(t, "Settings"); !slices.Equal(written, variables) {
		t.Errorf("README.md has the settings\n%s\nthe program has\n%s",
			strings.Join(written, " "), strings.Join(variables, " "))
	}
}
