package pgcron

import (
	"fmt"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// Not parallel: two who create an extension at the same time are in each other's way.
func TestTheDoctorKnowsTheJobsOfPgCron(t *testing.T) {
	d := pgtest.New(t)
	cron, exists := pgtest.Cron(t)
	found := func(d *pgtest.Database) string {
		return pgtest.One[string](d, `
			SELECT concat_ws(' ', severity, found, advice)
			FROM notification_cleanup_doctor()
			WHERE name = 'pg_cron'`)
	}
	if !exists {
		if got := found(d); got != "note not used here" {
			t.Errorf("without pg_cron it says %s", got)
		}
		return
	}
	if got, want := found(d), "note it is in database "+cron.Name; got != want {
		t.Errorf("in another database it says %s, want %s", got, want)
	}
	d.Exec("SET ROLE " + d.RoleTo("watch"))
	if got, want := found(d), fmt.Sprintf(
		"note not in this database; %s may not see whether it is in another one", d.RoleName(),
	); got != want {
		t.Errorf("to a role in another database it says %s, want %s", got, want)
	}
	d.Exec("RESET ROLE")
	cron.Exec("CREATE EXTENSION IF NOT EXISTS pg_cron; CREATE SCHEMA " + d.Name)
	t.Cleanup(func() {
		cron.Exec("SELECT cron.unschedule(jobid) FROM cron.job WHERE command LIKE '%" + d.Name + "%'")
		cron.Exec("DROP SCHEMA " + d.Name + " CASCADE")
	})
	cron.MigrateInto(d.Name)
	cron.Exec("SET search_path = " + d.Name)
	say := func(want string) {
		t.Helper()
		if got := found(cron); got != want {
			t.Errorf("it says %s, want %s", got, want)
		}
	}
	say("note no job in this database")
	job := pgtest.One[int](cron, fmt.Sprintf(`
		SELECT cron.schedule(
			'%s',
			'0 0 1 1 *',
			'CALL %[1]s.cleanup_notifications_in_batches()'
		)::integer`, d.Name))
	cron.Exec("SELECT cron.schedule('another', '0 0 1 1 *', 'SELECT 1 /* " + d.Name + " */')")
	say("note " + d.Name + ": never ran")
	ran := func(number int, status, message string) {
		cron.Exec(fmt.Sprintf(`
			INSERT INTO cron.job_run_details (jobid, runid, database, username, command, status,
				return_message)
			VALUES (%d, %d, '', '', '', '%s', '%s')`, job, number-1000*job, status, message))
	}
	ran(1, "failed", "it was too late")
	say("failure " + d.Name + ": failed It said: it was too late")
	ran(2, "succeeded", "CALL")
	say("ok " + d.Name + ": succeeded")
	cron.Exec(fmt.Sprintf("SELECT cron.alter_job(%d, active => false)", job))
	say(fmt.Sprintf(
		"warning %s: not active SELECT cron.alter_job(%d, active => true);",
		d.Name,
		job,
	))
	cron.Exec("DELETE FROM cron.job_run_details WHERE database = ''")
	cron.Exec(
		"GRANT USAGE ON SCHEMA " + d.Name + " TO " + d.RoleName() +
			"; GRANT EXECUTE ON FUNCTION notification_cleanup_doctor, notification_cron_jobs" +
			" TO " + d.RoleName(),
	)
	cron.Exec("SET ROLE " + d.RoleName())
	say(fmt.Sprintf(
		"note it is here, but %s may not see the jobs GRANT USAGE ON SCHEMA cron TO %[1]s;",
		d.RoleName(),
	))
	cron.Exec("RESET ROLE; GRANT USAGE ON SCHEMA cron TO " + d.RoleName())
	cron.Exec("SET ROLE " + d.RoleName())
	say(fmt.Sprintf("note no job of %s in this database", d.RoleName()))
	cron.Exec("RESET ROLE; DROP OWNED BY " + d.RoleName())
}
