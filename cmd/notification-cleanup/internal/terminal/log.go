package terminal

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/lmittmann/tint"
)

// Colours of the log, as ANSI numbers them. They can be read on white and on black.
const (
	red     = 1
	magenta = 5
)

// Log is stderr: log lines, and on a terminal a progress bar below them.
type Log struct {
	*slog.Logger
	Screen
	People bool // read it: it is text on a terminal

	mutex sync.Mutex
	bar   bool // there is one
}

// NewLog returns a log as one JSON object a line, as text for programs, or for people.
func NewLog(screen Screen, json bool) *Log {
	l := &Log{Screen: screen, People: screen.Width > 0 && !json}
	switch {
	case json:
		l.Logger = slog.New(slog.NewJSONHandler(l, nil))
	case l.People:
		l.Logger = slog.New(tint.NewTextHandler(l, &tint.Options{
			NoColor:     !screen.Colorful,
			ReplaceAttr: forPeople,
		}))
	default:
		l.Logger = slog.New(slog.NewTextHandler(l, nil))
	}
	return l
}

// Write writes a line of the log, in the place of a progress bar, which then comes again below it.
func (l *Log) Write(line []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.bar {
		l.wipe(l.Screen)
	}
	return l.Screen.Write(line)
}

func (l *Log) wipe(w io.Writer) { fmt.Fprintf(w, "\r%*s\r", l.Width-1, "") }

// forPeople changes an attribute of the log: what goes without saying is left out, and numbers are
// easy to read.
func forPeople(_ []string, attr slog.Attr) slog.Attr {
	switch value := attr.Value; {
	case value.Any() == slog.LevelWarn:
		return tint.Attr(magenta, slog.String(attr.Key, "WRN"))
	case value.Any() == slog.LevelError:
		return tint.Attr(red, slog.String(attr.Key, "ERR"))
	case attr.Key == slog.TimeKey, value.Any() == slog.LevelInfo, value.Any() == false:
		return slog.Attr{}
	case value.Kind() == slog.KindTime:
		attr.Value = slog.StringValue(value.Time().Local().Format(time.TimeOnly))
	case value.Kind() == slog.KindFloat64:
		attr.Value = slog.StringValue(humanize.CommafWithDigits(value.Float64(), 1))
	case value.Kind() == slog.KindInt64 && !strings.HasSuffix(attr.Key, "id"):
		attr.Value = slog.StringValue(humanize.Comma(value.Int64()))
	}
	return attr
}
