package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		GroupID: install,
		Short:   "show the version of this program",
		Example: "  notification-cleanup version",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version())
			return err
		},
	}
}

// version is what Go has recorded of the build: a tag, or the commit and whether the files
// differed from it.
func version() string {
	info, _ := debug.ReadBuildInfo() // every Go build has it
	return fmt.Sprintf("notification-cleanup %s (%s)", info.Main.Version, info.GoVersion)
}
