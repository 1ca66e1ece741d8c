// Package document reads the project's documents, so that tests can hold them against what they
// are about: chapters, blocks of code, links.
package document

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// Document is a file of Markdown.
type Document struct {
	Path     string // from the top of the repository
	Text     string
	Chapters []Chapter
}

// Chapter is a heading and what stands below it, down to the next heading of any level.
type Chapter struct {
	Heading string
	Level   int
	Line    int // of the heading
	Text    string
	Blocks  []Block
}

// Block is a fenced block of code.
type Block struct {
	Language string
	Text     string
	Line     int // of its first line
}

var (
	heading = regexp.MustCompile("^(#{1,6}) (.*)$")
	fence   = regexp.MustCompile("^ *```(.*)$")
)

// Read reads a document; what stands above its first heading is a chapter without one.
func Read(t testing.TB, path string) Document {
	t.Helper()
	text, err := os.ReadFile(pgtest.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	d := Document{Path: path, Text: string(text), Chapters: []Chapter{{}}}
	var block *Block
	for i, line := range strings.Split(d.Text, "\n") {
		chapter := &d.Chapters[len(d.Chapters)-1]
		fenced := fence.FindStringSubmatch(line)
		title := heading.FindStringSubmatch(line)
		switch {
		case block != nil && fenced != nil:
			chapter.Blocks = append(chapter.Blocks, *block)
			block = nil
		case block != nil:
			block.Text += line + "\n"
		case fenced != nil:
			block = &Block{Language: fenced[1], Line: i + 2}
		case title != nil:
			d.Chapters = append(d.Chapters,
				Chapter{Heading: title[2], Level: len(title[1]), Line: i + 1})
		default:
			chapter.Text += line + "\n"
		}
	}
	return d
}

// Below returns the chapters of a level below a heading, down to the next one of its own level.
func (d Document) Below(t testing.TB, heading string, level int) (chapters []Chapter) {
	t.Helper()
	above := d.Chapter(t, heading)
	for _, c := range d.Chapters {
		if c.Line > above.Line && c.Level <= above.Level {
			break
		}
		if c.Line > above.Line && c.Level == level {
			chapters = append(chapters, c)
		}
	}
	return chapters
}

// Chapter returns the chapter with this heading.
func (d Document) Chapter(t testing.TB, heading string) Chapter {
	t.Helper()
	for _, c := range d.Chapters {
		if c.Heading == heading {
			return c
		}
	}
	t.Fatalf("%s has no chapter %q", d.Path, heading)
	return Chapter{}
}

// Anchor is the name under which a heading can be linked.
func Anchor(heading string) string {
	kept := func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}
	return strings.Map(kept, heading)
}

// Has tells if a link to this heading of the document leads somewhere.
func (d Document) Has(anchor string) bool {
	for _, c := range d.Chapters {
		if Anchor(c.Heading) == anchor {
			return true
		}
	}
	return false
}
