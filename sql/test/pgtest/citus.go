package pgtest

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/notification-cleanup/notification-cleanup/cmd/with-postgres/cluster"
)

// OnCitus tells if the tests run on the coordinator of a Citus cluster.
func OnCitus() bool { return server.workers != nil }

// Distribute spreads the table over a cluster, and does nothing elsewhere. The shards are few, so
// that users share one.
const Distribute = `
	DO $$ BEGIN
		IF to_regclass('pg_dist_node') IS NOT NULL THEN
			PERFORM create_distributed_table('notifications', 'user_id', shard_count => 4);
		END IF;
	END $$`

// distributed is the table that migrations adopt on a cluster.
const distributed = `
	CREATE TABLE notifications (
		id uuid DEFAULT gen_random_uuid(),
		user_id uuid NOT NULL,
		type text,
		title text,
		message text,
		data jsonb,
		status text DEFAULT 'unread',
		read_at timestamptz,
		created_at timestamptz NOT NULL DEFAULT now(),
		deleted_at timestamptz,
		PRIMARY KEY (id, user_id)
	);
	ALTER TABLE notifications ALTER message SET STORAGE PLAIN;
` + Distribute

// citusSettings are for a node. What a two-phase commit has left is put right at once.
var citusSettings = []string{
	"-c", "shared_preload_libraries=citus",
	"-c", "max_worker_processes=50",
	"-c", "max_connections=500",
	"-c", "citus.enable_statistics_collection=off",
	"-c", "citus.recover_2pc_interval=100ms",
}

// node is a node of a cluster, as its coordinator knows it.
type node struct {
	Host        string `db:"nodename"`
	Port        uint16 `db:"nodeport"`
	Coordinator bool
}

func (n node) url(database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&port=%d&user=postgres", database, n.Host, n.Port)
}

// findCluster looks if the server of the tests is a coordinator, and makes a database there and on
// its workers that are a cluster, too.
func findCluster(ctx context.Context) error {
	const known = "SELECT to_regclass('pg_dist_node') IS NOT NULL"
	isCluster := false
	if err := server.conn.QueryRow(ctx, known).Scan(&isCluster); err != nil || !isCluster {
		return err
	}
	rows, _ := server.conn.Query(ctx, `
		SELECT nodename, nodeport, groupid = 0 AS coordinator FROM pg_dist_node ORDER BY groupid`)
	nodes, err := pgx.CollectRows(rows, pgx.RowToStructByName[node])
	if err != nil {
		return err
	}
	var databases []string
	server.empty = server.prefix + "empty"
	for _, node := range nodes {
		databases = append(databases, node.url(server.empty))
		if !node.Coordinator {
			conn, err := pgx.Connect(ctx, node.url("postgres"))
			if err != nil {
				return err
			}
			server.workers = append(server.workers, conn)
		}
	}
	err = onServer("CREATE DATABASE %s TEMPLATE template0 %s", server.empty, server.strategy)
	if err != nil {
		return err
	}
	if err := cluster.Introduce(ctx, databases...); err != nil {
		return err
	}
	return closeTemplate(server.empty)
}

// distributeIn distributes the notifications in a database of a cluster; elsewhere it does
// nothing.
func distributeIn(ctx context.Context, url string) error {
	if !OnCitus() {
		return nil
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, distributed)
	return err
}

// closeTemplate ends what Citus does in a database, for it can be copied only when nobody is
// there.
func closeTemplate(name string) error {
	if !OnCitus() {
		return nil
	}
	if err := onServer("ALTER DATABASE %s ALLOW_CONNECTIONS false", name); err != nil {
		return err
	}
	return onServer(`
		SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '%s'`, name)
}

// whereTheRowsAre opens a session on each worker, or one on the server where there are none.
func (d *Database) whereTheRowsAre() (sessions []*Database) {
	d.T.Helper()
	if !OnCitus() {
		return []*Database{d.OpenSession()}
	}
	const workers = `
		SELECT nodename, nodeport, false AS coordinator FROM pg_dist_node WHERE groupid > 0`
	for _, node := range Collect(d, pgx.RowToStructByName[node], workers) {
		conn, err := pgx.Connect(context.Background(), node.url(d.Name))
		if err != nil {
			d.T.Fatal(err)
		}
		d.T.Cleanup(func() { _ = conn.Close(context.Background()) })
		session := d.sessionOn(conn)
		session.Exec("SET citus.enable_ddl_propagation = off")
		session.Exec("SET citus.override_table_visibility = off") // which hides shards
		sessions = append(sessions, session)
	}
	return sessions
}

// tables are what has the rows on the node of the session: the notifications, or their shards
// there.
func (d *Database) tables() []string {
	d.T.Helper()
	if !OnCitus() {
		return []string{"notifications"}
	}
	const shards = `
		SELECT relname::text
		FROM pg_class
		WHERE relname ~ '^notifications_[0-9]+$' AND relkind = 'r'`
	return All[string](d, shards)
}
