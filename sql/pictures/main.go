// Pictures draws the pictures of the documents, for light and for dark pages:
//
//	pictures FOLDER               all but the terminal
//	pictures -terminal FOLDER     the terminal, from a real run on the empty database of DATABASE_URL
//
// make pictures does both. The charts are of the figures in sql/bench/results.json.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	terminal := flag.Bool("terminal", false, "draw the terminal, from a real run")
	flag.Parse()
	if err := drawAll(flag.Arg(0), *terminal); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func drawAll(folder string, terminal bool) error {
	pictures := map[string]func() (string, error){
		"inbox.svg": inbox,
		"life.svg":  life,
		"run.svg":   run,
		"cost.svg":  cost,
		"pause.svg": pause,
	}
	if terminal {
		pictures = map[string]func() (string, error){"terminal.svg": session}
	}
	for name, draw := range pictures {
		picture, err := draw()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(picture), 0o644); err != nil {
			return err
		}
	}
	return nil
}
