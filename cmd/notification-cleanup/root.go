package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hbollon/go-edlib"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/notification-cleanup/notification-cleanup/cmd/notification-cleanup/internal/config"
)

// alwaysWrites marks a command that has no dry run.
const alwaysWrites = "alwaysWrites"

// The groups of commands in the help.
const (
	cleanup = "cleanup"
	look    = "look"
	control = "control"
	undo    = "undo"
	install = "install"
)

func init() {
	cobra.EnableCommandSorting = false // they are in the order in which one needs them
}

// newRoot returns the program's command line. Without a command it is run.
func newRoot(a *app) *cobra.Command {
	run := a.runCommand()
	root := a.takes(&cobra.Command{
		Use: "notification-cleanup",
		Long: "Soft-deletes the oldest read notifications of users who have too many. " +
			"It never deletes an unread one.",
		Example: "  notification-cleanup preview\n" +
			"  notification-cleanup run --workers 2 --timeout 2h",
		Version: version(),
		Args:    noArguments,
		RunE:    run.RunE,
	}, runSettings...)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetOut(a.stdout.Writer)
	root.SetErr(a.stderr.Writer)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(refuseFlag)
	root.SetHelpFunc(a.help)
	root.AddGroup(
		&cobra.Group{ID: cleanup, Title: "Clean up"},
		&cobra.Group{ID: look, Title: "Look"},
		&cobra.Group{ID: control, Title: "A run under way"},
		&cobra.Group{ID: undo, Title: "What was deleted"},
		&cobra.Group{ID: install, Title: "Install"},
	)
	root.AddCommand(
		a.previewCommand(), run,
		a.doctorCommand(), a.healthCommand(), a.historyCommand(), a.statsCommand(),
		a.limitsCommand(), a.explainCommand(),
		a.stopCommand(), a.paceCommand(), a.suspendCommand(), a.resumeCommand(),
		a.restoreCommand(), a.purgeCommand(),
		a.migrateCommand(), a.versionCommand(),
	)
	root.SetHelpCommandGroupID(install)
	root.SetCompletionCommandGroupID(install)
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Short = "print a script with which your shell completes commands and flags"
		}
	}
	return root
}

// common are the settings that every command takes which has a database.
var common = []string{"TIMEOUT", "FORMAT", "LOG_FORMAT", "DATABASE_URL", "SCHEMA"}

// takes gives a command the flags of these settings, and of those that all take.
func (a *app) takes(cmd *cobra.Command, settings ...string) *cobra.Command {
	cmd.Flags().SortFlags = false
	for _, setting := range config.Settings() {
		if !slices.Contains(slices.Concat(settings, common), setting.Variable) {
			continue
		}
		a.given.Define(cmd.Flags(), setting)
		if choices := setting.Choices(); len(choices) > 0 {
			complete := cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp)
			_ = cmd.RegisterFlagCompletionFunc(setting.Flag(), complete) // it is there
		}
	}
	return cmd
}

// noArguments refuses a word behind a command, and proposes the command that was meant.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasSubCommands() {
		return config.UsageError(fmt.Sprintf("%s takes no %q", nameOf(cmd), args[0]))
	}
	var known []string
	for _, c := range cmd.Commands() {
		known = append(known, c.Name())
	}
	return config.UsageError(fmt.Sprintf("unknown command %q%s: %s --help lists them",
		args[0], didYouMean(args[0], known), cmd.CommandPath()))
}

// takesRunID refuses whatever is not the one id of a run.
func takesRunID(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		if _, err := strconv.ParseInt(args[0], 10, 64); err == nil {
			return nil
		}
	}
	mistake := ""
	if len(args) > 0 {
		mistake = fmt.Sprintf(", not %q", strings.Join(args, " "))
	}
	return config.UsageError(fmt.Sprintf(
		"%s takes the id of a run%s: notification-cleanup history lists them",
		nameOf(cmd), mistake))
}

// nameOf is what stands behind the program's own name: migrate up.
func nameOf(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// refuseFlag makes the error of a flag one of usage, and proposes the flag that was meant.
func refuseFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return config.UsageError(err.Error())
	}
	var known []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { known = append(known, "--"+flag.Name) })
	name := "--" + cmp.Or(unknown.GetSpecifiedShortnames(), unknown.GetSpecifiedName())
	return config.UsageError(fmt.Sprintf("%s has no flag %s%s: %s --help lists them",
		nameOf(cmd), name, didYouMean(name, known), cmd.CommandPath()))
}

// didYouMean proposes the known word that is nearest to a mistyped one, if it is near.
func didYouMean(mistyped string, known []string) string {
	// Two letters in the wrong order are one mistake.
	distance := func(word string) int { return edlib.OSADamerauLevenshteinDistance(mistyped, word) }
	nearest := slices.MinFunc(known, func(a, b string) int { return distance(a) - distance(b) })
	if distance(nearest) > 1+len(mistyped)/4 {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", nearest)
}
