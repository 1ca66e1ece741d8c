package pgtest

import (
	"os"
	"slices"
	"testing"
)

// Mark says that a suite runs in another way besides `make test`.
type Mark string

// The marks of a suite. TEST_ONLY names one of them where only the suites that have it are to run.
const (
	AlsoLong    Mark = "long"  // make test-long: many times as many random cases and kills
	AlsoOnCitus Mark = "citus" // make test-citus: on a Citus cluster
)

// wanted tells if a suite with these marks is to run.
func wanted(marks []Mark) bool {
	only := Mark(os.Getenv("TEST_ONLY"))
	return only == "" || slices.Contains(marks, only)
}

// Long is for a test that is not for `make test`, because it takes minutes: only `make test-long`
// runs it.
func Long(t *testing.T) {
	t.Helper()
	if Mark(os.Getenv("TEST_ONLY")) != AlsoLong {
		t.Skip("only make test-long runs this")
	}
}

// Slow is for a test that `make mutate` and `make test-short` leave out.
func Slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("this is slow, and left out with -short")
	}
}
