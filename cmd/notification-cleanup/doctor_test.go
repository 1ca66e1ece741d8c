package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

type diagnosis struct {
	Name     string
	Severity string
	Found    string
	Advice   string
}

// ok is for what nobody has to do anything about.
func (c diagnosis) ok() bool { return c.Severity == "ok" || c.Severity == "note" }

// examine asks the doctor.
func (d *database) examine() []diagnosis {
	d.t.Helper()
	return collect(d, pgx.RowToStructByPos[diagnosis], "SELECT name, severity, found, coalesce(advice, '') FROM notification_cleanup_doctor()")
}

// wantWrong compares what the doctor finds wrong: nothing, or a check that says this, its severity first.
func (d *database) wantWrong(check string, says ...string) {
	d.t.Helper()
	wrong := "nothing"
	for _, c := range d.examine() {
		if c.ok() == (c.Name == check) || c.Severity == "ok" && c.Advice != "" || !c.ok() && c.Advice == "" {
			wrong = c.Name
			d.t.Errorf("%s: %s, found %s, advice %s", c.Name, c.Severity, c.Found, c.Advice)
		}
		for _, words := range says {
			if c.Name == check && !strings.Contains(c.Severity+" "+c.Found+" "+c.Advice, words) {
				d.t.Errorf("%s says nothing of %q: %s %s %s", check, words, c.Severity, c.Found, c.Advice)
			}
		}
	}
	if check != "" && len(says) == 0 || wrong != "nothing" {
		d.t.Errorf("wrong is %s, want %q", wrong, check)
	}
}

func TestTheDoctorFindsNothingWrongAfterInstallation(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.wantWrong("")
	d.insertInboxes()
	d.cleanup("")
	d.wantWrong("")
	if names := fmt.Sprint(all[string](d, "SELECT name FROM notification_cleanup_doctor()")); names != "[rights table indexes row-level security triggers"+
		" replica identity vacuum server last run unfinished runs max_wal_size idle in transaction pg_cron]" {
		t.Errorf("the checks are %s", names)
	}
}

// Each file can be looked at in psql by itself.
func TestEachCheckOfTheDoctorIsAStatementOfOneRow(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	checks := d.examine()
	for _, check := range checks {
		path := "../../sql/doctor/check_" + strings.NewReplacer(" ", "_", "-", "_").Replace(check.Name) + ".sql"
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		type finding struct{ Severity, Found, Advice *string }
		rows := collect(d, pgx.RowToStructByName[finding], string(text))
		if len(rows) != 1 || rows[0].Severity == nil || *rows[0].Severity != check.Severity {
			t.Errorf("%s returns %+v, the doctor %+v", path, rows, check)
		}
	}
	if files, _ := filepath.Glob("../../sql/doctor/check_*.sql"); len(files) != len(checks) {
		t.Errorf("%d files, %d checks", len(files), len(checks))
	}
}

func TestTheDoctorIsAtHomeInAnySchema(t *testing.T) {
	t.Parallel()
	d := adopt(t, `CREATE SCHEMA "In ""Box"", it's"`, setSearchPath(`"In ""Box"", it's"`))
	d.wantWrong("")
}

// leaveOpen plans a run and does no batch of it.
const leaveOpen = "INSERT INTO notifications (user_id, status, created_at) SELECT md5('1')::uuid, 'read', '2025-01-01' FROM generate_series(1, 5); SELECT plan_notification_cleanup(3, 1)"

const noop = "CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER noop "

func TestTheDoctorFindsEachFault(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault, check string
		says         []string
	}{
		"id is not unique":         {"ALTER TABLE notifications DROP CONSTRAINT notifications_pkey", "table", []string{"failure", "id has no unique index"}},
		"another type":             {"DROP VIEW notification_cleanup_health; ALTER TABLE notifications ALTER created_at TYPE timestamp", "table", []string{"failure", "created_at is not of type notification_created_at"}},
		"no live index":            {"DROP INDEX notifications_live_idx", "indexes", []string{"warning", "notifications has no valid one for live", "CREATE INDEX CONCURRENTLY notifications_live_idx ON"}},
		"no index for purge":       {"DROP INDEX notifications_deleted_idx", "indexes", []string{"no valid one for deleted", "CREATE INDEX CONCURRENTLY notifications_deleted_idx ON"}},
		"an invalid index":         {"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'notifications_live_idx'::regclass", "indexes", []string{"REINDEX INDEX CONCURRENTLY"}},
		"another index serves":     {"CREATE INDEX mine ON notifications (user_id) WHERE deleted_at IS NULL; DROP INDEX notifications_live_idx", "", nil},
		"a trigger":                {noop + "BEFORE UPDATE ON notifications FOR EACH ROW EXECUTE FUNCTION noop()", "triggers", []string{"warning", "noop of notifications fires"}},
		"a trigger on deleted_at":  {noop + "AFTER INSERT OR UPDATE OF status, deleted_at ON notifications EXECUTE FUNCTION noop()", "triggers", []string{"noop"}},
		"a trigger on others":      {noop + "BEFORE UPDATE OF status ON notifications FOR EACH ROW EXECUTE FUNCTION noop()", "", nil},
		"a trigger on INSERT":      {noop + "BEFORE INSERT OR DELETE ON notifications FOR EACH ROW EXECUTE FUNCTION noop()", "", nil},
		"a disabled trigger":       {noop + "BEFORE UPDATE ON notifications FOR EACH ROW EXECUTE FUNCTION noop(); ALTER TABLE notifications DISABLE TRIGGER noop", "", nil},
		"a foreign key":            {"CREATE TABLE t (id uuid REFERENCES notifications)", "", nil},
		"no replica identity":      {"ALTER TABLE notifications REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR TABLE notifications", "replica identity", []string{"failure", "publication p", "ALTER TABLE notifications REPLICA IDENTITY FULL"}},
		"the identity is gone":     {"CREATE UNIQUE INDEX i ON notifications (id); ALTER TABLE notifications REPLICA IDENTITY USING INDEX i; CREATE PUBLICATION p FOR ALL TABLES; CREATE UNIQUE INDEX j ON notifications (id); DROP INDEX i", "replica identity", []string{"publication p"}},
		"a replica identity":       {"CREATE PUBLICATION p FOR TABLE notifications; CREATE PUBLICATION q FOR ALL TABLES", "", nil},
		"a full replica identity":  {"ALTER TABLE notifications DROP CONSTRAINT notifications_pkey, ADD UNIQUE (id), REPLICA IDENTITY FULL; CREATE PUBLICATION p FOR TABLE notifications", "", nil},
		"no updates are published": {"ALTER TABLE notifications REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR TABLE notifications WITH (publish = 'insert')", "", nil},
		"an old run":               {"INSERT INTO notification_cleanup_runs (max_notifications, min_keep, started_at, finished_at) VALUES (9, 1, now() - interval '2 days', now() - interval '27 hours')", "last run", []string{"warning", "ended 1 day 03:00:00 ago"}},
		"a run left":               {leaveOpen, "unfinished runs", []string{"warning", "run 1, 0 of 4 deleted", "max_notifications => 3, min_keep => 1"}},
		"a run given up":           {leaveOpen + "; SELECT restore_notifications(1)", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(test.fault)
			d.wantWrong(test.check, test.says...)
		})
	}
}

func TestTheDoctorNamesEachMissingColumnAndGoesOn(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec("DROP VIEW notification_cleanup_health; ALTER TABLE notifications DROP status, DROP deleted_at CASCADE")
	checks := d.examine()
	if found := checks[1].Found; len(checks) != 13 || checks[1].ok() || found != "deleted_at is missing; status is missing" {
		t.Errorf("%d checks, of the table it says %s", len(checks), found)
	}
	d.exec("ALTER TABLE notifications RENAME TO gone")
	if checks := d.examine(); len(checks) != 13 || checks[1].ok() {
		t.Errorf("without the table it says %+v", checks)
	}
}

func TestTheGrantsThatTheDoctorNamesSuffice(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 1001)
	session := d.openSession()
	session.exec("SET ROLE " + d.role("USAGE ON SCHEMA public", "EXECUTE ON FUNCTION notification_cleanup_doctor, notification_tables"))
	checks := session.examine()
	if checks[0].ok() || checks[2].ok() || !strings.Contains(checks[2].Found, "permission denied") || !checks[4].ok() {
		t.Errorf("with few rights it says %+v", checks)
	}
	d.exec(checks[0].Advice)
	if checks := session.examine(); checks[0].Severity != "ok" || checks[0].Found != "nothing is wrong" || checks[0].Advice != "" {
		t.Errorf("with what it said it says %+v", checks[0])
	}
	for _, call := range append(everything, "SELECT * FROM notification_cleanup_health", "SELECT * FROM preview_notification_limits()") {
		session.exec(call)
	}
	session.wantWrong("")
}

func TestTheDoctorMissesEachGrantOfTheReadme(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	role := d.role()
	grants := regexp.MustCompile(`(?m)^GRANT (.*) TO cleaner;$`).FindAllStringSubmatch(string(readme), -1)
	for _, grant := range grants {
		d.exec("GRANT " + grant[1] + " TO " + role)
	}
	session := d.openSession()
	session.exec("SET ROLE " + role)
	session.wantWrong("")
	for _, grant := range grants[1:] { // the first one is of the schema
		if strings.Contains(grant[1], "notification_cleanup_doctor") {
			continue
		}
		d.exec("REVOKE " + grant[1] + " FROM " + role)
		rights := session.examine()[0]
		optional := regexp.MustCompile(`DELETE ON notifications|restore|health|limits|read_all_stats|replicas`).MatchString(grant[1])
		if rights.Advice == "" || rights.ok() != optional {
			t.Errorf("without %s it says %+v", grant[1], rights)
		}
		d.exec(rights.Advice)
		if rights = session.examine()[0]; rights.Advice != "" {
			t.Errorf("with what it said instead of %s it says %+v", grant[1], rights)
		}
		d.exec("GRANT " + grant[1] + " TO " + role)
	}
}

func TestTheDoctorFindsRowLevelSecurityThatFilters(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	role := d.role("USAGE ON SCHEMA public", "EXECUTE ON ALL ROUTINES IN SCHEMA public", "ALL ON ALL TABLES IN SCHEMA public")
	session := d.openSession()
	session.exec("SET ROLE " + role)
	hidden := func() (found string) {
		for _, c := range session.examine() {
			if c.Name == "row-level security" && c.Severity == "failure" {
				found += c.Found + " " + c.Advice
			}
		}
		return found
	}
	for _, table := range []string{"notifications", "notification_cleanup_runs", "notification_cleanup_batches", "notification_cleanup_positions"} {
		d.exec("ALTER TABLE " + table + " ENABLE ROW LEVEL SECURITY")
		if got, want := hidden(), fmt.Sprintf("hides rows of %s from %s ALTER ROLE %[2]s BYPASSRLS;", table, role); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
		d.exec("ALTER TABLE " + table + " DISABLE ROW LEVEL SECURITY")
	}
	d.exec("ALTER TABLE notifications ENABLE ROW LEVEL SECURITY; ALTER TABLE notifications OWNER TO " + role)
	if got := hidden(); got != "" {
		t.Errorf("of the owner it says %q", got)
	}
	d.exec("ALTER TABLE notifications FORCE ROW LEVEL SECURITY")
	if got := hidden(); got == "" {
		t.Error("of the owner by force it says nothing")
	}
	for _, may := range []string{"SUPERUSER", "NOSUPERUSER BYPASSRLS"} {
		d.exec("ALTER ROLE " + role + " " + may)
		if got := hidden(); got != "" {
			t.Errorf("of a role with %s it says %q", may, got)
		}
	}
}

func TestTheDoctorLooksBehindAView(t *testing.T) {
	t.Parallel()
	d := adopt(t, append(slices.Clone(inboxView), "CREATE INDEX ON messages (recipient) WHERE removed_at IS NULL", "CREATE INDEX ON messages (removed_at) WHERE removed_at IS NOT NULL")...)
	d.wantWrong("")
	d.exec(noop + "BEFORE UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION noop()")
	d.wantWrong("triggers", "noop of public.messages")
	d.exec("DROP TRIGGER noop ON messages; ALTER TABLE messages REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR TABLE messages")
	d.wantWrong("replica identity", "public.messages has none")
	d.exec("DROP PUBLICATION p; DROP INDEX messages_recipient_idx")
	d.wantWrong("indexes", "CREATE INDEX CONCURRENTLY ON public.messages (recipient) WHERE (removed_at IS NULL)")
	d.exec("CREATE INDEX ON messages (recipient) WHERE removed_at IS NULL; ALTER TABLE messages ENABLE ROW LEVEL SECURITY")
	d.wantWrong("")
	d.exec("CREATE ROLE " + d.roleName() + "; GRANT ALL ON SCHEMA retention TO " + d.roleName() + "; GRANT ALL ON messages TO " + d.roleName() + "; ALTER VIEW notifications OWNER TO " + d.roleName())
	if rls := d.examine()[3]; rls.ok() || rls.Found != "hides rows of public.messages from "+d.roleName() {
		t.Errorf("of a view whose owner is filtered it says %+v", rls)
	}
	d.exec("ALTER TABLE messages DISABLE ROW LEVEL SECURITY; DROP OWNED BY " + d.roleName() + " CASCADE")
}

func TestTheDoctorLooksIntoPartitions(t *testing.T) {
	t.Parallel()
	d := adopt(t, `CREATE TABLE notifications (id bigint, user_id bigint, status text, created_at timestamptz, PRIMARY KEY (id)) PARTITION BY HASH (id)`,
		`CREATE TABLE even PARTITION OF notifications FOR VALUES WITH (MODULUS 2, REMAINDER 0)`, `CREATE TABLE odd PARTITION OF notifications FOR VALUES WITH (MODULUS 2, REMAINDER 1)`,
		`CREATE INDEX ON notifications (user_id)`)
	if _, stderr := migrateTo(t, d, "up"); strings.Contains(stderr, "level=ERROR") {
		t.Fatal(stderr)
	}
	d.wantWrong("")
	d.exec(noop + "BEFORE UPDATE ON odd FOR EACH ROW EXECUTE FUNCTION noop()")
	d.wantWrong("triggers", "noop of odd fires")
	d.exec("DROP TRIGGER noop ON odd; CREATE TRIGGER noop BEFORE UPDATE ON notifications FOR EACH ROW EXECUTE FUNCTION noop()")
	d.wantWrong("triggers", "noop of notifications fires")
	if found := d.examine()[4].Found; strings.Contains(found, "odd") {
		t.Errorf("it says %s of one trigger", found)
	}
	d.exec("DROP TRIGGER noop ON notifications; CREATE PUBLICATION p FOR TABLE notifications WITH (publish_via_partition_root); ALTER TABLE even REPLICA IDENTITY NOTHING")
	d.wantWrong("replica identity", "even has none, for publication p")
	if found := d.examine()[5].Found; strings.Contains(found, "odd") {
		t.Errorf("it says %s of one partition", found)
	}
}

func TestTheDoctorWantsTheTableVacuumed(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec("ALTER TABLE notifications SET (autovacuum_enabled = off)")
	d.rowsPerPage(1)
	d.insert(alice, "unread", 1, 990)
	d.wantWrong("")
	d.insert(alice, "unread", 1001, 1100)
	d.exec("BEGIN; ALTER TABLE notifications SET (autovacuum_enabled = on)") // for nobody else
	d.wantWrong("vacuum", "warning", "notifications: 0 % of pages all-visible, scale factor 0.01", "VACUUM notifications;")
	d.exec("ROLLBACK")
	d.vacuum("notifications")
	d.wantWrong("vacuum", "100 % of pages all-visible, autovacuum is off", "autovacuum_enabled = on")
	d.exec("ALTER TABLE notifications SET (autovacuum_enabled = on)")
	d.wantWrong("")
	d.exec("ALTER TABLE notifications RESET (autovacuum_vacuum_scale_factor)")
	d.wantWrong("vacuum", "scale factor 0.2", "autovacuum_vacuum_scale_factor = 0.01")
}

func TestTheDoctorFindsWhoHoldsNotificationsAndDoesNothing(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.insert(alice, "read", 1, 3)
	reader, holder := d.openSession(), d.openSession()
	reader.exec("BEGIN; SELECT FROM notifications")
	holder.exec("BEGIN; SELECT FROM notifications FOR UPDATE")
	eventually(t, d, "SELECT severity = 'warning' FROM notification_cleanup_doctor() WHERE name = 'idle in transaction'")
	pid := one[int](holder, "SELECT pg_backend_pid()")
	eventually(t, d, "SELECT severity = 'warning' FROM notification_cleanup_doctor() WHERE name = 'idle in transaction'")
	d.wantWrong("idle in transaction", "warning", fmt.Sprintf("SELECT pg_terminate_backend(%d);", pid))
	holder.exec("ROLLBACK")
	eventually(t, d, "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND state_change < now() - interval '1 second'")
	d.wantWrong("")
}

func TestARunAtWorkIsNotUnfinished(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.rowsPerPage(1)
	d.insert(alice, "read", 1, 20)
	run := d.plan("3, 1, 1")
	worker := d.openSession()
	worker.batch(run)
	d.wantWrong("")
	_ = worker.conn.Close(t.Context())
	eventually(t, d, "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()")
	d.wantWrong("unfinished runs", "run 1, 1 of ")
}

func TestTheDoctorWarnsOfABacklogThatMaxWalSizeIsTooSmallFor(t *testing.T) {
	t.Parallel()
	s := prepareServer(t)
	s.exec("initdb", "-D", s.data(), "-U", "postgres", "--auth=trust", "--no-sync", "--wal-segsize=1")
	s.settings = []string{"-c", "max_wal_size=2MB", "-c", "min_wal_size=2MB"}
	s.start()
	d := s.migrated()
	d.rowsPerPage(2)
	d.insert(alice, "read", 1, 1501)
	d.exec("ANALYZE notifications")
	d.wantWrong("max_wal_size", "warning", "2MB; deleting 1401 writes about 11 MB", "wal_compression")
	d.cleanup("2000, 1200") // whose limits count from now on, but nothing goes
	d.wantWrong("")
}

// Not parallel: two who create an extension at the same time are in each other's way.
func TestTheDoctorKnowsTheJobsOfPgCron(t *testing.T) {
	d := newDatabase(t)
	cron := (&database{t: t, name: strings.TrimPrefix(server.url.Path, "/"), script: &script{}}).openSession()
	found := func(d *database) string {
		return one[string](d, "SELECT concat_ws(' ', severity, found, advice) FROM notification_cleanup_doctor() WHERE name = 'pg_cron'")
	}
	if !one[bool](cron, `SELECT coalesce(current_setting('cron.database_name', true) = current_database(), false)`) {
		if got := found(d); got != "note not used here" {
			t.Errorf("without pg_cron it says %s", got)
		}
		return
	}
	if got, want := found(d), "note it is in database "+cron.name; got != want {
		t.Errorf("in another database it says %s, want %s", got, want)
	}
	cron.exec("CREATE EXTENSION IF NOT EXISTS pg_cron; CREATE SCHEMA " + d.name)
	t.Cleanup(func() {
		cron.exec("SELECT cron.unschedule(jobid) FROM cron.job WHERE command LIKE '%" + d.name + "%'")
		cron.exec("DROP SCHEMA " + d.name + " CASCADE")
	})
	if _, stderr, status := command(t, cron, map[string]string{"SCHEMA": d.name}, "migrate", "up"); status != 0 {
		t.Fatal(stderr)
	}
	cron.exec("SET search_path = " + d.name)
	say := func(want string) {
		t.Helper()
		if got := found(cron); got != want {
			t.Errorf("it says %s, want %s", got, want)
		}
	}
	say("note no job in this database")
	job := one[int](cron, "SELECT cron.schedule('"+d.name+"', '0 0 1 1 *', 'CALL "+d.name+".cleanup_notifications_in_batches()')::integer")
	cron.exec("SELECT cron.schedule('another', '0 0 1 1 *', 'SELECT 1 /* " + d.name + " */')")
	say("note " + d.name + ": never ran")
	ran := func(number int, status, message string) {
		cron.exec(fmt.Sprintf(`INSERT INTO cron.job_run_details (jobid, runid, database, username, command, status, return_message)
			VALUES (%d, %d, '', '', '', '%s', '%s')`, job, number-1000*job, status, message))
	}
	ran(1, "failed", "it was too late")
	say("failure " + d.name + ": failed It said: it was too late")
	ran(2, "succeeded", "CALL")
	say("ok " + d.name + ": succeeded")
	cron.exec(fmt.Sprintf("SELECT cron.alter_job(%d, active => false)", job))
	say(fmt.Sprintf("warning %s: not active SELECT cron.alter_job(%d, active => true);", d.name, job))
	cron.exec("DELETE FROM cron.job_run_details WHERE database = ''")
	cron.exec("CREATE ROLE " + d.roleName() + "; GRANT USAGE ON SCHEMA " + d.name + " TO " + d.roleName() + "; GRANT EXECUTE ON FUNCTION notification_cleanup_doctor, notification_cron_jobs TO " + d.roleName())
	cron.exec("SET ROLE " + d.roleName())
	say("failure not known: permission denied for schema cron Mend the other findings first.")
	cron.exec("RESET ROLE; GRANT USAGE ON SCHEMA cron TO " + d.roleName())
	cron.exec("SET ROLE " + d.roleName())
	say("note no job in this database") // of this role
	cron.exec("RESET ROLE; DROP OWNED BY " + d.roleName())
}

func TestTheDoctorOfAStandbySaysWhatItIs(t *testing.T) {
	t.Parallel()
	primary := newServer(t)
	d := primary.migrated()
	standby := primary.standby()
	d = (&database{t: t, name: d.name, own: standby, script: d.script}).openSession()
	d.wantWrong("")
	if server := d.examine()[7]; server.Severity != "note" || server.Found != "a standby" || !strings.Contains(server.Advice, "on the primary") {
		t.Errorf("it says %+v", server)
	}
	if got := fmt.Sprint(all[string](d, limitsOf+"('{100}')")); got != "[(100,0,0,0.0,0)]" {
		t.Errorf("the limits are %s", got)
	}
}

func TestTheDoctorOfTheProgramFailsWhereSomethingIsWrong(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	rows := func() string {
		return strings.Join(all[string](d, "SELECT row_to_json(f)::text FROM notification_cleanup_doctor() AS f"), "\n") + "\n"
	}
	stdout, stderr, status := command(t, d, nil, "doctor")
	if status != 0 || stdout != rows() || stderr != "" {
		t.Errorf("exit status %d, stdout %s, stderr %s, want %s", status, stdout, stderr, rows())
	}
	if text := asText(t, d, "doctor"); strings.Count(text, "\n") != 14 || !strings.Contains(text, "\nok    server               a primary\n") {
		t.Errorf("text is\n%s", text)
	}
	d.exec("DROP INDEX notifications_live_idx")
	stdout, stderr, status = command(t, d, nil, "doctor")
	if status != 0 || stdout != rows() || stderr != "" {
		t.Errorf("with a warning exit status %d, stdout %s, stderr %s, want %s", status, stdout, stderr, rows())
	}
	d.exec("ALTER TABLE notifications DROP CONSTRAINT notifications_pkey")
	stdout, stderr, status = command(t, d, nil, "doctor")
	if status != 1 || stdout != rows() || stderr != "something is wrong, in 1 of the checks" {
		t.Errorf("exit status %d, stdout %s, stderr %s, want %s", status, stdout, stderr, rows())
	}
	stdout, _, status = command(t, d, map[string]string{"FORMAT": "text"}, "doctor")
	const says = "\nfailure  table                id has no unique index\n                              -> Undo that, or adopt it"
	const warns = "\nwarning  indexes              notifications has no valid one for live notifications\n                              -> CREATE INDEX CONCURRENTLY notifications_live_idx "
	if status != 1 || strings.Count(stdout, "\n") != 16 || !strings.Contains(stdout, says) || !strings.Contains(stdout, warns) {
		t.Errorf("exit status %d, text is\n%s", status, stdout)
	}
}

func TestBeforeAnInstallationTheDoctorSaysWhatItWouldDo(t *testing.T) {
	t.Parallel()
	const table = "CREATE TABLE notifications (id bigint PRIMARY KEY, user_id bigint, status text, created_at timestamptz"
	for name, test := range map[string]struct {
		before string
		status int
		says   []string
	}{
		"nothing":          {"SELECT", 0, []string{"migrate up creates notifications"}},
		"a table":          {table + ")", 0, []string{"migrate up adopts notifications, and adds deleted_at"}},
		"one that fits":    {table + ", deleted_at timestamptz)", 0, []string{"migrate up adopts notifications as it is"}},
		"one that doesn't": {table + ", deleted_at date)", 1, []string{"migrate up refuses", "deleted_at must be a nullable timestamp", "Nothing was changed.", "CREATE VIEW"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := emptyDatabase(t)
			d.exec(test.before)
			const state = "SELECT coalesce(string_agg(c.oid || ' ' || c.relname || ' ' || c.relnatts, ' ' ORDER BY c.oid), '') FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace"
			before := one[string](d, state)
			stdout, stderr, status := command(t, d, nil, "doctor")
			for _, says := range test.says {
				if !strings.Contains(stdout, says) {
					t.Errorf("stdout does not say %q: %s", says, stdout)
				}
			}
			if status != test.status || !strings.Contains(stdout, `{"name":"rights","severity":"ok",`) || one[string](d, state) != before || one[string](d, ourObjects) != "" {
				t.Errorf("exit status %d, stdout %s, stderr %s, and %s became %s", status, stdout, stderr, before, one[string](d, state))
			}
			if _, _, migrated := command(t, d, nil, "migrate", "up"); migrated != test.status {
				t.Errorf("migrate up has exit status %d", migrated)
			}
		})
	}
}

func TestBeforeAnInstallationTheDoctorNamesTheMissingRights(t *testing.T) {
	t.Parallel()
	d := emptyDatabase(t)
	d.exec("CREATE TABLE notifications (id bigint PRIMARY KEY, user_id bigint, status text, created_at timestamptz)")
	role := d.role("USAGE ON SCHEMA public")
	d.exec("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET role = " + role + "', current_database()); END $$")
	for grant, want := range map[string]bool{
		"": false, "GRANT CREATE ON SCHEMA public TO " + role: false, "ALTER TABLE notifications OWNER TO " + role: false,
		"GRANT CREATE ON SCHEMA public TO " + role + "; ALTER TABLE notifications OWNER TO " + role: true,
	} {
		d.exec(grant)
		stdout, stderr, status := command(t, d, nil, "doctor")
		if strings.Contains(stdout, `{"name":"rights","severity":"ok"`) != want || (status == 0) != want {
			t.Errorf("after %q exit status %d, stdout %s, stderr %s", grant, status, stdout, stderr)
		}
		d.exec("ALTER TABLE notifications OWNER TO CURRENT_USER; REVOKE CREATE ON SCHEMA public FROM " + role)
	}
	d.exec("DROP OWNED BY " + role)
}
