-- Restores or purges the listed notifications, which the caller has locked. Where one refuses, the
-- others are done all the same: a list that fails is halved, down to the single notification, which
-- is noted in notification_cleanup_refused.
--
--     SELECT * FROM restore_or_purge(
--         'restore', 60, '{16384}', '{"(0,1)"}', '{7}', '{1}', '{2025-01-01}', '{2025-06-01}'
--     );
--
-- Each attempt is a subtransaction, and more than 64 of them in one transaction slow down every
-- other session. So what max_attempts do not suffice for is left as it is.
CREATE OR REPLACE FUNCTION restore_or_purge(
    operation text,
    max_attempts integer,
    relations oid[],
    places tid[],
    ids notification_id[],
    users notification_user_id[],
    created_ats notification_created_at[],
    deleted_ats timestamptz[],
    OUT done bigint,
    OUT refused bigint,
    OUT attempts integer
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET row_security = off
AS $$
DECLARE
    v_size CONSTANT bigint := cardinality(restore_or_purge.places)::bigint;
    v_outcome record;
    v_refused bigint[] := ARRAY[]::bigint[];  -- positions, where they are known
    v_part record;
    v_result record;
BEGIN
    restore_or_purge.done := 0;
    restore_or_purge.refused := 0;
    restore_or_purge.attempts := 0;
    IF restore_or_purge.max_attempts < 1 THEN
        RETURN;
    END IF;

    v_outcome := try_restore_or_purge(
        restore_or_purge.operation,
        restore_or_purge.relations,
        restore_or_purge.places,
        restore_or_purge.ids,
        restore_or_purge.users,
        restore_or_purge.created_ats
    );
    restore_or_purge.attempts := v_outcome.attempts;
    IF v_outcome.code IS NULL THEN
        restore_or_purge.done := v_size;
        RETURN;
    END IF;

    IF v_outcome.kept IS NOT NULL THEN
        v_refused := v_outcome.kept;
    ELSIF v_size = 1 THEN
        v_refused := ARRAY[1];
    END IF;
    IF v_refused <> '{}' THEN
        INSERT INTO notification_cleanup_refused (
            operation,
            deleted_at,
            id,
            user_id,
            sqlstate,
            detail,
            relation,
            place
        )
        SELECT
            restore_or_purge.operation,
            listed.deleted_at,
            listed.id,
            listed.user_id,
            v_outcome.code,
            v_outcome.detail,
            listed.relation,
            listed.place
        FROM unnest(
            restore_or_purge.deleted_ats,
            restore_or_purge.ids,
            restore_or_purge.users,
            restore_or_purge.relations,
            restore_or_purge.places
        ) WITH ORDINALITY AS listed (deleted_at, id, user_id, relation, place, number)
        WHERE listed.number = ANY (v_refused)
        ORDER BY listed.number;
        GET DIAGNOSTICS restore_or_purge.refused = ROW_COUNT;
    END IF;

    -- The others, in one part where it is known who refuses, else in two.
    FOR v_part IN
        SELECT
            array_agg(listed.relation ORDER BY listed.number) AS relations,
            array_agg(listed.place ORDER BY listed.number) AS places,
            array_agg(listed.id ORDER BY listed.number) AS ids,
            array_agg(listed.user_id ORDER BY listed.number) AS users,
            array_agg(listed.created_at ORDER BY listed.number) AS created_ats,
            array_agg(listed.deleted_at ORDER BY listed.number) AS deleted_ats
        FROM unnest(
            restore_or_purge.relations,
            restore_or_purge.places,
            restore_or_purge.ids,
            restore_or_purge.users,
            restore_or_purge.created_ats,
            restore_or_purge.deleted_ats
        ) WITH ORDINALITY
            AS listed (relation, place, id, user_id, created_at, deleted_at, number)
        WHERE listed.number <> ALL (v_refused)
        GROUP BY v_refused = '{}' AND listed.number > v_size / 2
        ORDER BY min(listed.number)
    LOOP
        v_result := restore_or_purge(
            restore_or_purge.operation,
            restore_or_purge.max_attempts - restore_or_purge.attempts,
            v_part.relations,
            v_part.places,
            v_part.ids,
            v_part.users,
            v_part.created_ats,
            v_part.deleted_ats
        );
        restore_or_purge.done := restore_or_purge.done + v_result.done;
        restore_or_purge.refused := restore_or_purge.refused + v_result.refused;
        restore_or_purge.attempts := restore_or_purge.attempts + v_result.attempts;
    END LOOP;
END
$$;
COMMENT ON FUNCTION
    restore_or_purge(
        text,
        integer,
        oid[],
        tid[],
        notification_id[],
        notification_user_id[],
        notification_created_at[],
        timestamptz[]
    )
IS
    'For restore_next_batch() and purge_notifications(), which are what to call: restores or '
    'purges the listed notifications, and returns how many it has done, how many refused and were '
    'noted, and how many attempts that took.';
