package pgtest

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/notification-cleanup/notification-cleanup/migrations"
)

// VersionTable is goose's table for our versions, beside an application's own goose_db_version.
const VersionTable = "notification_cleanup_schema_version"

// Migrate does what `notification-cleanup migrate up` does: it applies every pending migration,
// and builds the indexes that are missing.
func (d *Database) Migrate() {
	d.T.Helper()
	if err := migrateUp(d.T.Context(), d.configOf("")); err != nil {
		d.T.Fatal(err)
	}
}

// MigrateInto does the same in a schema.
func (d *Database) MigrateInto(schema string) {
	d.T.Helper()
	if err := migrateUp(d.T.Context(), d.configOf(schema)); err != nil {
		d.T.Fatal(err)
	}
}

// ApplyMigrations does what plain goose does: the migrations, and nothing else.
func (d *Database) ApplyMigrations(options ...goose.ProviderOption) {
	d.T.Helper()
	err := withGoose(d.configOf(""), func(provider *goose.Provider) error {
		_, err := provider.Up(d.T.Context())
		return err
	}, options...)
	if err != nil {
		d.T.Fatal(err)
	}
}

// MigrateDown rolls all migrations back, and returns the server's warnings.
func (d *Database) MigrateDown() string {
	d.T.Helper()
	config, told := d.configOf(""), new(Output)
	config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) {
		if notice.SeverityUnlocalized == "WARNING" {
			fmt.Fprintln(told, notice.Message, notice.Hint)
		}
	}
	err := withGoose(config, func(provider *goose.Provider) error {
		_, err := provider.DownTo(d.T.Context(), 0)
		return err
	})
	if err != nil {
		d.T.Fatal(err)
	}
	return told.String()
}

// configOf is how migrations connect to the database, for a schema of their own or for none.
func (d *Database) configOf(schema string) *pgx.ConnConfig {
	d.T.Helper()
	config, err := pgx.ParseConfig(d.URL())
	if err != nil {
		d.T.Fatal(err)
	}
	if schema != "" {
		config.RuntimeParams["search_path"] = pgx.Identifier{schema}.Sanitize()
	}
	return config
}

// migrateTemplate migrates a database that no test has.
func migrateTemplate(ctx context.Context, name string) error {
	config, err := pgx.ParseConfig(databaseURL(name))
	if err != nil {
		return err
	}
	return migrateUp(ctx, config)
}

func migrateUp(ctx context.Context, config *pgx.ConnConfig) error {
	err := withGoose(config, func(provider *goose.Provider) error {
		_, err := provider.Up(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return buildIndexes(ctx, config)
}

// withGoose does something with goose over our migrations.
func withGoose(
	config *pgx.ConnConfig,
	do func(*goose.Provider) error,
	options ...goose.ProviderOption,
) error {
	db := stdlib.OpenDB(*config)
	defer db.Close()
	options = append(options,
		goose.WithTableName(VersionTable),
		goose.WithDisableGlobalRegistry(true))
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS, options...)
	if err != nil {
		return err
	}
	return do(provider)
}

// buildIndexes executes what notification_cleanup_indexes() says, but for the table behind a view:
// that is its owner's.
func buildIndexes(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	rows, _ := conn.Query(ctx, `
		SELECT statement
		FROM notification_cleanup_indexes(), pg_class
		WHERE statement IS NOT NULL AND relkind <> 'v' AND oid = 'notifications'::regclass`)
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%w\nin %s", err, statement)
		}
	}
	return nil
}

// OurObjects is a query for the names of all that the migrations have made in the schema.
const OurObjects = `
	SELECT coalesce(string_agg(name, ' ' ORDER BY name), '')
	FROM (
		SELECT proname::text AS name
		FROM pg_proc
		WHERE pronamespace = current_schema()::regnamespace
		UNION ALL
		SELECT relname
		FROM pg_class
		WHERE relnamespace = current_schema()::regnamespace
			AND relkind IN ('r', 'v', 'i', 'p')
			AND relname ~ 'cleanup|_idx'
			AND relname !~ 'schema_version'
		UNION ALL
		SELECT typname
		FROM pg_type
		WHERE typnamespace = current_schema()::regnamespace AND typtype = 'd'
	) AS object`

// Definitions is a query for the text, comment and rights of all routines in the schema.
const Definitions = `
	SELECT string_agg(
		pg_get_functiondef(oid) || coalesce(obj_description(oid), '') || coalesce(proacl::text, ''),
		' ' ORDER BY proname
	)
	FROM pg_proc
	WHERE pronamespace = current_schema()::regnamespace`

// IndexesOfPartitions is a query for the indexes with a condition of partitions and of the table
// itself: on what, and whether they are valid.
const IndexesOfPartitions = `
	SELECT coalesce(string_agg(
		format(
			'%s %s %s',
			i.indrelid::regclass,
			split_part(pg_get_indexdef(i.indexrelid), 'btree ', 2),
			i.indisvalid
		),
		', ' ORDER BY i.indrelid::regclass::text, pg_get_indexdef(i.indexrelid)
	), '')
	FROM pg_index AS i
	JOIN pg_partition_tree('notifications') AS t ON t.relid = i.indrelid
	WHERE i.indpred IS NOT NULL`

// WantIndexes compares the tables that have both indexes, valid ones, and nothing else of that
// kind.
func (d *Database) WantIndexes(tables ...string) {
	d.T.Helper()
	var want []string
	for _, table := range tables {
		want = append(want,
			table+" (deleted_at) WHERE (deleted_at IS NOT NULL) t",
			table+" (user_id) WHERE (deleted_at IS NULL) t")
	}
	if got := One[string](d, IndexesOfPartitions); got != strings.Join(want, ", ") {
		d.T.Errorf("there are %s, want %s", got, strings.Join(want, ", "))
	}
	const missing = "SELECT statement FROM notification_cleanup_indexes() WHERE statement IS NOT NULL"
	if got := All[string](d, missing); len(got) > 0 {
		d.T.Errorf("to be built are %q", got)
	}
}
