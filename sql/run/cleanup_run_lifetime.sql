-- How long after its last batch a run that did not end is continued by the next plan. An older one
-- is given up: what it was to delete may have changed too much.
CREATE OR REPLACE FUNCTION cleanup_run_lifetime()
RETURNS interval
LANGUAGE sql
IMMUTABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT make_interval(hours => 36)
$$;
COMMENT ON FUNCTION cleanup_run_lifetime() IS
    'How long after its last batch a run that did not end can still be continued.';
