-- Every statement of every routine once. A mutant for which PostgreSQL finds a mistake of syntax,
-- names or types here is one that it cannot understand, and not one that a test has killed.
SET statement_timeout = '10s';
INSERT INTO notifications (user_id, status)
SELECT md5('1')::uuid, 'read' FROM generate_series(1, 3);
SELECT * FROM preview_notification_cleanup(1, 0);
SELECT * FROM explain_notification_cleanup(md5('1')::uuid, 1, 0);
SELECT * FROM preview_notification_limits(ARRAY[1], 0);
SELECT * FROM notification_stats(1);
SELECT * FROM notification_replicas();
SELECT * FROM cleanup_notifications(1, 0);
SELECT restore_next_batch(1, 1);
SELECT restore_notifications(1);
SELECT * FROM plan_notification_cleanup(1, 0, 1, 1, '1 hour');
SELECT cleanup_next_batch(2);
SELECT stop_notification_cleanup(2);
SELECT suspend_notification_cleanup('smoke');
SELECT * FROM notification_cleanup_health;
SELECT resume_notification_cleanup();
CALL cleanup_notifications_in_batches(1, 0);
SELECT purge_notifications('1 microsecond');
SELECT * FROM notification_cleanup_doctor();
