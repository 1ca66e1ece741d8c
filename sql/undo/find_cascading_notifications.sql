-- Which of the listed notifications would take others along, if they were deleted for good, that
-- are live or were soft-deleted later: by foreign keys with ON DELETE CASCADE.
--
--     SELECT find_cascading_notifications('{16384}', '{"(0,1)"}');
--
-- The caller has locked what is listed, so that nothing new can refer to it meanwhile.
CREATE OR REPLACE FUNCTION find_cascading_notifications(relations oid[], places tid[])
RETURNS bigint[]  -- positions in the list; NULL: none
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
SET row_security = off
SET jit = off
-- From place to place: not by hashing or merging a whole small table for a list of some.
SET random_page_cost = 0
AS $$
DECLARE
    v_ways CONSTANT text := (
        SELECT string_agg(way, ' UNION ALL ')
        FROM notification_cascades() AS way
    );
    v_numbers bigint[];
BEGIN
    IF v_ways IS NULL THEN
        RETURN NULL;
    END IF;
    IF notification_shards('{}') IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'on Citus a purge cannot tell which other notifications a foreign key with '
                'ON DELETE CASCADE would delete along',
            DETAIL = 'Nothing was deleted.',
            HINT = 'Let the foreign key between notifications be one without CASCADE.';
    END IF;
    -- Dynamic, because the columns of the foreign keys are the application's.
    EXECUTE format(
        $query$
        WITH RECURSIVE taken (number, deleted_at, relation, place, may_go) AS (
            SELECT
                listed.number,
                n.deleted_at,
                listed.relation,
                listed.place,
                true
            FROM unnest($1, $2) WITH ORDINALITY AS listed (relation, place, number)
            JOIN notifications AS n ON n.tableoid = listed.relation
                AND n.ctid = listed.place
            UNION
            -- What is listed as well is looked at for itself.
            SELECT
                before.number,
                before.deleted_at,
                along.relation,
                along.place,
                coalesce(n.deleted_at <= before.deleted_at, false)
            FROM taken AS before
            CROSS JOIN LATERAL (%s) AS along (relation, place)
            -- What a view leaves out is not there, and is to stay.
            LEFT JOIN notifications AS n ON n.tableoid = along.relation
                AND n.ctid = along.place
            WHERE before.may_go
                AND (along.relation, along.place) NOT IN (
                    SELECT
                        listed.relation,
                        listed.place
                    FROM unnest($1, $2) AS listed (relation, place)
                )
        )
        SELECT array_agg(DISTINCT t.number)
        FROM taken AS t
        WHERE NOT t.may_go
        $query$,
        v_ways
    )
    INTO v_numbers
    USING
        find_cascading_notifications.relations,
        find_cascading_notifications.places;
    RETURN v_numbers;
END
$$;
COMMENT ON FUNCTION find_cascading_notifications(oid[], tid[]) IS
    'For try_restore_or_purge(): the positions of those listed notifications with which a foreign '
    'key with ON DELETE CASCADE would delete others that are live, or were soft-deleted later.';
