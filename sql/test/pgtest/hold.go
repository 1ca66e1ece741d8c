package pgtest

import (
	"slices"
	"time"
)

// Blocked is a query that is true while another session waits for a lock.
const Blocked = `
	SELECT EXISTS (
		SELECT FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()
	)`

// NotBlocked is a query that is true while none does.
const NotBlocked = `
	SELECT NOT EXISTS (
		SELECT FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()
	)`

// Alone is a query that is true when no other session is at work, or on its way out: a backend
// answers before it lets go of its locks.
const Alone = `
	SELECT count(*) = 1
	FROM pg_stat_activity
	WHERE datname = current_database() AND backend_type = 'client backend' AND state <> 'idle'`

// Hold keeps the notifications that satisfy the condition locked in another session, to the end of
// its transaction.
func (d *Database) Hold(condition string) (other *Database) {
	d.T.Helper()
	other = d.OpenSession()
	if OnCitus() { // which locks rows by SELECT in one shard only
		other.Exec("BEGIN; UPDATE notifications SET title = title WHERE " + condition)
	} else {
		other.Exec("BEGIN; SELECT FROM notifications WHERE " + condition + " FOR UPDATE")
	}
	return other
}

// Pause makes each batch wait for advisory lock 1 after it has taken its snapshot and before it
// locks the first row: a BEFORE UPDATE trigger for the statement fires just there. It has all the
// time that it needs, so that the cleanup does not begin again.
func (d *Database) Pause() {
	d.T.Helper()
	for _, session := range d.whereTheRowsAre() {
		session.Exec(`
			CREATE FUNCTION public.pause() RETURNS trigger
			LANGUAGE plpgsql
			SET lock_timeout = 0
			AS $$
			BEGIN
				IF current_query() !~* '^(begin; )?update' THEN  -- which is another's
					PERFORM pg_advisory_xact_lock_shared(1);
				END IF;
				RETURN NULL;
			END $$`)
		for _, table := range session.tables() {
			session.Exec("CREATE TRIGGER pause BEFORE UPDATE ON " + table +
				" FOR EACH STATEMENT EXECUTE FUNCTION public.pause()")
		}
	}
}

// WhilePaused calls the function, lets another session work while that stands where Pause says,
// and returns how the call ended.
func (d *Database) WhilePaused(arguments string, work func(other *Database)) (Run, error) {
	d.T.Helper()
	d.Pause()
	return d.WhileWaiting(func() *Background { return d.StartCleanup(arguments) }, work)
}

// WhileWaiting starts a cleanup that waits for advisory lock 1 somewhere, lets another session
// work there, and returns how the cleanup ended.
func (d *Database) WhileWaiting(start func() *Background, work func(other *Database)) (Run, error) {
	d.T.Helper()
	gates := d.whereTheRowsAre()
	for _, gate := range gates {
		gate.Exec("SELECT pg_advisory_lock(1)")
	}
	cleanup := start()
	for !slices.ContainsFunc(gates, (*Database).isWaitedFor) {
		select {
		case <-cleanup.done:
			d.T.Fatalf("the cleanup did not pause: %v", cleanup.err)
		case <-time.After(time.Millisecond):
		}
	}
	if OnCitus() {
		work(d.OpenSession())
	} else {
		work(gates[0]) // whose own updates do not wait
	}
	for _, gate := range gates {
		gate.Exec("SELECT pg_advisory_unlock(1)")
	}
	return cleanup.Wait()
}

// isWaitedFor is true while somebody waits for an advisory lock.
func (d *Database) isWaitedFor() bool {
	d.T.Helper()
	const waiting = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	return One[int](d, waiting) > 0
}

// PauseAt makes the update of one notification wait for advisory lock 1, which the session takes,
// and the returned function releases.
func (d *Database) PauseAt(number int) (goOn func()) {
	d.T.Helper()
	return d.waitAt("OLD.id = " + Key(number))
}

// BlockUser2 makes every update of user 2 of Inboxes wait for advisory lock 1, which the session
// takes, and the returned function releases.
func (d *Database) BlockUser2() (release func()) {
	d.T.Helper()
	return d.waitAt("OLD.user_id = md5('2')::uuid")
}

func (d *Database) waitAt(condition string) (release func()) {
	d.T.Helper()
	d.Exec(`
		CREATE FUNCTION public.block() RETURNS trigger
		LANGUAGE plpgsql
		SET lock_timeout = 0
		AS $$
		BEGIN
			PERFORM pg_advisory_xact_lock_shared(1);
			RETURN NEW;
		END $$;
		CREATE TRIGGER block BEFORE UPDATE ON notifications
		FOR EACH ROW WHEN (` + condition + `) EXECUTE FUNCTION public.block();
		SELECT pg_advisory_lock(1)`)
	return func() { d.Exec(`SELECT pg_advisory_unlock(1)`) }
}
