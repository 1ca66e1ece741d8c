-- Which of the listed notifications take others along that are not listed, when they are deleted
-- for good: by a foreign key with ON DELETE CASCADE, or by a trigger. Deletes one by one to see it,
-- and takes all of that back.
--
--     SELECT find_purges_with_others('{16384}', '{"(0,1)"}', '{7}', '{1}', '{2025-01-01}');
--
-- They go in the order of the list: the newest first, so that of an answer and its question, both
-- listed, each goes alone.
CREATE OR REPLACE FUNCTION find_purges_with_others(
    relations oid[],
    places tid[],
    ids notification_id[],
    users notification_user_id[],
    created_ats notification_created_at[]
)
RETURNS bigint[]  -- positions in the list; NULL: not known, because something else refuses
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
AS $$
DECLARE
    v_tables CONSTANT oid[] := notification_siblings();
    v_deleted bigint := count_deleted_rows(v_tables);
    v_deleted_before bigint;
    v_listed record;
    v_numbers bigint[];
BEGIN
    FOR v_listed IN
        SELECT
            listed.number,
            listed.relation,
            listed.place,
            listed.id,
            listed.user_id,
            listed.created_at
        FROM unnest(
            find_purges_with_others.relations,
            find_purges_with_others.places,
            find_purges_with_others.ids,
            find_purges_with_others.users,
            find_purges_with_others.created_ats
        ) WITH ORDINALITY AS listed (relation, place, id, user_id, created_at, number)
        ORDER BY listed.number
    LOOP
        DELETE FROM notifications AS n
        WHERE n.tableoid = v_listed.relation
            AND n.ctid = v_listed.place
            AND n.id = v_listed.id
            AND (n.deleted_at IS NOT NULL) IS TRUE
            AND (n.user_id = v_listed.user_id OR n.user_id IS NULL)
            AND (n.created_at = v_listed.created_at OR n.created_at IS NULL);
        v_deleted_before := v_deleted;
        v_deleted := count_deleted_rows(v_tables);
        IF v_deleted - v_deleted_before > 1 THEN
            v_numbers := v_numbers || v_listed.number;
        END IF;
    END LOOP;
    -- All of it is taken back, but not what the variables say.
    RAISE EXCEPTION USING ERRCODE = 'NC001', MESSAGE = 'taken back';
EXCEPTION
    WHEN SQLSTATE 'NC001' THEN
        RETURN v_numbers;
    WHEN assert_failure OR OTHERS THEN
        RETURN NULL;
END
$$;
COMMENT ON FUNCTION
    find_purges_with_others(
        oid[], tid[], notification_id[], notification_user_id[], notification_created_at[]
    )
IS
    'For try_restore_or_purge(): the positions of those listed notifications that take others '
    'along, which are not listed, when they are deleted for good.';
