// Package cluster makes Citus clusters of PostgreSQL servers, for tests and measurements.
package cluster

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Introduce makes a cluster of databases that are empty, one on each node, given by their
// connection strings: the first one that of the coordinator, which knows the others then. The error
// is that of the first statement that fails.
func Introduce(ctx context.Context, databases ...string) error {
	var known string
	for i := len(databases) - 1; i >= 0; i-- { // the coordinator last
		config, err := pgx.ParseConfig(databases[i])
		if err != nil {
			return err
		}
		statements := "CREATE EXTENSION citus"
		if i > 0 {
			known += fmt.Sprintf("; SELECT citus_add_node('%s', %d)", config.Host, config.Port)
		} else {
			statements += fmt.Sprintf("; SELECT citus_set_coordinator_host('%s', %d)",
				config.Host, config.Port) + known
		}
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, statements)
		conn.Close(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}
