// Package terminal is how the program looks: tables and records that fit on the screen, numbers
// and times as people read them, the log, and the progress bar. It knows what a screen is, and
// nothing of notifications.
package terminal

import (
	"cmp"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// gap stands between two columns.
const gap = "  "

// Screen is an output that people may be looking at: then it has a width, and perhaps colours.
type Screen struct {
	io.Writer
	Width    int // in columns; 0 where nobody looks
	Colorful bool
}

// NewScreen finds out what w is. noColor is for those who have set NO_COLOR.
func NewScreen(w io.Writer, noColor bool) Screen {
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		width, _, _ := term.GetSize(int(file.Fd()))
		return Screen{w, cmp.Or(width, 80), !noColor} // 0: the terminal does not know
	}
	return Screen{Writer: w}
}

// Paint gives a text a colour where there are colours.
func (s Screen) Paint(words string, color text.Color) string {
	if !s.Colorful {
		return words
	}
	return color.EscapeSeq() + words + text.Reset.EscapeSeq()
}

// Column is a column of a table; numbers stand on its right.
type Column struct {
	Title   string
	Numbers bool
}

// Table lays out rows under the titles of the columns, if those have any. The widest columns are
// folded until all of them fit on the screen.
func (s Screen) Table(columns []Column, rows [][]string) string {
	rows = withTitles(columns, rows)
	return render(s.fold(columns, rows), rows)
}

// withTitles puts the titles of the columns above the rows, if those have any.
func withTitles(columns []Column, rows [][]string) [][]string {
	header, titled := make([]string, len(columns)), false
	for i, column := range columns {
		header[i] = column.Title
		titled = titled || column.Title != ""
	}
	if !titled {
		return rows
	}
	return slices.Concat([][]string{header}, rows)
}

// render lays out rows as the columns are configured.
func render(columns []table.ColumnConfig, rows [][]string) string {
	t := table.NewWriter()
	t.SetStyle(table.Style{
		Box:     table.BoxStyle{MiddleVertical: gap},
		Options: table.Options{SeparateColumns: true},
	})
	t.SetColumnConfigs(columns)
	t.SuppressTrailingSpaces()
	for _, row := range rows {
		cells := make(table.Row, len(row))
		for i, cell := range row {
			cells[i] = cell
		}
		t.AppendRow(cells)
	}
	return t.Render()
}

// Widths are how wide the columns would like to be.
func Widths(columns []Column, rows [][]string) []int {
	widths := make([]int, len(columns))
	for i, column := range columns {
		widths[i] = text.StringWidth(column.Title)
		for _, row := range rows {
			for line := range slices.Values(lines(row[i])) {
				widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(line))
			}
		}
	}
	return widths
}

// Room is how many columns of the screen a table would leave free.
func (s Screen) Room(columns []Column, rows [][]string) int {
	if s.Width == 0 {
		return math.MaxInt
	}
	room := s.Width
	for i, width := range Widths(columns, rows) {
		if i > 0 {
			room -= len(gap)
		}
		room -= width
	}
	return room
}

// fold takes from the widest column until all fit on the screen, from one in which no word has to
// be broken as long as there is one.
func (s Screen) fold(columns []Column, rows [][]string) []table.ColumnConfig {
	widths, words := Widths(columns, rows), Widths(columns, wordByWord(rows))
	configs, excess := make([]table.ColumnConfig, len(columns)), -s.Room(columns, rows)
	for i, column := range columns {
		align := text.AlignLeft
		if column.Numbers {
			align = text.AlignRight
		}
		configs[i] = table.ColumnConfig{
			Number:           i + 1,
			Align:            align,
			WidthMax:         widths[i],
			WidthMaxEnforcer: text.WrapSoft,
		}
	}
	breaksNoWord := func(c table.ColumnConfig) bool { return c.WidthMax > words[c.Number-1] }
	for ; excess > 0; excess-- {
		widest := slices.MaxFunc(configs, func(a, b table.ColumnConfig) int {
			switch {
			case breaksNoWord(a) && !breaksNoWord(b):
				return 1
			case breaksNoWord(b) && !breaksNoWord(a):
				return -1
			}
			return a.WidthMax - b.WidthMax
		})
		configs[widest.Number-1].WidthMax = max(widest.WidthMax-1, 1)
	}
	return configs
}

// wordByWord gives each word a line of its own.
func wordByWord(rows [][]string) [][]string {
	folded := make([][]string, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			folded[i] = append(folded[i], strings.Join(strings.Fields(cell), "\n"))
		}
	}
	return folded
}

// indented folds a text with some room on its left.
func (s Screen) indented(words string) string {
	return s.Table(make([]Column, 2), [][]string{{"", words}})
}
