package main

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

func TestADryRunSaysHowManyAndWritesNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	d.Exec(pgtest.Inboxes)
	d.Cleanup("")
	d.Exec(`
		DELETE FROM notifications
		WHERE id IN (SELECT id FROM notifications WHERE deleted_at IS NOT NULL LIMIT 50)`)
	d.Exec(pgtest.Expired)
	const state = `
		SELECT md5(string_agg(n::text, ' ' ORDER BY id)) || (
			SELECT string_agg(r::text, ' ' ORDER BY r.id) FROM notification_cleanup_runs AS r)
		FROM notifications AS n`
	before := pgtest.One[string](d, state)
	for want, args := range map[string][]string{
		`{"notifications_to_be_restored":1900}` + "\n": {"restore", "1"},
		`{"notifications_to_be_purged":37}` + "\n":     {"purge", "--retention", "38 days"},
	} {
		for _, env := range []map[string]string{nil, {"DRY_RUN": "true"}} {
			if env == nil {
				args = append(args, "--dry-run")
			}
			stdout, stderr, status := command(t, d, env, args...)
			if status != 0 || stdout != want {
				t.Errorf("%v: exit status %d, stdout %s, stderr %s", args, status, stdout, stderr)
			}
		}
	}
	if _, stderr, status := command(t, d, nil, "restore", "8", "--dry-run"); status != 2 {
		t.Errorf("of no run: exit status %d, stderr %s", status, stderr)
	}
	if pgtest.One[string](d, state) != before {
		t.Error("something was written")
	}
}

func TestCommandsThatOnlyWriteRefuseADryRun(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	for _, args := range [][]string{
		{"migrate"}, {"migrate", "up"}, {"migrate", "down"},
		{"stop", "1"}, {"pace", "1"}, {"suspend", "no"}, {"resume"},
	} {
		_, stderr, status := command(t, d, map[string]string{"DRY_RUN": "true"}, args...)
		if status != 2 || !strings.Contains(stderr, "has no dry run: nothing was done") {
			t.Errorf("%v: exit status %d, stderr %s", args, status, stderr)
		}
	}
}
