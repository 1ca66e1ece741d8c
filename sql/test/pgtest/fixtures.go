package pgtest

import (
	"fmt"
	"strings"
	"time"
)

// Users, by their numbers.
const (
	Alice = 1
	Bob   = 2
	Carol = 3
)

// Key is the id or user_id with this number, as a literal for a uuid, a bigint or a text column.
func Key(number int) string { return fmt.Sprintf("'%032d'", number) }

// UserIDs is the argument user_ids for these users.
func UserIDs(numbers ...int) string {
	keys := make([]string, len(numbers))
	for i, number := range numbers {
		keys[i] = strings.Trim(Key(number), "'")
	}
	return "user_ids => '{" + strings.Join(keys, ",") + "}'"
}

// The numbers behind the ids, in SQL.
const (
	NotificationNumber = `ltrim(replace(id::text, '-', ''), '0')::integer`
	UserNumber         = `ltrim(replace(user_id::text, '-', ''), '0')::integer`
)

// FirstNotification is the condition for the notification with the number 1.
var FirstNotification = "id = " + Key(1)

// Insert gives the user the notifications numbered first to last, stored in no particular order.
// Their ids are their numbers, and each was created a minute after the one before it.
func (d *Database) Insert(user int, status string, first, last int) {
	d.T.Helper()
	d.Exec(fmt.Sprintf(`INSERT INTO notifications (id, user_id, status, created_at)
SELECT
	lpad(i::text, 32, '0')::%s,
	%s,
	'%s',
	timestamptz '2025-01-01 00:00Z' + i * interval '1 minute'
FROM generate_series(%d, %d) AS i
ORDER BY hashint4(i)`, d.typeOf("id"), Key(user), status, first, last))
}

func (d *Database) typeOf(column string) string {
	return One[string](d, fmt.Sprintf(`SELECT format_type(atttypid, atttypmod) FROM pg_attribute
		WHERE attrelid = 'notifications'::regclass AND attname = '%s'`, column))
}

// InsertMixed makes an inbox of each kind: Alice and Bob are over the limit with something to
// delete, Carol without, and the next user is at it.
func (d *Database) InsertMixed() {
	d.T.Helper()
	d.Insert(Alice, "read", 1, 1100)
	d.Set("status = 'archived'", 1, 100)
	d.Set("status = 'unread'", 101, 150)
	d.Set("created_at = 'infinity'", 151, 160)
	d.Set("deleted_at = '2025-06-01Z'", 161, 170)
	d.Insert(Bob, "read", 2001, 3001)
	d.Insert(Carol, "unread", 4001, 5001)
	d.Insert(Carol+1, "read", 6001, 7000)
}

// InsertWide gives the user notifications of which four fill a page, in the order of their
// numbers; between them lie pages without any of this user's.
func (d *Database) InsertWide(user, first, last, emptyPages int) {
	d.T.Helper()
	d.Exec(fmt.Sprintf(`ALTER TABLE notifications ALTER message SET STORAGE PLAIN;
INSERT INTO notifications (id, user_id, status, created_at, message)
SELECT
	CASE WHEN page = 0 THEN lpad(i::text, 32, '0')::uuid ELSE gen_random_uuid() END,
	CASE WHEN page = 0 THEN %[1]s ELSE gen_random_uuid() END,
	'read',
	timestamptz '2025-01-01 00:00Z' + i * interval '1 minute',
	repeat('x', CASE WHEN page = 0 AND %[4]d > 0 THEN 7500 ELSE 1900 END)
FROM generate_series(%[2]d, %[3]d) AS i, generate_series(0, %[4]d * 4) AS page
ORDER BY i, page`, Key(user), first, last, emptyPages))
}

// RowsPerPage makes the notifications to be inserted so long that no more than these have room on
// a page. With one, some pages hold only what is kept: then there are fewer victims than pages, and
// a batch is some users. With more, it is a range of pages.
func (d *Database) RowsPerPage(n int) {
	d.T.Helper()
	if !OnCitus() { // there it is so from the beginning
		d.Exec("ALTER TABLE notifications ALTER message SET STORAGE PLAIN")
	}
	const message = "ALTER TABLE notifications ALTER message SET DEFAULT repeat('x', %d)"
	d.Exec(fmt.Sprintf(message, 7600/n-100))
}

// Set changes the notifications numbered first to last.
func (d *Database) Set(assignment string, first, last int) {
	d.T.Helper()
	d.Exec(fmt.Sprintf(`UPDATE notifications SET %s WHERE %s BETWEEN %d AND %d`,
		assignment, NotificationNumber, first, last))
}

// Move makes a new version of the notifications that satisfy the condition, on another page where
// theirs are full.
func (d *Database) Move(condition string) {
	d.T.Helper()
	d.Exec("UPDATE notifications SET title = 'moved' WHERE " + condition)
}

// Vacuum makes each page of the table all-visible. A session that starts elsewhere on the server,
// and is in no database yet, can delay that. Where only a few rows are dead, as after a rehearsal,
// VACUUM would leave them, and their pages, as they are unless it is told to clean indexes too.
func (d *Database) Vacuum(table string) {
	d.T.Helper()
	visible := "SELECT relallvisible = relpages FROM pg_class WHERE oid = '" + table + "'::regclass"
	for deadline := time.Now().Add(20 * time.Second); ; {
		d.Exec("VACUUM (ANALYZE, INDEX_CLEANUP on) " + table)
		if One[bool](d, visible) {
			return
		}
		if time.Now().After(deadline) {
			d.T.Fatalf("%s is not all-visible", table)
		}
	}
}

// Numbers returns the numbers of the notifications that satisfy the condition, as in "1-901 950".
func (d *Database) Numbers(condition string) string {
	d.T.Helper()
	return Ranges(All[int](d, fmt.Sprintf(`SELECT %s FROM notifications WHERE %s ORDER BY 1`,
		NotificationNumber, condition)))
}

// Ranges writes sorted numbers as in "1-901 950".
func Ranges(numbers []int) string {
	var words []string
	for i := 0; i < len(numbers); {
		first := i
		for i++; i < len(numbers) && numbers[i] == numbers[i-1]+1; i++ {
		}
		word := fmt.Sprint(numbers[first])
		if i-first > 1 {
			word += fmt.Sprint("-", numbers[i-1])
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// Numbered returns the numbers that Ranges has written.
func Numbered(ranges string) (numbers []int) {
	for _, word := range strings.Fields(ranges) {
		var first, last int
		if n, _ := fmt.Sscanf(word, "%d-%d", &first, &last); n == 1 {
			last = first
		}
		for ; first <= last; first++ {
			numbers = append(numbers, first)
		}
	}
	return numbers
}

// Inboxes fills three users over the limit: 1 has 1100 read, 2 has 1050 read, 3 has 1200 unread
// notifications. 1950 of them go.
const Inboxes = `
	INSERT INTO notifications (id, user_id, status, created_at)
	SELECT
		md5(u || ' ' || i)::uuid,
		md5(u::text)::uuid,
		status,
		timestamptz '2025-01-01 00:00:00Z' + i * interval '1 minute'
	FROM (VALUES (1, 1100, 'read'), (2, 1050, 'read'), (3, 1200, 'unread')) AS inbox (u, size, status),
		generate_series(1, size) AS i`

// Expired is 40 notifications that are deleted already, one a day: the newest 35 days ago.
const Expired = `
	INSERT INTO notifications (id, user_id, status, created_at, deleted_at)
	SELECT
		md5(i::text)::uuid,
		md5('u')::uuid,
		'read',
		'2025-01-01',
		now() - interval '34 days' - i * interval '1 day'
	FROM generate_series(1, 40) AS i`

// LiveChecksum is a query for a checksum of the notifications and of which are live.
const LiveChecksum = `
	SELECT md5(string_agg(id || ' ' || (deleted_at IS NULL), ' ' ORDER BY id)) FROM notifications`

// RowsRead is a query for how many rows of the table the transaction has read.
const RowsRead = `
	SELECT idx_tup_fetch + seq_tup_read
	FROM pg_stat_xact_user_tables
	WHERE relname = 'notifications'`

// EveryRoutine is a call of every routine, in an order in which each has something to do. The
// first two only look.
var EveryRoutine = []string{
	"SELECT * FROM preview_notification_cleanup()",
	"SELECT * FROM notification_stats()",
	"SELECT * FROM cleanup_notifications()",
	"SELECT restore_next_batch(1, 900)",
	"SELECT restore_notifications(1)",
	"SELECT * FROM plan_notification_cleanup()",
	"SELECT cleanup_next_batch(2)",
	"CALL cleanup_notifications_in_batches()",
	"SELECT purge_notifications('1 microsecond')",
}
