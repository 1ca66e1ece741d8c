package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestTheDoctorLooksBehindAView(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, append(slices.Clone(pgtest.InboxView), `
		CREATE INDEX ON messages (recipient) WHERE removed_at IS NULL`, `
			CREATE INDEX ON messages (removed_at) WHERE removed_at IS NOT NULL`)...)
	wantWrong(d, "")
	d.Exec(noop + "BEFORE UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION noop()")
	wantNote(d, "triggers", "noop of public.messages")
	d.Exec(`
		DROP TRIGGER noop ON messages;
		ALTER TABLE messages REPLICA IDENTITY NOTHING;
		CREATE PUBLICATION p FOR TABLE messages`)
	wantWrong(d, "replica identity, rehearsal", "public.messages has none")
	d.Exec("DROP PUBLICATION p; DROP INDEX messages_recipient_idx")
	wantWrong(
		d,
		"indexes",
		"CREATE INDEX CONCURRENTLY ON public.messages (recipient) WHERE (removed_at IS NULL)",
	)
	d.Exec(`
		CREATE INDEX ON messages (recipient) WHERE removed_at IS NULL;
		ALTER TABLE messages ENABLE ROW LEVEL SECURITY`)
	wantWrong(d, "")
	d.Exec(
		"CREATE ROLE " + d.RoleName() + "; GRANT ALL ON SCHEMA retention TO " + d.RoleName() +
			"; GRANT ALL ON messages TO " + d.RoleName() + "; ALTER VIEW notifications OWNER TO " +
			d.RoleName(),
	)
	if rls := find(d, "row-level security"); rls.ok() ||
		rls.Found != "hides rows of public.messages from "+d.RoleName() {
		t.Errorf("of a view whose owner is filtered it says %+v", rls)
	}
	d.Exec(
		"ALTER TABLE messages DISABLE ROW LEVEL SECURITY;" +
			"DROP OWNED BY " + d.RoleName() + " CASCADE",
	)
}

func TestTheDoctorLooksIntoPartitions(t *testing.T) {
	t.Parallel()
	d := pgtest.Adopt(t, `
		CREATE TABLE notifications (id bigint, user_id bigint, status text, created_at timestamptz,
			PRIMARY KEY (id))
		PARTITION BY HASH (id)`,
		`CREATE TABLE even PARTITION OF notifications
			FOR VALUES WITH (MODULUS 2, REMAINDER 0)`,
		`CREATE TABLE odd PARTITION OF notifications
			FOR VALUES WITH (MODULUS 2, REMAINDER 1)`,
		`CREATE INDEX ON notifications (user_id)`)
	d.Migrate()
	wantWrong(d, "")
	d.Exec(noop + "BEFORE UPDATE ON odd FOR EACH ROW EXECUTE FUNCTION noop()")
	wantNote(d, "triggers", "noop of odd fires")
	d.Exec(`
		DROP TRIGGER noop ON odd;
		CREATE TRIGGER noop BEFORE UPDATE ON notifications FOR EACH ROW EXECUTE FUNCTION noop()`)
	wantNote(d, "triggers", "noop of notifications fires")
	if found := find(d, "triggers").Found; strings.Contains(found, "odd") {
		t.Errorf("it says %s of one trigger", found)
	}
	d.Exec(`
		DROP TRIGGER noop ON notifications;
		CREATE PUBLICATION p FOR TABLE notifications WITH (publish_via_partition_root);
		ALTER TABLE even REPLICA IDENTITY NOTHING`)
	wantWrong(d, "replica identity, rehearsal", "even has none, for publication p")
	if found := find(d, "replica identity").Found; strings.Contains(found, "odd") {
		t.Errorf("it says %s of one partition", found)
	}
}

func TestTheDoctorWantsTheTableVacuumed(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
	d.RowsPerPage(1)
	d.Insert(pgtest.Alice, "unread", 1, 990)
	wantWrong(d, "")
	d.Insert(pgtest.Alice, "unread", 1001, 1100)
	d.Exec("BEGIN; ALTER TABLE notifications SET (autovacuum_enabled = on)") // for nobody else
	wantWrong(
		d,
		"vacuum",
		"warning",
		"notifications: 0 % of pages all-visible, scale factor 0.01",
		"VACUUM notifications;",
	)
	d.Exec("ROLLBACK")
	d.Vacuum("notifications")
	wantWrong(
		d,
		"vacuum",
		"100 % of pages all-visible, autovacuum is off",
		"autovacuum_enabled = on",
	)
	d.Exec("ALTER TABLE notifications SET (autovacuum_enabled = on)")
	wantWrong(d, "")
	d.Exec("ALTER TABLE notifications RESET (autovacuum_vacuum_scale_factor)")
	wantWrong(d, "vacuum", "scale factor 0.2", "autovacuum_vacuum_scale_factor = 0.01")
}
