// Package documents holds the project's documents against what they are about.
package documents

import (
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/notification-cleanup/notification-cleanup/sql/test/document"
	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// all are the documents of the project.
func all(t *testing.T) (documents []document.Document) {
	t.Helper()
	root := pgtest.Path("")
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		hidden := entry.IsDir() && file != root && strings.HasPrefix(entry.Name(), ".")
		if err == nil && hidden {
			return fs.SkipDir
		}
		if err == nil && filepath.Ext(file) == ".md" {
			relative, _ := filepath.Rel(root, file)
			documents = append(documents, document.Read(t, filepath.ToSlash(relative)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(documents) < 6 {
		t.Fatalf("only %d documents", len(documents))
	}
	return documents
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	documents := map[string]document.Document{}
	for _, d := range all(t) {
		documents[d.Path] = d
	}
	link := regexp.MustCompile(`(?s)\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"`)
	for _, d := range documents {
		for _, chapter := range d.Chapters {
			for _, found := range link.FindAllStringSubmatch(chapter.Heading+chapter.Text, -1) {
				target := found[1] + found[2]
				if strings.Contains(target, "://") {
					continue
				}
				file, anchor, _ := strings.Cut(target, "#")
				file = path.Join(path.Dir(d.Path), file)
				if strings.HasPrefix(target, "#") {
					file = d.Path
				}
				if _, err := os.Stat(pgtest.Path(file)); err != nil {
					t.Errorf("%s links to %s, which is not there", d.Path, target)
				} else if anchor != "" && !documents[file].Has(anchor) {
					t.Errorf("%s links to a heading that is not there: %s", d.Path, target)
				}
			}
		}
	}
}

func TestBlocksOfCodeAreNarrow(t *testing.T) {
	t.Parallel()
	for _, d := range all(t) {
		for _, chapter := range d.Chapters {
			for _, block := range chapter.Blocks {
				for i, line := range strings.Split(block.Text, "\n") {
					if utf8.RuneCountInString(line) > 100 {
						t.Errorf("%s:%d has more than 100 columns", d.Path, block.Line+i)
					}
				}
			}
		}
	}
}

func TestHeadingsOfADocumentDiffer(t *testing.T) {
	t.Parallel()
	for _, d := range all(t) {
		seen := map[string]bool{}
		for _, chapter := range d.Chapters {
			if anchor := document.Anchor(chapter.Heading); seen[anchor] {
				t.Errorf("%s has two headings %q, so a link leads to the first only",
					d.Path, chapter.Heading)
			} else {
				seen[anchor] = true
			}
		}
	}
}

func TestTheReadmeIsShort(t *testing.T) {
	t.Parallel()
	readme := document.Read(t, "README.md")
	if lines := strings.Count(readme.Text, "\n"); lines > 150 {
		t.Errorf("README.md has %d lines, want 150 at most", lines)
	}
	for i, line := range strings.Split(readme.Text, "\n") {
		if utf8.RuneCountInString(line) > 160 {
			t.Errorf("README.md:%d has more than 160 columns", i+1)
		}
	}
}

// Pictures are well-formed, say what they show to whoever cannot see them, and have colours for
// light and for dark.
func TestPicturesAreForEverybody(t *testing.T) {
	t.Parallel()
	pictures, err := filepath.Glob(pgtest.Path("sql/pictures/*.svg"))
	if err != nil || len(pictures) < 6 {
		t.Fatalf("%d pictures, %v", len(pictures), err)
	}
	for _, picture := range pictures {
		text, err := os.ReadFile(picture)
		if err != nil {
			t.Fatal(err)
		}
		decoder := xml.NewDecoder(strings.NewReader(string(text)))
		for err == nil {
			_, err = decoder.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", picture, err)
		}
		for _, needed := range []string{"<title>", "prefers-color-scheme: dark"} {
			if !strings.Contains(string(text), needed) {
				t.Errorf("%s has no %s", picture, needed)
			}
		}
	}
}
