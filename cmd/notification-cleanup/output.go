package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5"
)

// print writes the rows of a SELECT to stdout, as a table or as one JSON object a line whose keys are the column names.
func (a *app) print(ctx context.Context, sql string, args ...any) error {
	lines, err := a.query(ctx, sql, args...)
	if err != nil {
		return err
	}
	return writeTable(a.stdout, lines)
}

// printRecord writes one row like print, but as text with a line for each column.
func (a *app) printRecord(ctx context.Context, sql string, args ...any) error {
	lines, err := a.query(ctx, sql, args...)
	if err != nil {
		return err
	}
	if a.cfg.Format == "text" && len(lines) == 2 {
		header, record := lines[0], lines[1]
		lines = nil
		for i, name := range header {
			lines = append(lines, []string{name, record[i]})
		}
	}
	return writeTable(a.stdout, lines)
}

// query returns the rows of a SELECT as PostgreSQL formats them: below their column names, or as JSON objects.
func (a *app) query(ctx context.Context, sql string, args ...any) ([][]string, error) {
	if a.cfg.Format == "json" {
		sql = "SELECT row_to_json(r) FROM (" + sql + ") AS r"
	}
	rows, err := a.pool.Query(ctx, sql, append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()

	var lines [][]string
	if a.cfg.Format == "text" {
		var header []string
		for _, column := range rows.FieldDescriptions() {
			header = append(header, column.Name)
		}
		lines = append(lines, header)
	}
	for rows.Next() {
		var line []string
		for _, value := range rows.RawValues() {
			line = append(line, string(value))
		}
		lines = append(lines, line)
	}
	return lines, rows.Err()
}

// writeTable writes the lines with their columns aligned.
func writeTable(w io.Writer, lines [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		if _, err := fmt.Fprintln(table, strings.Join(line, "\t")); err != nil {
			return err
		}
	}
	return table.Flush()
}
