package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/config"
	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/terminal"
)

const exitStatuses = "Exit status: 0 done, 1 failed, 2 bad configuration or usage, " +
	"3 stopped early (by a signal, by TIMEOUT, or because somebody stopped, undid or suspended " +
	"the run)."

// help explains a command: what it does, an example, its commands, its flags in groups.
func (a *app) help(cmd *cobra.Command, _ []string) {
	s := a.stdout
	if s.Width == 0 {
		s.Width = 80 // for less, and for whoever keeps it
	}
	paragraph := func(words string) string {
		return s.Table([]terminal.Column{{}}, [][]string{{words}})
	}
	parts := []string{
		paragraph(firstOf(cmd.Long, cmd.Short)),
		"Usage: " + cmd.UseLine() + optionalCommand(cmd),
	}
	if cmd.Example != "" {
		parts = append(parts, "For example:\n"+cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		parts = append(parts, s.Table(make([]terminal.Column, 2), commandRows(cmd)))
	}
	if rows := flagRows(cmd); len(rows) > 0 {
		parts = append(parts,
			s.Table(make([]terminal.Column, 2), rows),
			paragraph("Each flag is also a variable: --batch-size is BATCH_SIZE. The flag wins."))
	}
	if cmd.HasAvailableSubCommands() && !cmd.HasParent() {
		parts = append(parts, paragraph(exitStatuses))
	}
	fmt.Fprintln(cmd.OutOrStdout(), strings.Join(parts, "\n\n"))
}

func firstOf(long, short string) string {
	if long != "" {
		return long
	}
	return strings.ToUpper(short[:1]) + short[1:] + "."
}

func optionalCommand(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() && !strings.Contains(cmd.Use, "[command]") {
		return " [command]"
	}
	return ""
}

// commandRows are the commands below this one, in their groups.
func commandRows(cmd *cobra.Command) (rows [][]string) {
	list := func(group string) {
		for _, c := range cmd.Commands() {
			if c.GroupID == group && c.IsAvailableCommand() {
				_, arguments, _ := strings.Cut(c.Use, " ")
				name := strings.TrimSpace(c.Name() + " " + arguments)
				rows = append(rows, []string{"  " + name, c.Short})
			}
		}
	}
	list("")
	for _, group := range cmd.Groups() {
		rows = append(rows, []string{group.Title + ":", ""})
		list(group.ID)
	}
	return rows
}

// flagRows are the flags of a command, in their groups.
func flagRows(cmd *cobra.Command) (rows [][]string) {
	for _, group := range config.Groups {
		headed := false
		for _, setting := range config.Settings() {
			flag := cmd.Flags().Lookup(setting.Flag())
			if flag == nil || setting.Group() != group {
				continue
			}
			if !headed {
				rows = append(rows, []string{headingOf(group), ""})
				headed = true
			}
			help := flag.Usage
			if setting.Default != "" && setting.Default != "false" {
				help += " (default " + setting.Default + ")"
			}
			name := strings.TrimSpace("--" + flag.Name + " " + flag.Value.Type())
			rows = append(rows, []string{"  " + name, help})
		}
	}
	return rows
}

func headingOf(group string) string {
	if group == "" {
		return "Flags:"
	}
	return group + ":"
}
