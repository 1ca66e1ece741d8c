package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// runCommand runs the command, passes signals on to it and returns its exit status as a shell
// would.
func runCommand(command *exec.Cmd, signals <-chan os.Signal) (int, error) {
	if err := command.Start(); err != nil {
		return 1, fmt.Errorf("run command: %w", err)
	}
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }() // the exit status is read below
	for {
		select {
		case sig := <-signals:
			if sig != syscall.SIGINT || !inForeground() {
				_ = command.Process.Signal(sig) // fails only when the command has just ended
			}
		case <-ended:
			if status := command.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
				return statusOf(status.Signal()), nil
			}
			return command.ProcessState.ExitCode(), nil
		}
	}
}

// inForeground tells if a terminal's Ctrl-C goes to our process group. The command then has had
// its SIGINT, and to many programs a second one means to quit without cleaning up.
func inForeground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}
