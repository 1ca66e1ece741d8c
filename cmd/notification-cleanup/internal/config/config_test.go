package config

import (
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
)

func TestFlagsWinOverVariablesAndEmptyVariablesCountAsUnset(t *testing.T) {
	t.Parallel()
	c, err := Load(t.Context(), Given{"MIN_KEEP": "5", "DRY_RUN": "true"}, envconfig.MapLookuper(
		map[string]string{"MIN_KEEP": "7", "WORKERS": "3", "TIMEOUT": "", "BATCH_SIZE": "", "FORMAT": ""},
	))
	if err != nil || c.MinKeep != 5 || c.Workers != 3 || !c.DryRun || c.BatchSize != 10000 ||
		c.Format != "text" || time.Duration(c.Retention) != 30*24*time.Hour {
		t.Errorf("config %+v, error %v", c, err)
	}
}

func TestEachSettingIsDescribed(t *testing.T) {
	t.Parallel()
	for _, s := range Settings() {
		if s.help == "" {
			t.Errorf("%s has no help", s.Variable)
		}
	}
	if len(descriptions) != len(Settings()) {
		t.Errorf("%d descriptions of %d settings", len(descriptions), len(Settings()))
	}
}

// No message is that of a library.
func TestAnUnreadableValueIsNamedWithWhatItsVariableTakes(t *testing.T) {
	t.Parallel()
	for variable, takes := range map[string]string{
		"MAX_NOTIFICATIONS": "takes a whole number",
		"TOP":               "takes a whole number",
		"PAUSE_FACTOR":      "takes a number",
		"DRY_RUN":           "takes true or false",
		"TIMEOUT":           "takes a time such as",
		"RETENTION":         "takes a time such as",
		"FORMAT":            "takes text, json or prometheus",
	} {
		for _, value := range []string{"many", "1 month", "99999999999999999999x"} {
			env := envconfig.MapLookuper(map[string]string{variable: value})
			_, err := Load(t.Context(), nil, env)
			usage, ok := err.(UsageError)
			if want := variable + ` is "` + value + `", ` + takes; !ok ||
				!strings.HasPrefix(usage.Error(), want) || strings.Contains(usage.Error(), "strconv") {
				t.Errorf("%s=%s: %v, want %s", variable, value, err, want)
			}
		}
	}
}

func TestDurationsAreWrittenAsInGoAndAsInPostgreSQL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"720h":           720 * time.Hour,
		"1h30m":          90 * time.Minute,
		"1.5s":           1500 * time.Millisecond,
		"30 days":        30 * 24 * time.Hour,
		"1 day 02:30:00": 26*time.Hour + 30*time.Minute,
		"00:05":          5 * time.Minute,
		"2 Weeks 1 hour": 14*24*time.Hour + time.Hour,
		"90 MIN":         90 * time.Minute,
		"-1s":            -time.Second,
		"250 ms":         250 * time.Millisecond,
		"":               0,
		"5":              0,
		"1 month":        0,
		"h":              0,
		"1 hour later":   0,
	} {
		var d Duration
		err := d.UnmarshalText([]byte(text))
		if time.Duration(d) != want || (err == nil) != (want != 0 || text == "") {
			t.Errorf("%q is %v, error %v, want %v", text, d, err, want)
		}
	}
}
