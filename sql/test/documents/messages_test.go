package documents

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/document"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// Somebody looks a message up by its words. Those of the server itself are its own.
func TestEachExplainedMessageIsOneOfOurs(t *testing.T) {
	t.Parallel()
	ours := ""
	for _, folder := range []string{"sql", "migrations"} {
		err := filepath.WalkDir(pgtest.Path(folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".sql" {
				return err
			}
			source, err := os.ReadFile(path)
			ours += string(source)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ours = regexp.MustCompile(`'\s*\n\s*'`).ReplaceAllString(ours, "") // adjacent literals are one
	text := document.Read(t, "sql/OPERATING.md").Chapter(t, "What does this message mean?").Text
	messages := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(text, -1)
	if len(messages) < 10 {
		t.Fatalf("%d messages are explained", len(messages))
	}
	ofTheServer := regexp.MustCompile("^would be affected by row-level|^canceling statement")
	for _, message := range messages {
		for part := range strings.SplitSeq(message[1], " ... ") {
			if !ofTheServer.MatchString(part) && !strings.Contains(ours, part) {
				t.Errorf("nothing of ours says %q", part)
			}
		}
	}
}
