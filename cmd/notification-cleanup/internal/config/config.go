// Package config is what the program can be told: one struct, read from the environment and from
// flags of the same names, and what makes its values wrong. It knows no command: which of them
// takes which setting is said where the command is.
package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config is the whole configuration. Each field is read from its environment variable, or from the
// flag of the same name (BATCH_SIZE, --batch-size), which wins. A variable that is set but empty
// counts as not set. What a setting means stands in descriptions.
type Config struct {
	MaxNotifications int32 `env:"MAX_NOTIFICATIONS, default=1000"`
	MinKeep          int32 `env:"MIN_KEEP, default=100"`
	MaxDeletions     int64 `env:"MAX_DELETIONS"`

	DryRun      bool     `env:"DRY_RUN, default=false"`
	CreateTable bool     `env:"CREATE_TABLE, default=false"`
	Suspend     string   `env:"SUSPEND"`
	Top         int64    `env:"TOP"`
	Limit       int64    `env:"LIMIT, default=20"`
	MaxAge      Duration `env:"MAX_AGE, default=26 hours"`
	Retention   Duration `env:"RETENTION, default=30 days"`

	Workers       int32    `env:"WORKERS, default=1"`
	BatchSize     int32    `env:"BATCH_SIZE, default=10000"`
	PauseFactor   float64  `env:"PAUSE_FACTOR, default=0"`
	MaxReplicaLag Duration `env:"MAX_REPLICA_LAG"`
	Timeout       Duration `env:"TIMEOUT"`

	Format    string `env:"FORMAT, default=text"`
	LogFormat string `env:"LOG_FORMAT, default=text"`

	DatabaseURL string `env:"DATABASE_URL"`
	Schema      string `env:"SCHEMA"`
}

// JSON tells if the result is for programs.
func (c Config) JSON() bool { return c.Format == "json" }

// UsageError is a mistake of the caller: exit status 2.
type UsageError string

func (e UsageError) Error() string { return string(e) }

// Validate reports every value that is out of its range, as one UsageError.
func (c Config) Validate() error {
	var problems []string
	check := func(ok bool, name string, value any, takes string) {
		if !ok {
			problems = append(problems, fmt.Sprintf("%s is %v, takes %s", name, value, takes))
		}
	}
	check(c.MaxNotifications >= 1, "MAX_NOTIFICATIONS", c.MaxNotifications, "1 or more")
	check(c.MinKeep >= 0 && c.MinKeep <= c.MaxNotifications, "MIN_KEEP", c.MinKeep,
		fmt.Sprintf("0 to MAX_NOTIFICATIONS (%d)", c.MaxNotifications))
	check(c.BatchSize >= 1 && c.BatchSize <= 1_000_000, "BATCH_SIZE", c.BatchSize, "1 to 1000000")
	check(c.PauseFactor >= 0 && c.PauseFactor <= 1000, "PAUSE_FACTOR", c.PauseFactor, "0 to 1000")
	check(c.MaxReplicaLag >= 0, "MAX_REPLICA_LAG", c.MaxReplicaLag, "a time such as 30s")
	check(c.Workers >= 1 && c.Workers <= 64, "WORKERS", c.Workers, "1 to 64")
	check(c.MaxDeletions >= 0, "MAX_DELETIONS", c.MaxDeletions, "1 or more")
	check(c.Limit >= 1, "LIMIT", c.Limit, "1 or more")
	check(c.MaxAge > 0, "MAX_AGE", c.MaxAge, "a time such as '26 hours'")
	check(c.Top >= 0, "TOP", c.Top, "1 or more")
	check(c.Timeout >= 0, "TIMEOUT", c.Timeout, "a time such as 30m")
	check(c.Retention > 0, "RETENTION", c.Retention, "a time such as '30 days'")
	for _, setting := range Settings() {
		if choices := setting.Choices(); len(choices) > 0 {
			value := setting.of(c)
			check(slices.Contains(choices, value),
				setting.Variable, fmt.Sprintf("%q", value), oneOf(choices))
		}
	}
	if problems == nil {
		return nil
	}
	return UsageError(strings.Join(problems, "; "))
}

// oneOf lists words: text, json or prometheus.
func oneOf(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Duration is a length of time, written as in Go (1h30m) or as in PostgreSQL ('30 days').
type Duration time.Duration

// String writes it as Go does.
func (d Duration) String() string { return time.Duration(d).String() }

// Seconds are its length, for make_interval().
func (d Duration) Seconds() float64 { return time.Duration(d).Seconds() }
