package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) purgeCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use:     "purge",
		GroupID: undo,
		Short:   "delete for good what was soft-deleted longer than RETENTION ago",
		Long: "Deletes for good what was soft-deleted longer than RETENTION ago, by a run or by your " +
			"application, oldest first, batch by batch. What is purged cannot be restored. " +
			"What a foreign key or a trigger refuses is noted and skipped. " +
			"Then the exit status is 1.",
		Example: "  notification-cleanup purge --retention '90 days' --dry-run\n" +
			"  notification-cleanup purge --retention '90 days'",
		Args: noArguments,
		RunE: a.connected(a.purge),
	}, "RETENTION", "DRY_RUN", "BATCH_SIZE")
}

func (a *app) purge(ctx context.Context, _ []string) error {
	const expired = `
		SELECT count(*)
		FROM notifications
		WHERE deleted_at < now() - make_interval(secs => $1)`
	const batch = `SELECT purge_next_batch(make_interval(secs => $1), $2)`
	const refused = `
		SELECT count(*)
		FROM notification_cleanup_refused
		WHERE operation = 'purge'
			AND deleted_at < now() - make_interval(secs => $1)`
	retention := a.cfg.Retention.Seconds()
	return a.repeat(ctx, chore{
		doing:   "purging",
		done:    "purged",
		expect:  query{expired, []any{retention}},
		batch:   query{batch, []any{retention, a.cfg.BatchSize}},
		refused: query{refused, []any{retention}},
	})
}
