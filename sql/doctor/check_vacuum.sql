-- sql/doctor/check_vacuum.sql: counting by user stays index-only while the visibility map is fresh,
-- which takes a VACUUM now and then, and an autovacuum that does not wait for a fifth of the table.
WITH settings AS (
    SELECT
        t.relation,
        t.visible_share,
        max(o.option_value) FILTER (
            WHERE o.option_name = 'autovacuum_enabled'
        )::boolean IS FALSE AS is_off,
        coalesce(
            max(o.option_value) FILTER (
                WHERE o.option_name = 'autovacuum_vacuum_scale_factor'
            ),
            current_setting('autovacuum_vacuum_scale_factor')
        )::numeric AS scale_factor
    FROM notification_tables() AS t
    JOIN pg_class AS c ON c.oid = t.relation
    LEFT JOIN LATERAL pg_options_to_table(c.reloptions) AS o ON true
    WHERE t.pages >= 1000
    GROUP BY
        t.relation,
        t.visible_share
)
SELECT
    CASE
        WHEN bool_and(
            s.visible_share >= 0.9
            AND s.scale_factor <= 0.05
            AND NOT s.is_off
        ) IS NOT FALSE THEN 'ok'
        ELSE 'warning'
    END AS severity,
    string_agg(
        format(
            '%s: %s %% of pages all-visible, %s',
            s.relation,
            floor(100 * s.visible_share),
            CASE
                WHEN s.is_off THEN 'autovacuum is off'
                ELSE 'scale factor ' || s.scale_factor
            END
        ),
        '; '
    ) AS found,
    string_agg(
        format(
            'ALTER TABLE %s SET (autovacuum_enabled = on, autovacuum_vacuum_scale_factor = 0.01, '
            'autovacuum_vacuum_insert_scale_factor = 0.01); VACUUM %1$s;',
            s.relation
        ),
        ' '
    ) AS advice
FROM settings AS s;
