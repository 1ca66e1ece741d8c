-- Whether a time that was noted is one of the future: the clock was ahead then, or is behind now. A
-- minute is nothing, servers of one cluster differ by less.
CREATE OR REPLACE FUNCTION cleanup_time_is_ahead(noted_at timestamptz)
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
SELECT coalesce(cleanup_time_is_ahead.noted_at > clock_timestamp() + interval '1 minute', false)
$$;
COMMENT ON FUNCTION cleanup_time_is_ahead(timestamptz) IS
    'Whether this is more than a minute in the future.';
