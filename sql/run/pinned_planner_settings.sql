-- The settings of the planner that a routine has pinned for a statement of its own, each with the
-- value that it has in a new session:
--
--     SELECT * FROM pinned_planner_settings('purge_listed_notifications'::regproc);
--
-- The statement takes these values after it has been planned, because the triggers of the
-- application are planned while it runs. With ours, a trigger that joins two tables would read both
-- of them for each row. No others are touched: they would stay so until the end of the transaction.
CREATE OR REPLACE FUNCTION pinned_planner_settings(
    routine regproc,
    OUT names text[],
    OUT new_values text[]
)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT
    coalesce(array_agg(s.name), '{}') AS names,
    coalesce(array_agg(s.reset_val), '{}') AS new_values
FROM pg_proc AS p
CROSS JOIN unnest(p.proconfig) AS pinned (setting)
JOIN pg_settings AS s ON s.name = split_part(pinned.setting, '=', 1)
WHERE p.oid = pinned_planner_settings.routine
    AND s.setting IS DISTINCT FROM s.reset_val
    -- Citus has no triggers on rows. The type tells which installation's is meant.
    AND notification_shards('{}'::notification_user_id[]) IS NULL
    AND (
        starts_with(s.name, 'enable_')
        OR right(s.name, 5) = '_cost'
        OR s.name IN ('plan_cache_mode', 'jit')
    )
$$;
COMMENT ON FUNCTION pinned_planner_settings(regproc) IS
    'For sweep_cleanup_batch(), restore_listed_notifications() and purge_listed_notifications(): '
    'the names of the settings of the planner that the routine has pinned and that are others in '
    'a new session, and their values there.';
