// Package migrations embeds the goose migrations that install notification-cleanup into a
// PostgreSQL database.
package migrations

import "embed"

// FS holds the numbered goose files of this folder. They work with the plain goose command line
// as well.
//
//go:embed *.sql
var FS embed.FS
