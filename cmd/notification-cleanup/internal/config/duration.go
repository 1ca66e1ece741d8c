package config

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// units are those of which the length is always the same: a month is none.
var units = map[string]time.Duration{
	"us": time.Microsecond, "µs": time.Microsecond, "microsecond": time.Microsecond,
	"ms": time.Millisecond, "millisecond": time.Millisecond,
	"s": time.Second, "sec": time.Second, "second": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute,
	"h": time.Hour, "hour": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour,
}

var (
	amount = regexp.MustCompile(`^\s*(-?\d+(?:\.\d+)?)\s*([a-zµ]+)`)
	clock  = regexp.MustCompile(`^\s*(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?$`)
)

var errNoDuration = errors.New("takes a time such as 30m, 2h or '30 days'")

// UnmarshalText reads numbers, each with a unit, and a time of the clock after them: 90m, 1h30m,
// 30 days, 1 day 02:30:00. Nothing is no time.
func (d *Duration) UnmarshalText(text []byte) error {
	rest, total := strings.ToLower(strings.TrimSpace(string(text))), float64(0)
	for rest != "" {
		if match := clock.FindStringSubmatch(rest); match != nil {
			total += number(match[1])*float64(time.Hour) + number(match[2])*float64(time.Minute) +
				number(match[3])*float64(time.Second)
			break
		}
		match := amount.FindStringSubmatch(rest)
		if match == nil {
			return errNoDuration
		}
		unit, known := units[match[2]]
		if !known {
			unit, known = units[strings.TrimSuffix(match[2], "s")]
		}
		if !known {
			return errNoDuration
		}
		total += number(match[1]) * float64(unit)
		rest = rest[len(match[0]):]
	}
	*d = Duration(total)
	return nil
}

// number is what the expressions above have found to be one, or 0 for nothing.
func number(digits string) float64 {
	value, _ := strconv.ParseFloat(digits, 64)
	return value
}
