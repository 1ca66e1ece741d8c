-- Numbers the batches of a run so that they take turns in the shards, and several workers are at
-- work on several nodes:
--
--     SELECT spread_batches_over_shards(7);
--
-- Elsewhere than on Citus the batches stay in the order of the table.
CREATE OR REPLACE FUNCTION spread_batches_over_shards(run_id bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    WITH turns AS (
        SELECT
            b.number,
            b.shard,
            row_number() OVER (PARTITION BY b.shard ORDER BY b.number) AS turn,
            max(b.number) OVER () AS last_number
        FROM notification_cleanup_batches AS b
        WHERE b.run_id = spread_batches_over_shards.run_id
            AND b.shard IS NOT NULL
    ),
    -- Behind the numbers that there are, since none may stand twice meanwhile.
    renumbered AS (
        SELECT
            t.number,
            t.last_number + row_number() OVER (ORDER BY t.turn, t.shard) AS new_number
        FROM turns AS t
    )
    UPDATE notification_cleanup_batches AS b
    SET number = r.new_number
    FROM renumbered AS r
    WHERE b.run_id = spread_batches_over_shards.run_id
        AND b.number = r.number;
END
$$;
COMMENT ON FUNCTION spread_batches_over_shards(bigint) IS
    'For open_notification_cleanup(): lets the batches of a run take turns in the shards of Citus.';
