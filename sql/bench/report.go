package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// report is the raw figures, and the tables and the chart that follow from them.
type report struct {
	N       int      `json:"n"`
	Samples []sample `json:"samples"`
	Growth  []growth `json:"growth"`
}

// earlier is the report that is already there, if any.
func (b *bench) earlier() (r report) {
	if raw, err := os.ReadFile(filepath.Join(b.out, "results.json")); err == nil {
		_ = json.Unmarshal(raw, &r)
	}
	return r
}

func (b *bench) write(r report) error {
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	tables := r.tables()
	fmt.Print("\n", tables)
	files := map[string]string{"results.json": string(raw) + "\n", "tables.md": tables}
	if r.Samples != nil {
		files["chart.svg"] = r.chart()
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(b.out, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// median is the median of a figure over the rounds of a contender.
func (r report) median(kind, contender string, figure func(sample) float64) float64 {
	var values []float64
	for _, s := range r.Samples {
		if s.Kind == kind && s.Contender == contender {
			values = append(values, figure(s))
		}
	}
	if values == nil {
		return 0
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

func (r report) seconds(kind, contender string) float64 {
	return r.median(kind, contender, func(s sample) float64 { return s.Seconds })
}

// limits is how often somebody takes the time of the limit.
func (r report) limits(kind, contender string) float64 {
	return r.seconds(kind, contender) / r.seconds(kind, limit)
}

// p99 is of the operations of the median second.
func (r report) p99(contender string) float64 {
	return r.median(beside, contender, func(s sample) float64 { return s.Application.SecondP99 })
}

func megabytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func (r report) tables() string {
	var t strings.Builder
	row := func(format string, values ...any) {
		fmt.Fprintf(&t, "| "+strings.ReplaceAll(format, " ", " | ")+" |\n", values...)
	}
	table := func(title string, columns ...string) {
		fmt.Fprintf(&t, "\n%s\n\n| %s |\n|%s\n", title, strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	}
	if r.Samples != nil {
		deleted := r.median(drain, limit, func(s sample) float64 { return float64(s.Notifications) })
		r.targets(table, row)
		table(fmt.Sprintf("**Alone**: %d notifications, %.0f to delete.", r.N, deleted),
			"", "find, s", "x the limit", "drain, s", "x the limit", "rows a second", "WAL bytes a row", "temporary MB", "program MB")
		for _, c := range contenders[1:] {
			value := func(figure func(sample) float64) float64 { return r.median(drain, c.name, figure) }
			row("%s %.3f %.2f %.2f %.2f %.0f %.0f %.0f %.0f", c.name, r.seconds(find, c.name), r.limits(find, c.name),
				r.seconds(drain, c.name), r.limits(drain, c.name),
				value(func(s sample) float64 { return float64(s.Notifications) / s.Seconds }),
				value(func(s sample) float64 { return float64(s.WALBytes) / float64(s.Notifications) }),
				value(func(s sample) float64 { return megabytes(s.TempBytes) }),
				value(func(s sample) float64 { return megabytes(s.ResidentBytes) }))
		}
		table("**Beside an application** of a fixed rate of operations.", "", "drain, s", "WAL bytes a row", "p50, ms", "p99 of all, ms", "p99 of a second, ms", "x alone", "deadlocks", "time-outs")
		for _, c := range slices.Concat(contenders, variants) {
			if r.seconds(beside, c.name) == 0 {
				continue
			}
			value := func(figure func(sample) float64) float64 { return r.median(beside, c.name, figure) }
			row("%s %.2f %.0f %.2f %.2f %.2f %.2f %.0f %.0f", c.name, r.seconds(beside, c.name),
				value(func(s sample) float64 {
					if s.Contender == alone { // it writes for other reasons
						return 0
					}
					return float64(s.WALBytes) / float64(s.Notifications)
				}),
				value(func(s sample) float64 { return s.Application.P50 }), value(func(s sample) float64 { return s.Application.P99 }), r.p99(c.name), r.p99(c.name)/r.p99(alone),
				value(func(s sample) float64 { return float64(s.Application.Deadlocks) }),
				value(func(s sample) float64 { return float64(s.Application.Timeouts) }))
		}
		table("**Nothing to delete**: the same table cleaned up, where some users are still over the limit.", "", "s", "x the limit")
		for _, l := range looks {
			row("%s %.3f %.2f", l.name, r.seconds(idle, l.name), r.limits(idle, l.name))
		}
		row("%s %.3f %.2f", beforeVacuum, r.seconds(idle, beforeVacuum), r.limits(idle, beforeVacuum))
		table("**Inserts** of single rows, with the live index and without.", "", "s", "s without", "x without")
		for _, i := range inserts {
			with, without := r.seconds(insert, i.name), r.seconds(insert, i.name+withoutLiveIndex)
			row("%s %.2f %.2f %.2f", i.name, with, without, with/without)
		}
	}
	if r.Growth != nil {
		table("**Growth**: one worker, once each. The idle run finds nobody over the limit.", "notifications", "users over the limit",
			"find, ns a row", "idle run, ns a row", "deleted", "drain, s", "µs a deleted row", "limit, µs a deleted row", "WAL bytes a row", "program MB")
		for _, g := range r.Growth {
			bare := "-"
			if g.Bare.Notifications > 0 {
				bare = fmt.Sprintf("%.1f", g.Bare.Seconds/float64(g.Bare.Notifications)*1e6)
			}
			row("%d %d %.0f %.0f %d %.1f %.1f %s %.0f %.0f", g.N, g.Over, g.Find.Seconds/float64(g.N)*1e9, g.Idle.Seconds/float64(g.N)*1e9,
				g.Drain.Notifications, g.Drain.Seconds, g.Drain.Seconds/float64(g.Drain.Notifications)*1e6, bare,
				float64(g.Drain.WALBytes)/float64(g.Drain.Notifications), megabytes(g.Drain.ResidentBytes))
		}
	}
	return strings.TrimPrefix(t.String(), "\n")
}

// targets is what was asked of the project, and what came of it.
func (r report) targets(table func(string, ...string), row func(string, ...any)) {
	table("**Targets**, ratios of medians.", "", "at most", "measured", "")
	target := func(name string, most, measured float64) {
		verdict := "met"
		if measured > most {
			verdict = "**missed**"
		}
		row("%s %.2f %.2f %s", name, most, measured, verdict)
	}
	target("drain with one worker, x the limit", 1.2, r.limits(drain, oneWorker))
	target("drain with two workers, x the limit", 0.8, r.limits(drain, twoWorkers))
	target("drain with one worker, x the loop over users", 0.5, r.seconds(drain, oneWorker)/r.seconds(drain, loopOverUsers))
	target("find: nobody is over the limit, the function, x the limit", 1.1, r.limits(find, "function"))
	target("nothing to do: nobody is over the limit, the program, x the limit", 1.2, r.limits(find, oneWorker))
	target("p99 of the application in the median second, beside one worker, x alone", 1.25, r.p99(oneWorker)/r.p99(alone))
	var harm, resident float64
	for _, s := range r.Samples {
		if s.Application != nil && (s.Contender == oneWorker || s.Contender == twoWorkers || s.Contender == "procedure") {
			harm += float64(s.Application.Deadlocks + s.Application.Timeouts)
		}
		resident = max(resident, megabytes(s.ResidentBytes))
	}
	for _, g := range r.Growth {
		resident = max(resident, megabytes(g.Drain.ResidentBytes))
	}
	target("deadlocks and time-outs of the application beside procedure and program, in all rounds", 0, harm)
	target("memory of the program, MB", 40, resident)
	for _, i := range inserts {
		target("insert with the live index, "+i.name+", x without", 1.1, r.seconds(insert, i.name)/r.seconds(insert, i.name+withoutLiveIndex))
	}
}

// chart draws how often each contender takes the time of the limit.
func (r report) chart() string {
	const line, left, scale = 26, 150, 180
	var bars strings.Builder
	y := 40
	for _, c := range contenders[1:] {
		ratio := r.limits(drain, c.name)
		width := min(ratio, 2.5) * scale
		fmt.Fprintf(&bars, `<text x="%d" y="%d" text-anchor="end">%s</text><rect class="%s" x="%d" y="%d" width="%.0f" height="16"/><text x="%.0f" y="%d">%.2f</text>`+"\n",
			left-8, y+13, c.name, c.whose, left, y, width, left+width+6, y+13, ratio)
		y += line
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 %[1]d" font-family="sans-serif" font-size="13">
<style>text { fill: #222 } .limit { fill: #888 } .ours { fill: #3b75af } .theirs { fill: #c07a3a } line { stroke: #888; stroke-dasharray: 3 } @media (prefers-color-scheme: dark) { text { fill: #ddd } .ours { fill: #6aa5e0 } .theirs { fill: #dd9a5c } }</style>
<text x="8" y="20">Time to clean up a table of %[2]d notifications, in multiples of the bare update</text>
<line x1="%[3]d" y1="32" x2="%[3]d" y2="%[1]d"/>
%[4]s</svg>
`, y+6, r.N, left+scale, bars.String())
}
