package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// write writes the raw figures, and the tables and the chart that follow from them.
func (b *bench) write(samples []sample) error {
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(samples, "", "\t")
	if err != nil {
		return err
	}
	r := report{samples, b.n}
	fmt.Print("\n", r.tables())
	for name, content := range map[string]string{"results.json": string(raw) + "\n", "tables.md": r.tables(), "chart.svg": r.chart()} {
		if err := os.WriteFile(filepath.Join(b.out, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

type report struct {
	samples []sample
	n       int
}

// median is the median of a figure over the rounds of a contender, with or without the application.
func (r report) median(contender string, busy bool, figure func(sample) float64) float64 {
	var values []float64
	for _, s := range r.samples {
		if s.Contender == contender && (s.Application != nil) == busy {
			values = append(values, figure(s))
		}
	}
	if values == nil {
		return 0
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

func seconds(s sample) float64 { return s.Seconds }

func (r report) tables() string {
	var t strings.Builder
	limit := r.median("limit", false, seconds)
	fmt.Fprintf(&t, "%d notifications, %.0f to delete\n\n", r.n, r.median("limit", false, func(s sample) float64 { return float64(s.Notifications) }))
	t.WriteString("| drain | seconds | x the limit | rows a second | WAL bytes a row | temporary MB | program MB |\n|---|---|---|---|---|---|---|\n")
	for _, c := range contenders {
		if c.name == alone {
			continue
		}
		value := func(figure func(sample) float64) float64 { return r.median(c.name, false, figure) }
		fmt.Fprintf(&t, "| %s | %.2f | %.2f | %.0f | %.0f | %.0f | %.0f |\n", c.name, value(seconds), value(seconds)/limit,
			value(func(s sample) float64 { return float64(s.Notifications) / s.Seconds }),
			value(func(s sample) float64 { return float64(s.WALBytes) / float64(s.Notifications) }),
			value(func(s sample) float64 { return float64(s.TempBytes) / (1 << 20) }),
			value(func(s sample) float64 { return float64(s.ResidentBytes) / (1 << 20) }))
	}
	p99 := func(s sample) float64 { return s.Application.P99 }
	t.WriteString("\n| beside an application | seconds | p50 ms | p99 ms | x alone | deadlocks | time-outs |\n|---|---|---|---|---|---|---|\n")
	for _, c := range contenders {
		value := func(figure func(sample) float64) float64 { return r.median(c.name, true, figure) }
		fmt.Fprintf(&t, "| %s | %.2f | %.2f | %.2f | %.2f | %.0f | %.0f |\n", c.name, value(seconds),
			value(func(s sample) float64 { return s.Application.P50 }), value(p99), value(p99)/r.median(alone, true, p99),
			value(func(s sample) float64 { return float64(s.Application.Deadlocks) }),
			value(func(s sample) float64 { return float64(s.Application.Timeouts) }))
	}
	t.WriteString("\n| look | seconds | x the bare find |\n|---|---|---|\n")
	for _, l := range looks {
		value := r.median(l.name, false, seconds)
		fmt.Fprintf(&t, "| %s | %.3f | %.2f |\n", l.name, value, value/r.median(bareFind, false, seconds))
	}
	return t.String()
}

// chart draws how often each contender takes the time of the limit.
func (r report) chart() string {
	const row, left, scale = 26, 150, 90
	var bars strings.Builder
	y := 40
	for _, c := range contenders {
		if c.name == alone {
			continue
		}
		ratio := r.median(c.name, false, seconds) / r.median("limit", false, seconds)
		width := min(ratio, 5) * scale
		fmt.Fprintf(&bars, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.0f" height="16"/><text x="%.0f" y="%d">%.2f</text>`+"\n",
			left-8, y+13, c.name, left, y, width, left+width+6, y+13, ratio)
		y += row
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 %[1]d" font-family="sans-serif" font-size="13">
<style>text { fill: #222 } rect { fill: #3b75af } line { stroke: #888; stroke-dasharray: 3 } @media (prefers-color-scheme: dark) { text { fill: #ddd } rect { fill: #6aa5e0 } }</style>
<text x="8" y="20">Time to clean up a table of %[2]d notifications, in multiples of the bare update</text>
<line x1="%[3]d" y1="32" x2="%[3]d" y2="%[1]d"/>
%[4]s</svg>
`, y+6, r.n, left+scale, bars.String())
}
