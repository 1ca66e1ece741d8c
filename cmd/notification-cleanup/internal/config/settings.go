package config

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/pflag"
)

// Setting is a field of Config, as those see it who set it.
type Setting struct {
	Variable string
	Default  string
	description
	field reflect.StructField
}

// Settings are all of them, in the order of the struct.
func Settings() []Setting {
	var all []Setting
	for field := range reflect.TypeFor[Config]().Fields() {
		variable, options, _ := strings.Cut(field.Tag.Get("env"), ",")
		_, value, _ := strings.Cut(options, "default=")
		all = append(all, Setting{variable, value, descriptions[variable], field})
	}
	return all
}

// Flag is the name of its flag.
func (s Setting) Flag() string {
	return strings.ToLower(strings.ReplaceAll(s.Variable, "_", "-"))
}

// Group is the heading of the help that it stands under.
func (s Setting) Group() string { return s.group }

// Choices are the words that it takes, if it does not take any.
func (s Setting) Choices() []string { return s.choices }

func (s Setting) of(c Config) string {
	return fmt.Sprint(reflect.ValueOf(c).FieldByIndex(s.field.Index))
}

// Given is what flags have set, by the names of the variables.
type Given map[string]string

// Define makes the flag of a setting.
func (g Given) Define(flags *pflag.FlagSet, s Setting) {
	flag := flags.VarPF(&value{g, s}, s.Flag(), "", s.help)
	if s.field.Type.Kind() == reflect.Bool {
		flag.NoOptDefVal = "true"
	}
}

// value is a flag that hands on what it is given.
type value struct {
	given   Given
	setting Setting
}

// Set implements pflag.Value.
func (v *value) Set(text string) error {
	v.given[v.setting.Variable] = text
	return nil
}

// String implements pflag.Value: it is the default.
func (v *value) String() string { return v.setting.Default }

// Type implements pflag.Value: it stands for the value in the help.
func (v *value) Type() string { return v.setting.description.value }

// Load reads the configuration from what flags have set, and from env.
func Load(ctx context.Context, given Given, env envconfig.Lookuper) (Config, error) {
	notEmpty := envconfig.LookuperFunc(func(key string) (string, bool) {
		value, ok := env.Lookup(key)
		return value, ok && value != ""
	})
	var c Config
	err := envconfig.ProcessWith(ctx, &envconfig.Config{
		Target:   &c,
		Lookuper: envconfig.MultiLookuper(envconfig.MapLookuper(given), notEmpty),
		Mutators: []envconfig.Mutator{envconfig.MutatorFunc(readable)},
	})
	var usage UsageError
	if errors.As(err, &usage) {
		return c, usage
	} else if err != nil {
		return c, err
	}
	return c, c.Validate()
}

// readable refuses a value that its field cannot hold, in words that name the variable.
func readable(
	_ context.Context,
	variable, _, _, value string,
) (newValue string, stop bool, err error) {
	for _, s := range Settings() {
		if takes := s.takes(value); s.Variable == variable && takes != "" {
			return "", true, UsageError(fmt.Sprintf("%s is %q, %s", variable, value, takes))
		}
	}
	return value, false, nil
}

// takes says what a setting takes, when it does not take the value.
func (s Setting) takes(value string) string {
	target := reflect.New(s.field.Type)
	if duration, ok := target.Interface().(*Duration); ok {
		if err := duration.UnmarshalText([]byte(value)); err != nil {
			return err.Error()
		}
		return ""
	}
	var err error
	switch kind := s.field.Type; kind.Kind() {
	case reflect.Int32, reflect.Int64:
		if _, err = strconv.ParseInt(value, 10, kind.Bits()); err != nil {
			return fmt.Sprintf("takes a whole number below %d", uint64(1)<<(kind.Bits()-1))
		}
	case reflect.Float64:
		if _, err = strconv.ParseFloat(value, 64); err != nil {
			return "takes a number"
		}
	case reflect.Bool:
		if _, err = strconv.ParseBool(value); err != nil {
			return "takes true or false"
		}
	}
	return ""
}
