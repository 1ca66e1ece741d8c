// With-postgres runs a command against a PostgreSQL server: the one named by the environment, or
// else a throw-away server that lives as long as the command.
//
//	with-postgres [-env NAME] [-durable] [-citus] COMMAND [ARG ...]
//
// NAME (DATABASE_URL by default) is the environment variable with the connection URL. If it is
// set, COMMAND just replaces this program; otherwise it is set for COMMAND. The exit status is
// COMMAND's. A durable server keeps its data on disk, as one in production does; any other is as
// fast as it can be. With -citus it is a cluster: the URL is that of its coordinator, whose
// database knows two workers.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	status, err := run(os.Args[1:], catchSignals())
	if err != nil {
		fmt.Fprintln(os.Stderr, "with-postgres:", err)
	}
	os.Exit(status)
}

// run does what the package comment says and returns the exit status.
func run(args []string, signals <-chan os.Signal) (status int, err error) {
	o, err := parse(args)
	if err != nil {
		return 2, err
	}
	path, err := exec.LookPath(o.command[0])
	if err != nil {
		return 127, fmt.Errorf("find command: %w", err)
	}
	if os.Getenv(o.variable) != "" {
		err := syscall.Exec(path, o.command, os.Environ()) // returns only when it could not
		return 1, fmt.Errorf("run command: %w", err)
	}
	url, stop, err := startServers(o, signals)
	defer stop()
	var interrupted interruptedError
	if errors.As(err, &interrupted) {
		return statusOf(interrupted.signal), nil
	}
	if err != nil {
		return 1, err
	}
	command := exec.Command(path)
	command.Args = o.command
	command.Env = append(environment(), o.variable+"="+url)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	return runCommand(command, signals)
}

// catchSignals returns the signals that would end this program. What it ignores stays ignored,
// here and for the command, so that nohup still works.
func catchSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 8)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	return signals
}

// statusOf is the exit status of a program that a signal has ended, as a shell tells it.
func statusOf(sig os.Signal) int { return 128 + int(sig.(syscall.Signal)) }

// options are the command line.
type options struct {
	variable string // with the URL
	durable  bool
	citus    bool
	command  []string
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("with-postgres", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error of ours is one line
	flags.StringVar(&o.variable, "env", "DATABASE_URL", "")
	flags.BoolVar(&o.durable, "durable", false, "")
	flags.BoolVar(&o.citus, "citus", false, "")
	err := flags.Parse(args)
	o.command = flags.Args()
	if err != nil || len(o.command) == 0 || o.variable == "" || strings.Contains(o.variable, "=") {
		return options{}, errors.New(
			"usage: with-postgres [-env NAME] [-durable] [-citus] COMMAND [ARG ...]")
	}
	return o, nil
}

// environment is the caller's, without what would lead elsewhere: PGPORT would move the server's
// socket, and PGSERVICE or PGOPTIONS would turn the command away from it.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "PG_BIN=")
	})
}
