package terminal

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// looked is how many rows of a stream decide how wide its columns are.
const looked = 1000

// Stream is a table of any length. Its columns are as wide as its first rows want them to be. A
// longer cell that comes later is folded on a screen; elsewhere it pushes its neighbours aside.
type Stream struct {
	screen  Screen
	columns []Column
	first   []streamed // until they are written
	widths  []int      // from then on
	folded  []table.ColumnConfig
}

// streamed is a row, and what stands below it.
type streamed struct {
	cells []string
	below []string
}

// NewStream begins one.
func NewStream(screen Screen, columns []Column) *Stream {
	return &Stream{screen: screen, columns: columns}
}

// Write adds a row, and lines below it.
func (s *Stream) Write(cells []string, below ...string) error {
	row := streamed{cells, below}
	if s.widths != nil {
		return s.print(row)
	}
	s.first = append(s.first, row)
	if len(s.first) < looked {
		return nil
	}
	return s.End()
}

// End writes what is left to be written.
func (s *Stream) End() error {
	if s.widths != nil {
		return nil
	}
	var cells [][]string
	for _, row := range s.first {
		cells = append(cells, row.cells)
	}
	cells = withTitles(s.columns, cells)
	s.widths = Widths(s.columns, cells)
	s.folded = s.screen.fold(s.columns, cells)
	for i := range s.folded {
		s.folded[i].WidthMin = s.folded[i].WidthMax
	}
	first := s.first
	if len(cells) > len(first) {
		first = append([]streamed{{cells: cells[0]}}, first...) // the titles
	}
	s.first = nil
	for _, row := range first {
		if err := s.print(row); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stream) print(row streamed) error {
	lines := []string{s.layOut(row.cells)}
	for _, line := range row.below {
		lines = append(lines, s.screen.indented(line))
	}
	_, err := fmt.Fprintln(s.screen, strings.Join(lines, "\n"))
	return err
}

func (s *Stream) layOut(row []string) string {
	if s.screen.Width > 0 {
		return render(s.folded, [][]string{row})
	}
	cells := make([]string, len(row))
	for i, cell := range row {
		align := text.AlignLeft
		if s.columns[i].Numbers {
			align = text.AlignRight
		}
		cells[i] = align.Apply(cell, s.widths[i])
	}
	return strings.TrimRight(strings.Join(cells, "  "), " ")
}
