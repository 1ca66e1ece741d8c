-- Which standbys and slots there are, and how far each of them has come.
--
--     SELECT * FROM notification_replicas();
CREATE OR REPLACE FUNCTION notification_replicas()
RETURNS TABLE (
    replica text,
    lsn pg_lsn
)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
AS $$
BEGIN
    IF NOT pg_has_role('pg_read_all_stats'::name, 'USAGE') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format(
                'max_replica_lag: %I may not see how far the standbys are behind',
                current_user
            ),
            HINT = format(
                'GRANT pg_read_all_stats TO %I, or leave max_replica_lag NULL.',
                current_user
            );
    END IF;
    RETURN QUERY
    SELECT
        format('standby %I', r.application_name),
        r.replay_lsn
    FROM pg_stat_replication AS r
    WHERE r.replay_lsn IS NOT NULL
    UNION ALL
    -- An active physical slot is that of a standby, which is listed above, or of a backup.
    SELECT
        format('%s slot %I', s.slot_type, s.slot_name),
        coalesce(s.confirmed_flush_lsn, s.restart_lsn)
    FROM pg_replication_slots AS s
    WHERE s.wal_status <> 'lost'
        AND (s.slot_type = 'logical' OR NOT s.active);
END
$$;
COMMENT ON FUNCTION notification_replicas() IS
'What max_replica_lag waits for: each standby with the position that it has replayed, each logical '
'slot with the position that its reader has confirmed, and each slot of a standby that is away.';
