SELECT
    coalesce(e.id::text, '') AS id,
    coalesce(e.created_at::text, '') AS created_at,
    e.newest,
    e.fate,
    e.reason
FROM explain_notification_cleanup($1::text::notification_user_id, $2, $3) AS e
