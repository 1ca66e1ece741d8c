-- Made-up but realistic notifications, for `make demo`, `make psql` and experiments.
--
--     psql -v n=200000 -f sql/demo/demo_data.sql
--
-- Loads n notifications (200,000 unless set, 10,000 at least) of about n / 100 users into an empty
-- notifications table as the migrations create it. Everything is derived from row numbers by
-- hashing, so each run on each server makes the same rows. Inbox sizes have a heavy tail; five
-- users stand at the edges of the rule.
\set ON_ERROR_STOP on
\if :{?n}
\else
    \set n 200000
\endif

SELECT
    to_regclass('notifications') IS NOT NULL AS installed,
    set_config('demo.n', :'n', false) AS n
\gset
\if :installed
DO $$
BEGIN
    IF EXISTS (SELECT n.id FROM notifications AS n) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'notifications already has rows: '
                'demo data is only loaded into an empty table',
            HINT = 'Use an empty database, or unset DEMO_DATABASE_URL for a throw-away server.';
    END IF;
    IF current_setting('demo.n')::bigint < 10000 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('n = %s is too small for demo data', current_setting('demo.n')),
            HINT = 'n takes 10000 or more.';
    END IF;
END
$$;
\endif
-- With -v check=1 nothing is loaded: `make demo` asks before it installs anything.
\if :{?check}
    \q
\endif

BEGIN;

-- A number in [0, 1), the same for the same row and purpose everywhere.
CREATE FUNCTION pg_temp.chance(
    i bigint,
    purpose integer
)
RETURNS double precision
LANGUAGE sql
IMMUTABLE
RETURN (hashint8extended(i, purpose) & 4294967295) / 4294967296.0::double precision;

INSERT INTO notifications (
    id,
    user_id,
    type,
    title,
    message,
    data,
    status,
    read_at,
    created_at
)
SELECT
    md5('notification ' || series.i)::uuid,
    md5('user ' || owner.inbox)::uuid,
    kind.type,
    kind.title,
    format(kind.message, 1 + series.i % 97),
    jsonb_build_object('url', format(kind.url, series.i), 'actor_id', 1 + series.i % 4093),
    state.status,
    CASE
        WHEN state.status = 'read'
            THEN clock.created_at + pg_temp.chance(series.i, 3) * interval '2 days'
    END,
    clock.created_at
FROM generate_series(1, :n::bigint) AS series (i)
CROSS JOIN LATERAL (
    SELECT CASE
        -- This user is exactly at the limit, and has read all.
        WHEN series.i <= 1000 THEN -1
        -- One over the limit, all read.
        WHEN series.i <= 2001 THEN -2
        -- Over the limit with nothing but unread ones.
        WHEN series.i <= 3501 THEN -3
        -- Over the limit, a third archived.
        WHEN series.i <= 4901 THEN -4
        -- Over the limit, many with one and the same created_at.
        WHEN series.i <= 6401 THEN -5
        -- Everybody else: the few busiest inboxes hold most of the rows.
        ELSE floor(power(:n / 100, power(pg_temp.chance(series.i, 1), 0.7)))::bigint
    END AS inbox
) AS owner
CROSS JOIN LATERAL (
    -- A year of traffic, in the order of the rows.
    SELECT CASE
        WHEN owner.inbox = -5
            THEN timestamptz '2025-06-01 09:00:00+00' + (series.i / 500) * interval '1 day'
        ELSE timestamptz '2025-01-01 00:00:00+00'
            + (series.i + pg_temp.chance(series.i, 2)) / :n * interval '365 days'
    END AS created_at
) AS clock
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN owner.inbox = -3 THEN 'unread'
        WHEN owner.inbox = -4 AND series.i % 3 = 0 THEN 'archived'
        WHEN owner.inbox < 0 THEN 'read'
        -- The newer a notification is, the more likely it is unread.
        WHEN pg_temp.chance(series.i, 4) < 0.1 + 0.4 * power(series.i::double precision / :n, 4)
            THEN 'unread'
        ELSE 'read'
    END AS status
) AS state
JOIN (VALUES
    (0, 'comment', 'New comment', 'Comment %s on your post', '/posts/%s#comments'),
    (
        1,
        'mention',
        'You were mentioned',
        'Somebody mentioned you %s times in a discussion',
        '/discussions/%s'
    ),
    (2, 'invoice', 'Invoice paid', 'Your invoice over %s.00 EUR was paid', '/invoices/%s'),
    (
        3,
        'deploy',
        'Deployment finished',
        'Deployment took %s seconds, all checks passed',
        '/deployments/%s'
    ),
    (
        4,
        'digest',
        'Your weekly digest',
        'There were %s updates in your projects last week',
        '/digests/%s'
    )
) AS kind (number, type, title, message, url) ON kind.number = series.i % 5;

COMMIT;

-- The visibility map makes counting cheap; autovacuum does the same within a minute.
VACUUM (ANALYZE) notifications;
