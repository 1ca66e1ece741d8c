package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/notification-cleanup/notification-cleanup/cmd/with-postgres/cluster"
)

// distribute spreads the table over a cluster, and does nothing elsewhere. The shards are few, so that users share one.
const distribute = `
	DO $$ BEGIN
		IF to_regclass('pg_dist_node') IS NOT NULL THEN
			PERFORM create_distributed_table('notifications', 'user_id', shard_count => 4);
		END IF;
	END $$`

// distributed is the table that migrations adopt on a cluster.
const distributed = `
	CREATE TABLE notifications (id uuid DEFAULT gen_random_uuid(), user_id uuid NOT NULL, type text, title text, message text, data jsonb,
		status text DEFAULT 'unread', read_at timestamptz, created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz,
		PRIMARY KEY (id, user_id));
	ALTER TABLE notifications ALTER message SET STORAGE PLAIN;
` + distribute

// citusSettings are for a node. What a two-phase commit has left is put right at once.
var citusSettings = []string{"-c", "shared_preload_libraries=citus", "-c", "max_worker_processes=50", "-c", "max_connections=500",
	"-c", "citus.enable_statistics_collection=off", "-c", "citus.recover_2pc_interval=100ms"}

// node is a node of a cluster, as its coordinator knows it.
type node struct {
	Host        string `db:"nodename"`
	Port        uint16 `db:"nodeport"`
	Coordinator bool
}

// findCluster looks if the server of the tests is a coordinator, and makes a database there and on its workers that are a cluster, too.
func findCluster(ctx context.Context) error {
	const known = "SELECT to_regclass('pg_dist_node') IS NOT NULL"
	isCluster := false
	if err := server.conn.QueryRow(ctx, known).Scan(&isCluster); err != nil || !isCluster {
		return err
	}
	rows, _ := server.conn.Query(ctx, "SELECT nodename, nodeport, groupid = 0 AS coordinator FROM pg_dist_node ORDER BY groupid")
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
	if err := onServer("CREATE DATABASE %s TEMPLATE template0 %s", server.empty, server.strategy); err != nil {
		return err
	}
	if err := cluster.Introduce(ctx, databases...); err != nil {
		return err
	}
	return closeTemplate(server.empty)
}

func (n node) url(database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&port=%d&user=postgres", database, n.Host, n.Port)
}

// distributeIn distributes the notifications in a database of a cluster; elsewhere it does nothing.
func distributeIn(ctx context.Context, url string) error {
	if server.workers == nil {
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

// closeTemplate ends what Citus does in a database, for it can be copied only when nobody is there.
func closeTemplate(name string) error {
	if server.workers == nil {
		return nil
	}
	if err := onServer("ALTER DATABASE %s ALLOW_CONNECTIONS false", name); err != nil {
		return err
	}
	return onServer("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '%s'", name)
}

// atWorkers opens a session on each worker, or one on the server where there are none: where the rows are.
func (d *database) atWorkers() (sessions []*database) {
	d.t.Helper()
	if server.workers == nil {
		return []*database{d.openSession()}
	}
	for _, node := range collect(d, pgx.RowToStructByName[node], "SELECT nodename, nodeport, false AS coordinator FROM pg_dist_node WHERE groupid > 0") {
		conn, err := pgx.Connect(context.Background(), node.url(d.name))
		if err != nil {
			d.t.Fatal(err)
		}
		d.t.Cleanup(func() { _ = conn.Close(context.Background()) })
		d.script.sessions++
		session := &database{t: d.t, name: d.name, own: d.own, conn: conn, session: d.script.sessions, script: d.script}
		session.exec("SET citus.enable_ddl_propagation = off")
		session.exec("SET citus.override_table_visibility = off") // which hides shards
		sessions = append(sessions, session)
	}
	return sessions
}

// tables are what has the rows on the node of the session: the notifications, or their shards there.
func (d *database) tables() []string {
	d.t.Helper()
	if server.workers == nil {
		return []string{"notifications"}
	}
	return all[string](d, "SELECT relname::text FROM pg_class WHERE relname ~ '^notifications_[0-9]+$' AND relkind = 'r'")
}

// lock keeps the notifications that satisfy the condition locked, to the end of the transaction that it begins.
func (d *database) lock(condition string) {
	d.t.Helper()
	if server.workers == nil {
		d.exec("BEGIN; SELECT FROM notifications WHERE " + condition + " FOR UPDATE")
	} else { // Citus locks rows in that way in one shard only
		d.exec("BEGIN; UPDATE notifications SET title = title WHERE " + condition)
	}
}
