package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// results are the figures of a mode, and report is those of all modes.
type results struct {
	N       int
	Samples []sample
}
type report map[string]results

// write adds the results to those that are there, and writes the tables and the chart that follow
// from them.
func (b *bench) write() {
	r := report{}
	if earlier, _ := os.ReadFile(filepath.Join(b.out, "results.json")); json.Unmarshal(
		earlier,
		&r,
	) != nil {
		r = report{}
	}
	r[b.mode] = results{b.n, b.samples}
	tables := r.targets()
	for _, mode := range []string{
		standard, pace, large, huge + "uuid", huge + "bigint", growth, onCluster,
	} {
		for _, kind := range []string{
			drain, smallWAL, beside, find, idle, insertEach, insertAll, thin,
			growthPlan, growthBatches, shapes,
		} {
			tables += r[mode].table(mode, kind)
		}
	}
	fmt.Print("\n", tables)
	check(os.MkdirAll(b.out, 0o755))
	raw := string(must(json.MarshalIndent(r, "", "\t"))) + "\n"
	for name, content := range map[string]string{
		"results.json": raw,
		"tables.md":    tables,
		"chart.svg":    r[standard].chart(),
	} {
		check(os.WriteFile(filepath.Join(b.out, name), []byte(content), 0o644))
	}
}

type figure func(s sample) float64

func seconds(s sample) float64   { return s.Seconds }
func deleted(s sample) float64   { return float64(s.Notifications) }
func micros(s sample) float64    { return s.Seconds / float64(s.Notifications) * 1e6 }
func wal(s sample) float64       { return float64(s.WALBytes) / float64(s.Notifications) }
func megabytes(s sample) float64 { return float64(s.Kilobytes) / 1024 }
func p50(s sample) float64       { return s.Application.P50 }
func p99(s sample) float64       { return s.Application.P99 }
func secondP99(s sample) float64 { return s.Application.SecondP99 }
func deadlocks(s sample) float64 { return float64(s.Application.Deadlocks) }
func timeouts(s sample) float64  { return float64(s.Application.Timeouts) }

func (r results) rounds(f figure, kind string, contenders ...string) (values []float64) {
	for _, s := range r.Samples {
		if s.Kind == kind && slices.Contains(contenders, s.Contender) {
			values = append(values, f(s))
		}
	}
	return values
}

func (r results) ratio(f figure, kind, contender, other string) float64 {
	return percentile(r.rounds(f, kind, contender), 0.5) / percentile(r.rounds(f, kind, other), 0.5)
}

// table compares contenders with the one that was measured first, in most kinds the limit.
func (r results) table(mode, kind string) (t string) {
	names, note := []string(nil), ""
	for _, s := range r.Samples {
		if s.Kind == kind && !slices.Contains(names, s.Contender) {
			names = append(names, s.Contender)
		}
		if s.Kind == kind && s.Contender == procedure && s.Pages > 0 {
			note = fmt.Sprintf(
				"\nThe procedure looked at a page %.1f times a deleted row, "+
					"%.2f times a page of the table.\n",
				float64(s.PagesRead)/deleted(s),
				float64(s.PagesRead)/float64(s.Pages),
			)
		}
	}
	if names == nil {
		return ""
	}
	t = fmt.Sprintf(
		"\n**%s**, %s, %d notifications. x: x %s.\n\n",
		strings.ToUpper(kind[:1])+kind[1:],
		mode,
		r.N,
		names[0],
	)
	columns := []string{"", "s", "x", "deleted", "µs a row", "WAL bytes a row", "x", "program MB"}
	if kind == beside {
		columns = []string{
			"",
			"s",
			"WAL bytes a row",
			"p50, ms",
			"p99 of all, ms",
			"p99 of a second, ms",
			"x",
			"deadlocks",
			"time-outs",
		}
	}
	t += "| " + strings.Join(columns, " | ") + " |\n|" + strings.Repeat("---|", len(columns)) + "\n"
	for _, name := range names {
		m := func(f figure) float64 { return percentile(r.rounds(f, kind, name), 0.5) }
		x := func(f figure) float64 { return r.ratio(f, kind, name, names[0]) }
		row := fmt.Sprintf(
			"| %s | %.3f | %.2f | %.0f | %.1f | %.0f | %.2f | %.0f |\n",
			name,
			m(seconds),
			x(seconds),
			m(deleted),
			m(micros),
			m(wal),
			x(wal),
			m(megabytes),
		)
		if kind == beside {
			row = fmt.Sprintf(
				"| %s | %.2f | %.0f | %.2f | %.2f | %.2f | %.2f | %.0f | %.0f |\n",
				name,
				m(seconds),
				m(wal),
				m(p50),
				m(p99),
				m(secondP99),
				x(secondP99),
				m(deadlocks),
				m(timeouts),
			)
		}
		t += strings.NewReplacer("NaN", "-", "+Inf", "-").Replace(row)
	}
	return t + note
}

// targets is what was asked of the project, and what came of it.
func (r report) targets() string {
	t := "**Targets**, ratios of medians.\n\n" +
		"| | notifications | at most | measured | |\n" +
		"|---|---|---|---|---|\n"
	target := func(in results, name string, most, measured float64) {
		verdict := map[bool]string{true: "met", false: "**missed**"}[measured <= most]
		if !math.IsNaN(measured) {
			t += fmt.Sprintf(
				"| %s | %d | %.2f | %.2f | %s |\n",
				name,
				in.N,
				most,
				measured,
				verdict,
			)
		}
	}
	s, p, l, h, g := r[standard], r[pace], r[large], r[huge+"uuid"], r[growth]
	target(g, "a deleted row with 200,000 users over the limit, x the same with 20,000", 1.1,
		g.ratio(micros, growthBatches, users(200000), users(20000)))
	target(g, "a planned row with 200,000 users over the limit, x its deletion", 0.25,
		percentile(g.rounds(micros, growthPlan, users(200000)), 0.5)/
			percentile(g.rounds(micros, growthBatches, users(200000)), 0.5))
	target(g, "a deleted row in 64 partitions by hash of the user, x in a plain table", 1.25,
		g.ratio(micros, shapes, hashOfUser, plain))
	target(g, "a deleted row in 24 partitions by range of time, x in a plain table", 1.25,
		g.ratio(micros, shapes, rangeOfTime, plain))
	for i, in := range []results{s, l} {
		target(
			in,
			"drain with one worker, plan included, x the limit",
			1.40-0.15*float64(i),
			in.ratio(seconds, drain, oneWorker, limit),
		)
		target(
			in,
			"drain with two workers, plan included, x the limit",
			1.05-0.15*float64(i),
			in.ratio(seconds, drain, twoWorkers, limit),
		)
		target(
			in,
			"program, MB resident",
			20,
			percentile(in.rounds(megabytes, drain, oneWorker, twoWorkers, rowsHeld), 1),
		)
		target(in, "function x procedure", 1.05, in.ratio(seconds, drain, function, procedure))
		target(in, "plan alone, x the limit", 0.15, in.ratio(seconds, drain, planAlone, limit))
		target(
			in,
			"the function finds nobody, x the bare find",
			1.10-0.05*float64(i),
			in.ratio(seconds, find, function, limit),
		)
		target(
			in,
			"the program finds nobody, x the bare find",
			1.10-0.05*float64(i),
			in.ratio(seconds, find, oneWorker, limit),
		)
	}
	target(
		l,
		"drain with one worker and max_wal_size = 1GB, x the limit",
		1.25,
		l.ratio(seconds, smallWAL, oneWorker, limit),
	)
	target(l, "its WAL, x the limit", 1.12, l.ratio(wal, smallWAL, oneWorker, limit))
	target(
		l,
		"drain with two workers and max_wal_size = 1GB, x the limit",
		1.00,
		l.ratio(seconds, smallWAL, twoWorkers, limit),
	)
	target(
		h,
		"a deleted row with max_wal_size = 1GB, x the limit",
		1.25,
		h.ratio(micros, smallWAL, inBatches, limit),
	)
	target(h, "its WAL, x the limit", 1.15, h.ratio(wal, smallWAL, inBatches, limit))
	target(
		l,
		"thin night, procedure x procedure before",
		0.9,
		l.ratio(seconds, thin, procedure, procedureBefore),
	)
	target(
		s,
		"p99 of the application in the median second, beside one worker x beside procedure before",
		0.75,
		s.ratio(secondP99, beside, oneWorker, procedureBefore),
	)
	target(
		p,
		"p99 of the application in the median second, "+
			"beside one worker with the best pause_factor of 0, 1 and 3 x alone",
		1.25,
		min(
			p.ratio(secondP99, beside, oneWorker, alone),
			p.ratio(secondP99, beside, pauseOf+"1", alone),
			p.ratio(secondP99, beside, pauseOf+"3", alone),
		),
	)
	worst := func(f figure, kind string, contenders ...string) float64 {
		return percentile(s.rounds(f, kind, contenders...), 1)
	}
	target(
		s,
		"deadlocks of the application in a round, beside function, procedure and program",
		0,
		worst(deadlocks, beside, function, procedure, oneWorker, twoWorkers),
	)
	target(
		s,
		"time-outs of the application in a round, beside procedure and program",
		0,
		worst(timeouts, beside, procedure, oneWorker, twoWorkers),
	)
	target(
		s,
		"drain with 1000 rows held x none held",
		1.20,
		s.ratio(seconds, drain, rowsHeld, oneWorker),
	)
	for _, kind := range []string{insertEach, insertAll} {
		target(
			s,
			kind+" with the live index x without",
			1.10,
			s.ratio(seconds, kind, withIndex, withoutIndex),
		)
	}
	return t
}

// percentile is NaN where nothing was measured, and so is what follows from it.
func percentile(values []float64, p float64) float64 {
	if values == nil {
		return math.NaN()
	}
	slices.Sort(values)
	return values[int(p*float64(len(values)-1))]
}

// chart draws how often each contender takes the time of the limit.
func (r results) chart() string {
	const line, left, scale = 26, 150, 180
	bars, y := "", 40
	for _, c := range contenders {
		if ratio := r.ratio(seconds, drain, c.name, limit); c.whose != "" && !math.IsNaN(ratio) {
			width := min(ratio, 2.5) * scale
			bars += fmt.Sprintf(
				`<text x="%d" y="%d" text-anchor="end">%s</text>`+
					`<rect class="%s" x="%d" y="%d" width="%.0f" height="16"/>`+
					`<text x="%.0f" y="%d">%.2f</text>`+"\n",
				left-8,
				y+13,
				c.name,
				c.whose,
				left,
				y,
				width,
				left+width+6,
				y+13,
				ratio,
			)
			y += line
		}
	}
	return fmt.Sprintf(
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 %[1]d"
 font-family="sans-serif" font-size="13">
<style>
text { fill: #222 }
.limit, .before { fill: #888 }
.ours { fill: #3b75af }
.theirs { fill: #c07a3a }
line { stroke: #888; stroke-dasharray: 3 }
@media (prefers-color-scheme: dark) {
text { fill: #ddd }
.ours { fill: #6aa5e0 }
.theirs { fill: #dd9a5c }
}
</style>
<text x="8" y="20">Time to clean up a table of %[2]d notifications,`+
			` in multiples of the bare update</text>
<line x1="%[3]d" y1="32" x2="%[3]d" y2="%[1]d"/>
%[4]s</svg>
`,
		y+6,
		r.N,
		left+scale,
		bars,
	)
}
