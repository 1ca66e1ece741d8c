-- Restores or purges all of the listed notifications, or none and tells what refused:
--
--     SELECT * FROM try_restore_or_purge(
--         'restore', '{16384}', '{"(0,1)"}', '{7}', '{1}', '{2025-01-01}'
--     );
CREATE OR REPLACE FUNCTION try_restore_or_purge(
    operation text,
    relations oid[],
    places tid[],
    ids notification_id[],
    users notification_user_id[],
    created_ats notification_created_at[],
    OUT code text,
    OUT detail text,
    OUT kept bigint[],
    OUT attempts integer
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_is_distributed CONSTANT boolean := notification_shards('{}') IS NOT NULL;
    v_done bigint[];
BEGIN
    try_restore_or_purge.attempts := 1;
    BEGIN
        -- From here on a deferred constraint refuses at the end of the statement that offends it,
        -- not in a COMMIT for all that the transaction has done.
        SET CONSTRAINTS ALL IMMEDIATE;
        IF try_restore_or_purge.operation = 'restore' THEN
            v_done := restore_listed_notifications(
                try_restore_or_purge.relations,
                try_restore_or_purge.places,
                try_restore_or_purge.ids,
                try_restore_or_purge.users,
                try_restore_or_purge.created_ats
            );
        ELSE
            v_done := purge_listed_notifications(
                try_restore_or_purge.relations,
                try_restore_or_purge.places,
                try_restore_or_purge.ids,
                try_restore_or_purge.users,
                try_restore_or_purge.created_ats
            );
        END IF;
        IF cardinality(v_done) = cardinality(try_restore_or_purge.places) THEN
            RETURN;
        END IF;
        try_restore_or_purge.kept := ARRAY(
            SELECT generate_series(1, cardinality(try_restore_or_purge.places))::bigint
            EXCEPT
            SELECT unnest(v_done)
        );
        RAISE EXCEPTION USING
            ERRCODE = 'triggered_data_change_violation',
            MESSAGE = CASE try_restore_or_purge.operation
                WHEN 'restore' THEN
                    'a trigger or rule keeps it deleted, or writes another deleted_at'
                ELSE
                    'a trigger or rule keeps it, or changes it instead of deleting it'
            END;
    EXCEPTION
        WHEN assert_failure OR OTHERS THEN
            -- No notification refuses where somebody is in the way, the caller has had enough, or
            -- the server lacks or has lost something: that is for the caller.
            IF left(SQLSTATE, 2) IN ('08', '25', '40', '53', '57', '58', 'XX')
                OR SQLSTATE IN ('55006', '55P03')  -- object in use, lock not available
                -- On Citus no trigger raises such an error for one notification.
                OR v_is_distributed AND left(SQLSTATE, 2) IN ('0A', '42')
            THEN
                RAISE;
            END IF;
            GET STACKED DIAGNOSTICS
                try_restore_or_purge.code = RETURNED_SQLSTATE,
                try_restore_or_purge.detail = PG_EXCEPTION_DETAIL;
            try_restore_or_purge.detail := concat_ws(
                ': ',
                SQLERRM,
                CASE
                    -- There it is the whole notification, which is nothing for a log.
                    WHEN try_restore_or_purge.code NOT IN ('23502', '23514')
                        THEN nullif(try_restore_or_purge.detail, '')
                END
            );
    END;
    -- To look at each of many takes as long as some attempts.
    IF try_restore_or_purge.operation = 'purge'
        AND try_restore_or_purge.code = '23000'
        AND cardinality(try_restore_or_purge.places) > 1
    THEN
        try_restore_or_purge.kept := find_purges_with_others(
            try_restore_or_purge.relations,
            try_restore_or_purge.places,
            try_restore_or_purge.ids,
            try_restore_or_purge.users,
            try_restore_or_purge.created_ats
        );
        try_restore_or_purge.attempts := 10;
    END IF;
    -- What fails without any notification, as a missing right does, is nothing to be noted for one.
    -- Citus takes no list of none.
    IF v_is_distributed THEN
        RETURN;
    END IF;
    IF try_restore_or_purge.operation = 'restore' THEN
        PERFORM restore_listed_notifications('{}', '{}', '{}', '{}', '{}');
    ELSE
        PERFORM purge_listed_notifications('{}', '{}', '{}', '{}', '{}');
    END IF;
END
$$;
COMMENT ON FUNCTION
    try_restore_or_purge(
        text, oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    )
IS
    'For restore_or_purge(): restores or purges all of the listed notifications, in a '
    'subtransaction. Where that fails it leaves all of them as they were, and returns the code and '
    'detail of the error. kept: the positions of those that a trigger or rule keeps from it, or '
    'that would take others along, where that is the reason. attempts: for how many it counts.';
