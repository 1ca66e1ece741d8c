package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// Config is the whole configuration. Each field is read from its environment variable, or from the flag of the same
// name (BATCH_SIZE, -batch-size), which wins. A variable that is set but empty counts as not set.
type Config struct {
	DatabaseURL      string        `env:"DATABASE_URL" usage:"connection string (default: the PG* variables)"`
	MaxNotifications int32         `env:"MAX_NOTIFICATIONS, default=1000" for:"run preview limits stats" usage:"live notifications a user may have before the cleanup acts"`
	MinKeep          int32         `env:"MIN_KEEP, default=100" for:"run preview limits" usage:"newest read notifications that each user keeps"`
	BatchSize        int32         `env:"BATCH_SIZE, default=10000" for:"run purge restore" usage:"notifications a transaction deletes or restores"`
	PauseFactor      float64       `env:"PAUSE_FACTOR, default=0" for:"run" usage:"after each batch rest this many times as long as it took"`
	MaxReplicaLag    time.Duration `env:"MAX_REPLICA_LAG" for:"run" usage:"before each batch wait until no standby and no logical slot is further behind, such as 30s (default: no limit)"`
	Workers          int32         `env:"WORKERS, default=1" for:"run" usage:"batches at the same time, each on its own connection"`
	DryRun           bool          `env:"DRY_RUN, default=false" for:"run" usage:"run: print what would go, write nothing"`
	Top              int64         `env:"TOP" for:"run preview" usage:"preview: users to show at most (default: 20 on a terminal, all elsewhere)"`
	Timeout          time.Duration `env:"TIMEOUT" usage:"stop early after this time, such as 30m (default: no limit)"`
	Retention        time.Duration `env:"RETENTION, default=720h" for:"purge" usage:"purge: how long deleted notifications can still be restored"`
	Format           string        `env:"FORMAT, default=text" usage:"of the result on stdout: text or json (an object a line)"`
	LogFormat        string        `env:"LOG_FORMAT, default=text" usage:"of the log on stderr: text or json"`
	Schema           string        `env:"SCHEMA" usage:"schema of the notifications table (default: the search_path of the connection)"`
}

// usageError is a mistake of the caller: exit status 2.
type usageError string

func (e usageError) Error() string { return string(e) }

// Validate reports every value that is out of its range, as one usageError.
func (c Config) Validate() error {
	var problems []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	check(c.MaxNotifications >= 1, "MAX_NOTIFICATIONS is %d, takes 1 or more", c.MaxNotifications)
	check(c.MinKeep >= 0 && c.MinKeep <= c.MaxNotifications, "MIN_KEEP is %d, takes 0 to MAX_NOTIFICATIONS (%d)", c.MinKeep, c.MaxNotifications)
	check(c.BatchSize >= 1 && c.BatchSize <= 1000000, "BATCH_SIZE is %d, takes 1 to 1000000", c.BatchSize)
	check(c.PauseFactor >= 0 && c.PauseFactor <= 1000, "PAUSE_FACTOR is %v, takes 0 to 1000", c.PauseFactor)
	check(c.MaxReplicaLag >= 0, "MAX_REPLICA_LAG is %v, takes a duration such as 30s", c.MaxReplicaLag)
	check(c.Workers >= 1 && c.Workers <= 64, "WORKERS is %d, takes 1 to 64", c.Workers)
	check(c.Top >= 0, "TOP is %d, takes 1 or more", c.Top)
	check(c.Timeout >= 0, "TIMEOUT is %v, takes a duration such as 30m", c.Timeout)
	check(c.Retention > 0, "RETENTION is %v, takes a duration such as 720h", c.Retention)
	check(c.Format == "text" || c.Format == "json", "FORMAT is %q, takes text or json", c.Format)
	check(c.LogFormat == "text" || c.LogFormat == "json", "LOG_FORMAT is %q, takes text or json", c.LogFormat)
	if problems == nil {
		return nil
	}
	return usageError(strings.Join(problems, "; "))
}

// loadConfig reads the configuration from flags and env, and returns it with the words of args that are no flags.
// Flags may stand before and after them. The error is flag.ErrHelp, errVersion or a usageError.
func loadConfig(ctx context.Context, args []string, env envconfig.Lookuper) (Config, []string, error) {
	var cfg Config
	given := map[string]string{}
	flags := flag.NewFlagSet("notification-cleanup", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var names []string
	for field := range configFields() { // a flag for each, which puts its value under the variable's name
		names = append(names, "-"+flagName(field))
		define := flags.Func
		if field.Type.Kind() == reflect.Bool {
			define = flags.BoolFunc
		}
		define(flagName(field), field.Tag.Get("usage"), func(value string) error {
			given[variable(field)] = value
			return nil
		})
	}
	version := flags.Bool("version", false, "")
	var words []string
	for {
		if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			return cfg, append(words, flags.Args()...), err
		} else if err != nil {
			_, mistyped, _ := strings.Cut(err.Error(), "not defined: ")
			return cfg, nil, usageError(err.Error() + didYouMean(mistyped, names))
		} else if *version {
			return cfg, nil, errVersion
		}
		if flags.NArg() == 0 {
			break
		}
		words = append(words, flags.Arg(0))
		args = flags.Args()[1:]
	}

	notEmpty := envconfig.LookuperFunc(func(key string) (string, bool) {
		value, ok := env.Lookup(key)
		return value, ok && value != ""
	})
	lookuper := envconfig.MultiLookuper(envconfig.MapLookuper(given), notEmpty)
	if err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: &cfg, Lookuper: lookuper}); err != nil {
		message := err.Error()
		for field := range configFields() {
			message = strings.Replace(message, field.Name+":", variable(field)+":", 1)
		}
		return cfg, nil, usageError(message)
	}
	return cfg, words, cfg.Validate()
}

func configFields() func(yield func(reflect.StructField) bool) {
	return reflect.TypeFor[Config]().Fields()
}

func variable(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
	return name
}

func flagName(field reflect.StructField) string {
	return strings.ToLower(strings.ReplaceAll(variable(field), "_", "-"))
}
