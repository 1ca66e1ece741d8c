package pgtest

import (
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// NewOf is New for a kind of table: "plain", or one of PartitionedTables. Each is migrated once.
func NewOf(t *testing.T, kind string) *Database {
	t.Helper()
	if kind == "plain" {
		return New(t)
	}
	templates.Lock()
	defer templates.Unlock()
	if templates.made[kind] == "" {
		templates.made[kind] = makeTemplateOf(t, kind)
	}
	return create(t, templates.made[kind])
}

var templates = struct {
	sync.Mutex
	made map[string]string // their names, by kind
}{made: map[string]string{}}

func makeTemplateOf(t *testing.T, kind string) (name string) {
	t.Helper()
	name = server.prefix + "template_" + strings.ReplaceAll(kind, " ", "_")
	if err := onServer("CREATE DATABASE %s TEMPLATE template0 %s", name, server.strategy); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), databaseURL(name))
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), PartitionedTables[kind])
	conn.Close(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := migrateTemplate(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return name
}

// PartitionedTables are like the table that the migrations create. The first 60 notifications of
// Insert are in two partitions by time.
var PartitionedTables = map[string]string{
	"hash of the user": `
		CREATE TABLE notifications (` + uuidColumns + `
			PRIMARY KEY (id, user_id)
		) PARTITION BY HASH (user_id);
		CREATE TABLE p0 PARTITION OF notifications FOR VALUES WITH (MODULUS 3, REMAINDER 0);
		CREATE TABLE p1 PARTITION OF notifications FOR VALUES WITH (MODULUS 3, REMAINDER 1);
		CREATE TABLE p2 PARTITION OF notifications FOR VALUES WITH (MODULUS 3, REMAINDER 2)`,
	"range of time": `
		CREATE TABLE notifications (` + uuidColumns + `
			PRIMARY KEY (id, created_at)
		) PARTITION BY RANGE (created_at);
		CREATE TABLE p0 PARTITION OF notifications
			FOR VALUES FROM (MINVALUE) TO ('2025-01-01 00:30Z');
		CREATE TABLE p1 PARTITION OF notifications
			FOR VALUES FROM ('2025-01-01 00:30Z') TO ('2025-01-01 01:00Z');
		CREATE TABLE p2 PARTITION OF notifications DEFAULT`,
}

const uuidColumns = `
			id uuid DEFAULT gen_random_uuid(),
			user_id uuid NOT NULL,
			title text,
			message text,
			status text DEFAULT 'unread',
			created_at timestamptz NOT NULL DEFAULT now(),`

// Partitioned are tables of an application that have three partitions each. Their indexes are not
// made yet.
var Partitioned = map[string]string{
	"hash": partitionedBy("user_id", "HASH (user_id)") + `
		CREATE TABLE p1 PARTITION OF notifications FOR VALUES WITH (MODULUS 3, REMAINDER 0);
		CREATE TABLE p2 PARTITION OF notifications FOR VALUES WITH (MODULUS 3, REMAINDER 1);
		CREATE TABLE "P 3" PARTITION OF notifications FOR VALUES WITH (MODULUS 3, REMAINDER 2)`,
	"range": partitionedBy("created_at", "RANGE (created_at)") + `
		CREATE TABLE p1 PARTITION OF notifications
			FOR VALUES FROM (MINVALUE) TO ('2025-01-01Z');
		CREATE TABLE p2 PARTITION OF notifications
			FOR VALUES FROM ('2025-01-01Z') TO ('2026-01-01Z');
		CREATE TABLE "P 3" PARTITION OF notifications
			FOR VALUES FROM ('2026-01-01Z') TO ('2027-01-01Z')`,
	"range of hash": partitionedBy("created_at", "RANGE (created_at)") + `
		CREATE TABLE p1 PARTITION OF notifications
			FOR VALUES FROM (MINVALUE) TO ('2025-01-01Z');
		CREATE SCHEMA other;
		CREATE TABLE other.sub PARTITION OF notifications
			FOR VALUES FROM ('2025-01-01Z') TO ('2027-01-01Z') PARTITION BY HASH (id);
		CREATE TABLE other.p2 PARTITION OF other.sub
			FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE other."P 3" PARTITION OF other.sub
			FOR VALUES WITH (MODULUS 2, REMAINDER 1)`,
}

func partitionedBy(column, by string) string {
	return `
		CREATE TABLE notifications (
			id bigint,
			user_id bigint,
			status text,
			created_at timestamptz,
			deleted_at timestamptz,
			PRIMARY KEY (id, ` + column + `)
		) PARTITION BY ` + by + ";"
}

// ApplicationTable is a table that somebody else made, with 6000 rows and without deleted_at.
const ApplicationTable = `
	CREATE TABLE notifications (
		id bigint PRIMARY KEY,
		user_id integer,
		status varchar(10),
		body text,
		created_at timestamptz
	);
	INSERT INTO notifications
	SELECT
		i,
		i % 3,
		'read',
		repeat('x', 50),
		timestamptz '2025-01-01 00:00:00Z' + i * interval '1 minute'
	FROM generate_series(1, 6000) AS i`

// NullableTable is an application's table in which everything may be NULL. It has no deleted_at.
const NullableTable = `
	CREATE TABLE notifications (
		id bigint PRIMARY KEY,
		user_id text,
		status text,
		created_at timestamptz
	)`

// InboxView puts an updatable view in a schema of its own before an application's table.
var InboxView = []string{
	`CREATE TABLE messages (
		message bigint PRIMARY KEY,
		recipient text,
		read_at timestamptz,
		sent_at timestamptz,
		removed_at timestamptz
	)`,
	`CREATE SCHEMA retention`,
	`CREATE VIEW retention.notifications AS
		SELECT
			ctid,
			tableoid,
			message AS id,
			recipient AS user_id,
			CASE WHEN read_at IS NULL THEN 'unread' ELSE 'read' END AS status,
			sent_at AS created_at,
			removed_at AS deleted_at
		FROM messages`,
	SetSearchPath("retention, public"),
}
