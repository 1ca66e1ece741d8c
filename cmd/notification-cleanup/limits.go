package main

import (
	"context"
	"fmt"
)

// limits draws what some limits would delete, MAX_NOTIFICATIONS among them, and how many notifications users have.
func (a *app) limits(ctx context.Context) error {
	const limits = ` FROM preview_notification_limits(ARRAY(SELECT l FROM unnest('{100,250,500,1000,2000,5000,10000}'::integer[] || $1::integer) AS l WHERE l >= $2), $2) AS l`
	if a.cfg.Format == "json" {
		return a.print(ctx, `SELECT *`+limits, a.cfg.MaxNotifications, a.cfg.MinKeep)
	}
	var looks string
	const all = `SELECT json_agg(r)::text FROM (SELECT l.*, s.users_with_notifications AS users` + limits + ` CROSS JOIN notification_stats() AS s) AS r`
	if err := a.pool.QueryRow(ctx, all, a.cfg.MaxNotifications, a.cfg.MinKeep).Scan(&looks); err != nil {
		return err
	}
	const record = ` FROM json_to_recordset($1::json) AS l (max_notifications int, users_over_limit bigint, users_still_over_limit bigint,
		deletable_notifications bigint, deletable_percent numeric, users bigint)`
	if err := a.print(ctx, `SELECT max_notifications AS "limit", users_over_limit AS users_over_it, users_still_over_limit AS even_then, deletable_notifications AS to_delete,
		to_char(deletable_percent, '990.0 %') AS of_all, repeat('█', ceil(25.0 * deletable_notifications / greatest(max(deletable_notifications) OVER (), 1))::int) AS " "`+
		record+` ORDER BY 1`, looks); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	return a.print(ctx, `SELECT to_char(h.above + 1, 'FM9,999,999,999') || coalesce(' to ' || to_char(h.most, 'FM9,999,999,999'), ' and more') AS notifications, h.users,
			repeat('█', ceil(25 * ln(1 + h.users) / ln(greatest(max(1 + h.users) OVER (), 2)))::int) AS "(logarithmic)"
		FROM (
			SELECT e.most, lag(e.most, 1, 0) OVER w AS above, lag(e.over, 1, e.users) OVER w - e.over AS users
			FROM (SELECT max_notifications, users_over_limit, users`+record+` UNION ALL SELECT NULL, 0, 0) AS e (most, over, users) WINDOW w AS (ORDER BY e.most)
		) AS h`, looks)
}
