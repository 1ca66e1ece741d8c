package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// findServer returns the folder with the server's programs: PG_BIN, or that of the initdb in the
// PATH, or the newest one of Debian's. The error says what to do, also with the variable that
// could name a running server.
func findServer(variable string) (string, error) {
	for _, dir := range serverFolders() {
		if hasFile(dir, "initdb") { // which says it itself if there is no postgres beside it
			return filepath.Abs(dir)
		}
	}
	return "", fmt.Errorf("no PostgreSQL server found: "+
		"install one (apt-get install postgresql), "+
		"or set PG_BIN to the folder of its initdb and postgres, "+
		"or set %s to the URL of a running one (docker run postgres)", variable)
}

// serverFolders are the folders to look into, the best first.
func serverFolders() []string {
	if bin := os.Getenv("PG_BIN"); bin != "" {
		return []string{bin}
	}
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	version := func(dir string) float64 { // a number, as 9.6 is older than 15
		v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(dir)), 64)
		return v
	}
	slices.SortFunc(dirs, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if initdb, err = filepath.EvalSymlinks(initdb); err == nil {
			dirs = slices.Insert(dirs, 0, filepath.Dir(initdb))
		}
	}
	return dirs
}

// hasFile tells if there is such a file in the folder.
func hasFile(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}
