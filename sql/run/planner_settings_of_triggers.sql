-- The settings of the planner that the calling routine has pinned for a statement of its own, each
-- with the value that it has in a new session:
--
--     SELECT * FROM planner_settings_of_triggers();
--
-- The statement takes these values when it has been planned, because the triggers of the
-- application are planned while it runs. Ours would make them read whole tables: a trigger that
-- joins two, for example, on PostgreSQL 18.
CREATE OR REPLACE FUNCTION planner_settings_of_triggers()
RETURNS TABLE (
    names text[],
    new_values text[]
)
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT
    coalesce(array_agg(s.name), '{}') AS names,
    coalesce(array_agg(s.reset_val), '{}') AS new_values
FROM pg_settings AS s
WHERE s.setting IS DISTINCT FROM s.reset_val
    AND notification_shards('{}') IS NULL  -- Citus has no triggers on rows
    AND (
        s.name LIKE 'enable\_%'
        OR s.name LIKE '%\_cost'
        OR s.name IN ('plan_cache_mode', 'jit')
    )
$$;
COMMENT ON FUNCTION planner_settings_of_triggers() IS
    'For sweep_cleanup_batch(), restore_listed_notifications() and purge_listed_notifications(): '
    'the names of the settings of the planner that differ from those of a new session, and their '
    'values there.';
