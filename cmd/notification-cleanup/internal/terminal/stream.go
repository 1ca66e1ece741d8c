package terminal

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
)

// looked is how many rows of a stream decide how wide its columns are.
const looked = 1000

// Stream is a table of any length. Its columns are as wide as its first rows want them to be; a
// longer cell that comes later pushes its neighbours aside.
type Stream struct {
	screen  Screen
	columns []Column
	first   [][]string // until they are written
	widths  []int      // from then on
}

// NewStream begins one.
func NewStream(screen Screen, columns []Column) *Stream {
	return &Stream{screen: screen, columns: columns}
}

// Write adds a row.
func (s *Stream) Write(row []string) error {
	if s.widths == nil {
		s.first = append(s.first, row)
		if len(s.first) < looked {
			return nil
		}
		return s.End()
	}
	cells := make([]string, len(row))
	for i, cell := range row {
		align := text.AlignLeft
		if s.columns[i].Numbers {
			align = text.AlignRight
		}
		cells[i] = align.Apply(cell, s.widths[i])
	}
	_, err := fmt.Fprintln(s.screen, strings.TrimRight(strings.Join(cells, "  "), " "))
	return err
}

// End writes what is left to be written.
func (s *Stream) End() error {
	if s.widths != nil {
		return nil
	}
	s.widths = Widths(s.columns, s.first)
	_, err := fmt.Fprintln(s.screen, s.screen.Table(s.columns, s.first))
	s.first = nil
	return err
}
