package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

const left, right = text.AlignLeft, text.AlignRight

// screen is an output that people may be looking at: then it has a width.
type screen struct {
	io.Writer
	width int
}

func newScreen(w io.Writer) screen {
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		width, _, _ := term.GetSize(int(file.Fd()))
		return screen{w, cmp.Or(width, 80)} // 0: the terminal does not know
	}
	return screen{Writer: w}
}

// overBar writes the log to a terminal, in the place of a progress bar, which then comes again below it.
type overBar struct {
	screen
	bar bool // there is one
}

func (w *overBar) Write(line []byte) (int, error) {
	if w.bar {
		fmt.Fprintf(w.screen, "\r%*s\r", w.width-1, "")
	}
	return w.screen.Write(line)
}

// table lays out lines of strings, with the widest columns folded until they fit on the screen.
func (s screen) table(lines []table.Row, align ...text.Align) string {
	const gap = "  "
	columns, excess := make([]table.ColumnConfig, len(align)), -s.width-len(gap)
	for i := range columns {
		columns[i] = table.ColumnConfig{Number: i + 1, Align: align[i], WidthMaxEnforcer: text.WrapSoft}
		for _, line := range lines {
			columns[i].WidthMax = max(columns[i].WidthMax, text.StringWidth(line[i].(string)))
		}
		excess += columns[i].WidthMax + len(gap)
	}
	for ; s.width > 0 && excess > 0; excess-- {
		widest := slices.MaxFunc(columns, func(a, b table.ColumnConfig) int { return a.WidthMax - b.WidthMax })
		columns[widest.Number-1].WidthMax = max(widest.WidthMax-1, 1)
	}
	t := table.NewWriter()
	t.SetStyle(table.Style{Box: table.BoxStyle{MiddleVertical: gap}, Options: table.Options{SeparateColumns: true}})
	t.SetColumnConfigs(columns)
	t.SuppressTrailingSpaces()
	t.AppendRows(lines)
	return t.Render()
}

// readable is a value as people read it: numbers on the right and, unless they are names, by thousands; times in the local zone.
func readable(types *pgtype.Map, column pgconn.FieldDescription, raw []byte) (string, text.Align) {
	var at time.Time
	switch column.DataTypeOID {
	case pgtype.Int4OID, pgtype.Int8OID:
		if number, err := strconv.ParseInt(string(raw), 10, 64); err == nil && !strings.HasSuffix(column.Name, "id") {
			raw = []byte(humanize.Comma(number))
		}
		return string(raw), right
	case pgtype.BoolOID:
		return map[string]string{"t": "yes", "f": "no"}[string(raw)], left
	case pgtype.TimestamptzOID:
		if types.Scan(column.DataTypeOID, pgx.TextFormatCode, raw, &at) == nil {
			return at.Local().Format(time.DateTime), left
		}
	}
	return string(raw), left
}

func (a *app) print(ctx context.Context, sql string, args ...any) error {
	return a.show(ctx, false, "", sql, args...)
}

// show writes the rows of a SELECT to stdout: as PostgreSQL makes them one JSON object a line, whose keys are the column names; or for
// people, as a table, which for a single row can be upright, with a line for each column. Instead of no row it can say something.
func (a *app) show(ctx context.Context, upright bool, empty string, sql string, args ...any) (err error) {
	if a.cfg.Format == "json" {
		sql = "SELECT row_to_json(r) FROM (" + sql + ") AS r"
	}
	rows, _ := a.pool.Query(ctx, sql, append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, args...)...)
	defer rows.Close()
	types, columns := pgtype.NewMap(), rows.FieldDescriptions()
	upright = upright || len(columns) == 1
	header, align := make(table.Row, len(columns)), make([]text.Align, len(columns))
	for i, column := range columns {
		header[i] = strings.ReplaceAll(column.Name, "_", " ")
		_, align[i] = readable(types, column, nil)
	}
	lines, turned := []table.Row{header}, []table.Row(nil)
	for err == nil && rows.Next() {
		line := make(table.Row, len(columns))
		for i, raw := range rows.RawValues() {
			if line[i], _ = readable(types, columns[i], raw); upright {
				turned = append(turned, table.Row{header[i], line[i]})
			}
		}
		if lines = append(lines, line); a.cfg.Format == "json" {
			_, err = fmt.Fprintln(a.stdout, line[0])
			lines = nil
		}
	}
	if err = errors.Join(err, rows.Err()); err != nil || a.cfg.Format == "json" {
		return err
	}
	text := a.stdout.table(lines, align...)
	if upright {
		text = a.stdout.table(turned, left, right)
	} else if len(lines) == 1 {
		text = cmp.Or(empty, text)
	}
	_, err = fmt.Fprintln(a.stdout, text)
	return err
}

// nothing says that there are so many users over the limit, but nothing to delete.
func (a *app) nothing(users int64) string {
	return fmt.Sprintf("nothing to delete (users over the limit of %s: %s)", humanize.Comma(int64(a.cfg.MaxNotifications)), humanize.Comma(users))
}
