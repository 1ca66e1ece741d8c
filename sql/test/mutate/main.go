// Command mutate breaks the routines and the driver on purpose, one clause at a time, and demands
// that a test goes red each time. What survives is a clause that no test has seen at work.
//
//	make mutate                  all mutants, and which test killed each
//	make mutate ONLY='^purge'    those whose file and name match
//	make verify                  among other things: each mutant finds what it changes
//
// # Files of mutants
//
// They stand beside the tests that are to kill them, and end in .mutants. A line that begins with
// a # is a comment. All else are fields, whose value stands on the same line, on the indented lines
// below it, or on both:
//
//	file: sql/undo/purge_notifications.sql
//
//	mutant: purges the youngest first
//	replace: ORDER BY n.deleted_at
//	by: ORDER BY n.deleted_at DESC
//
//	mutant: waits for what is held, and for foreign keys
//	killed by: TestPurgesNeitherLiveNorYoungNorLockedNotifications
//	delete: SKIP LOCKED
//	replace everywhere:
//	    FOR NO KEY
//	    UPDATE
//	by: FOR UPDATE
//
// file is what all changes below it are made in, until the next file. mutant begins one, and says
// what it does wrong. Its changes are made one after another: delete takes a text away, replace
// and by put another one in its place. The text has to be found exactly once, or, with the word
// everywhere, at least once. It is compared token by token: white space and comments between
// tokens do not count, but upper case does, and what stands in quotes is one token. When it is
// found twice, write more of what stands beside it.
//
// killed by names tests that run first, to save time; above the first mutant of a file it is for
// all that have none of their own. After them comes the suite beside the file of mutants, and then
// all others but the slow ones: see pgtest.Slow. Where a condition stands twice and either backs
// the other up, both have to go. What no result tells from the original is no mutant: say so at
// the top of the file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := mutate(ctx); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// mutate reads the command line and does what it says.
func mutate(ctx context.Context) error {
	checkOnly := flag.Bool("check", false, "only see that each mutant finds what it changes")
	only := flag.String("only", "", "a regular `expression`: try the mutants that it matches")
	jobs := flag.Int("jobs", 2, "the `number` of mutants to try at once, each on its own server")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	tree, err := readTree(".")
	if err != nil {
		return fmt.Errorf("read the working tree: %w", err)
	}
	mutants, err := tree.mutants()
	if err == nil {
		err = tree.check(mutants)
	}
	if err != nil || *checkOnly {
		return err
	}
	var chosen []mutant
	for _, m := range mutants {
		if wanted.MatchString(m.String()) {
			chosen = append(chosen, m)
		}
	}
	if chosen == nil {
		return errors.New("-only: matches no mutant")
	}
	return tree.tryAll(ctx, chosen, *jobs)
}
