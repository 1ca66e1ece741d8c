package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// doctor prints what is wrong and what to do, or, before an installation, what that would do. It
// fails where a check has the severity failure.
func (a *app) doctor(ctx context.Context) error {
	const judged = `SELECT json_agg(f)::text, count(*) FILTER (WHERE f.severity = 'failure') FROM `
	var findings string
	var failures int
	err := a.pool.QueryRow(ctx, judged+`notification_cleanup_doctor() AS f`).Scan(&findings, &failures)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "42883" { // no such function
		if pgErr, err = a.firstMigration(ctx); pgErr != nil {
			err = a.pool.QueryRow(ctx, judged+beforeInstallation, pgErr.Code, pgErr.Message, pgErr.Hint).
				Scan(&findings, &failures)
		}
	}
	if err != nil {
		return err
	}
	print := `SELECT * FROM json_to_recordset($1::json)
		AS f (name text, severity text, found text, advice text)`
	if a.cfg.Format == "text" {
		print = `SELECT l.* FROM (` + print + `) AS f
			CROSS JOIN LATERAL (VALUES (f.severity, f.name, f.found), ('', '', '-> ' || f.advice))
				AS l (" ", what, "found, and -> what to do")
			WHERE l.what > '' OR f.advice > ''`
	}
	err = a.print(ctx, print, findings)
	if err == nil && failures > 0 {
		err = fmt.Errorf("something is wrong, in %d of the checks", failures)
	}
	return err
}

// firstMigration tries the first two, which check and create, where nothing can be written: they
// refuse there what they would refuse, or end at the first change.
func (a *app) firstMigration(ctx context.Context) (pgErr *pgconn.PgError, err error) {
	err = pgx.BeginTxFunc(ctx, a.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		up := upStatements("00001_checks.sql") + upStatements("00002_tables.sql")
		return tx.Conn().PgConn().Exec(ctx, up).Close()
	})
	errors.As(err, &pgErr)
	return pgErr, err
}

const beforeInstallation = `(
	SELECT
		'rights' AS name,
		CASE WHEN m.may THEN 'ok' ELSE 'failure' END AS severity,
		CASE WHEN m.may THEN 'enough to install' ELSE 'not enough to install' END AS found,
		CASE
			WHEN NOT m.may
				THEN 'It takes the owner of the table, with CREATE on its schema, on the primary.'
		END AS advice
	FROM (
		SELECT NOT pg_is_in_recovery()
			AND coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
			AND NOT EXISTS (
				SELECT
				FROM pg_class AS c
				WHERE c.oid = to_regclass('notifications')
					AND c.relkind <> 'v'
					AND NOT pg_has_role(c.relowner, 'USAGE')
			)
	) AS m (may)
	UNION ALL
	-- Up to its first change, which fails with 25006, the migration had no objection.
	SELECT
		'installation',
		CASE WHEN $1 = '25006' THEN 'note' ELSE 'failure' END,
		CASE
			WHEN $1 <> '25006' THEN 'migrate up refuses: ' || $2
			WHEN to_regclass('notifications') IS NULL THEN 'none; migrate up creates notifications'
			WHEN $2 LIKE '%ALTER TABLE%'
				THEN 'none; migrate up adopts notifications, and adds deleted_at'
			ELSE 'none; migrate up adopts notifications as it is'
		END,
		nullif($3, '')
) AS f`
