package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/notification-cleanup/notification-cleanup/cmd/with-postgres/cluster"
)

// distributed is what spreads the empty table over the workers of a cluster.
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
	SELECT create_distributed_table('notifications', 'user_id', shard_count => 8)`

// measureCitus compares the table on the coordinator of a cluster with the same table on its
// workers. The coordinator is the first of the nodes.
func (b *bench) measureCitus(ctx context.Context) {
	b.mode = onCluster
	var nodes []string
	const addresses = `
		SELECT array_agg(
			format('host=%s port=%s user=postgres', nodename, nodeport)
			ORDER BY groupid
		)
		FROM pg_dist_node`
	b.scan(ctx, "postgres", addresses, &nodes)
	fourWorkers := contender{name: "program, 4 workers", drain: program("run", "--workers", "4")}
	finds := map[string]action{
		"bare count": sql(overTheLimit),
		"function":   sql("SELECT cleanup_notifications(" + nobody + ")"),
	}
	for ; b.round <= b.rounds; b.round++ {
		for i, where := range []string{"one node", "coordinator and workers"} {
			in := nodes[:1+i*(len(nodes)-1)]
			b.loadNodes(ctx, in)
			ours := b.contenders(planAlone, function, procedure, oneWorker, twoWorkers)
			for _, c := range append(ours, fourWorkers) {
				b.copyNodes(ctx, in)
				s := b.timed(ctx, drain, where+": "+c.name, c.drain, copied)
				b.scan(ctx, copied, countDeleted, &s.Notifications)
				s.WALBytes = 0 // of the coordinator only
				b.add(s)
			}
			b.copyNodes(ctx, in)
			for name, do := range finds {
				b.add(
					best(
						4,
						func() sample { return b.timed(ctx, find, where+": "+name, do, copied) },
					),
				)
			}
		}
	}
}

// loadNodes makes the table on these nodes: of more than one, in shards on all but the first.
func (b *bench) loadNodes(ctx context.Context, nodes []string) {
	for _, database := range []string{copied, base} {
		b.onNodes(ctx, nodes, "postgres", "DROP DATABASE IF EXISTS "+database+" WITH (FORCE)")
	}
	b.onNodes(ctx, nodes, "postgres", "CREATE DATABASE "+base)
	if len(nodes) > 1 {
		databases := make([]string, len(nodes))
		for i, node := range nodes {
			databases[i] = node + " dbname=" + base
		}
		check(cluster.Introduce(ctx, databases...))
		b.in(ctx, base, distributed)
	}
	b.command(ctx, base, "notification-cleanup", "migrate", "up")
	b.in(
		ctx,
		base,
		"CREATE INDEX notifications_inbox_idx ON notifications (user_id, created_at DESC)",
	)
	b.command(
		ctx,
		base,
		"psql",
		"-Xq",
		"-v",
		"ON_ERROR_STOP=1",
		"-d",
		b.url(base),
		"-v",
		fmt.Sprint("n=", b.n),
		"-f",
		"sql/demo/demo_data.sql",
	)
	b.in(ctx, base, "VACUUM (FREEZE, ANALYZE) notifications")
	fmt.Printf("loaded %d notifications on %d nodes\n", b.n, len(nodes))
	b.onNodes(
		ctx,
		nodes,
		"postgres",
		"ALTER DATABASE "+base+" ALLOW_CONNECTIONS false",
	) // Citus would keep it from being copied
}

func (b *bench) copyNodes(ctx context.Context, nodes []string) {
	b.onNodes(ctx, nodes, "postgres", "DROP DATABASE IF EXISTS "+copied+" WITH (FORCE)")
	b.onNodes(
		ctx,
		nodes,
		"postgres",
		"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '"+base+"'",
	)
	b.onNodes(
		ctx,
		nodes,
		"postgres",
		"CREATE DATABASE "+copied+" TEMPLATE "+base+" STRATEGY file_copy",
	)
	b.onNodes(ctx, nodes, copied, "CHECKPOINT")
}

func (b *bench) onNodes(ctx context.Context, nodes []string, database, statement string) {
	for _, node := range nodes {
		conn := must(pgx.Connect(ctx, node+" dbname="+database))
		must(conn.Exec(ctx, statement))
		check(conn.Close(ctx))
	}
}
