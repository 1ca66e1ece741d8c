package main

import (
	"strings"
	"testing"

	"github.com/notification-cleanup/notification-cleanup/sql/test/pgtest"
)

// Under the path of the database they are found, under the one that our routines pin they are not.
func TestATriggerThatFindsNothingUnderThePinnedPathIsNamed(t *testing.T) {
	t.Parallel()
	for missing, statement := range map[string]string{
		`relation "log" does not exist`:               "INSERT INTO log VALUES (1)",
		"function tell(integer) does not exist":       "PERFORM tell(1)",
		`type "mood" does not exist`:                  "PERFORM NULL::mood",
		`column "a" of relation "log" does not exist`: "INSERT INTO log (a) VALUES (1)",
	} {
		t.Run(missing, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			d.Exec(pgtest.Inboxes)
			d.Exec("CREATE SCHEMA app; SET search_path = app, public;" +
				pgtest.SetSearchPath("public, app") + `;
				CREATE TABLE log (a integer);
				CREATE TYPE mood AS ENUM ('sad');
				CREATE FUNCTION tell(integer) RETURNS void LANGUAGE sql AS '';
				CREATE FUNCTION public.on_update() RETURNS trigger LANGUAGE plpgsql AS $$
				BEGIN
					` + statement + `;
					RETURN NEW;
				END $$;
				CREATE TRIGGER t BEFORE UPDATE ON public.notifications
					FOR EACH ROW EXECUTE FUNCTION public.on_update()`)
			if strings.HasPrefix(missing, "column") { // of another table of that name
				d.Exec("CREATE TABLE public.log (b integer)")
			}
			_, stderr, status := d.Program(nil, "run")
			if status != 1 {
				t.Errorf("exit status %d, want 1", status)
			}
			for _, want := range []string{
				missing,
				"CONTEXT: PL/pgSQL function on_update()",
				"ALTER FUNCTION ... SET search_path",
			} {
				if !strings.Contains(stderr, want) {
					t.Errorf("it says %s, want %q", stderr, want)
				}
			}
			if strings.Contains(stderr, "Is it installed here?") {
				t.Errorf("it asks if it is installed: %s", stderr)
			}
		})
	}
}

func TestWhatIsNotInstalledIsSaidToBe(t *testing.T) {
	t.Parallel()
	d := pgtest.Empty(t)
	for _, command := range []string{"run", "stats", "history"} {
		_, stderr, status := d.Program(nil, command)
		if status != 1 || !strings.Contains(stderr, "Is it installed here?") {
			t.Errorf("%s: exit status %d: %s", command, status, stderr)
		}
	}
}
