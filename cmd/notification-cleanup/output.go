package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5"
)

func (a *app) print(ctx context.Context, sql string, args ...any) error {
	return a.write(ctx, false, sql, args...)
}

// write writes the rows of a SELECT to stdout as PostgreSQL formats them: as one JSON object a line whose keys are the column names, or
// as a table, which for a single row can be upright, with a line for each column.
func (a *app) write(ctx context.Context, upright bool, sql string, args ...any) error {
	if a.cfg.Format == "json" {
		sql = "SELECT row_to_json(r) FROM (" + sql + ") AS r"
	}
	rows, _ := a.pool.Query(ctx, sql, append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, args...)...)
	defer rows.Close()
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	var header []string
	for _, column := range rows.FieldDescriptions() {
		header = append(header, column.Name)
	}
	if a.cfg.Format == "text" && !upright && header != nil {
		fmt.Fprintln(table, strings.Join(header, "\t"))
	}
	for rows.Next() {
		var line []string
		for i, value := range rows.RawValues() {
			if line = append(line, string(value)); a.cfg.Format == "text" && upright {
				fmt.Fprintf(table, "%s\t%s\n", header[i], value)
			}
		}
		if a.cfg.Format == "json" || !upright {
			fmt.Fprintln(table, strings.Join(line, "\t"))
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return table.Flush()
}
