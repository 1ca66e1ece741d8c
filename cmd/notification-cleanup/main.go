// Command notification-cleanup caps the notifications of every user by calling the SQL routines
// that it installs.
//
// It holds no policy of its own: psql and pg_cron call the same routines with the same result and
// the same history.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/sethvargo/go-envconfig"
	_ "golang.org/x/crypto/x509roots/fallback" // where the machine has no root certificates
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(execute(ctx, os.Args[1:], envconfig.OsLookuper(), os.Stdout, os.Stderr))
}
