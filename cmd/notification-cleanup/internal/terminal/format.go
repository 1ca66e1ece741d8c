package terminal

import (
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Number is a count by thousands.
func Number(n int64) string { return humanize.Comma(n) }

// Time is a time in the local zone, to the second; nothing for none.
func Time(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

// Span is a length of time, as precise as people want to know it.
func Span(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// Bar draws a share of width.
func Bar(share float64, width int) string {
	length := int(share * float64(width))
	if share > 0 && float64(length) < share*float64(width) {
		length++ // whatever is there is seen
	}
	return strings.Repeat("█", length)
}

func lines(text string) []string { return strings.Split(text, "\n") }
