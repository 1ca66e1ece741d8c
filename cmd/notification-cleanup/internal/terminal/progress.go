package terminal

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/time/rate"
)

// logInterval is how often progress is logged where there is no bar.
const logInterval = 10 * time.Second

// Progress shows how far something has come: by a bar on a terminal, by a line of the log now and
// then elsewhere.
type Progress struct {
	log      *Log
	doing    string
	expected int64
	bar      *progressbar.ProgressBar
	rarely   rate.Sometimes
}

// NewProgress begins to show it. What is done within the first seconds needs no line of the log.
func NewProgress(log *Log, doing string, expected int64) *Progress {
	p := &Progress{log: log, doing: doing, expected: expected}
	if log.Width == 0 || expected == 0 {
		p.rarely.Interval = logInterval
		p.rarely.Do(func() {})
		return p
	}
	p.bar = progressbar.NewOptions64(expected,
		progressbar.OptionSetWriter(log.Screen),
		progressbar.OptionSetDescription(doing),
		progressbar.OptionSetRenderBlankState(true), // starts its clock
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("notifications"),
		progressbar.OptionFullWidth(),
	)
	log.setBar(true)
	return p
}

// Show shows that so many are done.
func (p *Progress) Show(done int64) {
	if p.bar != nil {
		_ = p.bar.Set64(min(done, p.expected))
		return
	}
	p.rarely.Do(func() {
		p.log.Info(p.doing, "notifications_done", done, "notifications_expected", p.expected)
	})
}

// End leaves the bar as it is.
func (p *Progress) End() {
	if p.bar != nil {
		p.log.setBar(false)
		fmt.Fprintln(p.log.Screen)
	}
}

func (l *Log) setBar(there bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.bar = there
}
