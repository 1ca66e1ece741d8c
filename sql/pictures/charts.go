package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
)

// resultsFile is where make bench keeps its figures; make pictures runs at the top.
var resultsFile = "sql/bench/results.json"

// results are the figures of each mode of the benchmark.
type results map[string]struct {
	N       int
	Samples []sample
}

type sample struct {
	Kind          string
	Contender     string
	Notifications int64
	Seconds       float64
	Application   *struct{ SecondP99 float64 }
}

func readResults() (r results, err error) {
	text, err := os.ReadFile(resultsFile)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

// median is that of all rounds, and not a number where nothing was measured.
func (r results) median(mode, kind, contender string, figure func(sample) float64) float64 {
	var values []float64
	for _, s := range r[mode].Samples {
		if s.Kind == kind && s.Contender == contender {
			values = append(values, figure(s))
		}
	}
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	return values[(len(values)-1)/2] // as the tables of the benchmark do
}

func micros(s sample) float64 { return s.Seconds / float64(s.Notifications) * 1e6 }

func slowest(s sample) float64 {
	if s.Application == nil {
		return math.NaN()
	}
	return s.Application.SecondP99
}

// point is a figure and what it is of.
type point struct {
	label string
	value float64
}

// measured leaves out what was not.
func measured(points ...point) []point {
	return slices.DeleteFunc(points, func(p point) bool { return math.IsNaN(p.value) })
}

// cost is what a deleted notification takes, by the number of users and of rows.
func cost() (string, error) {
	r, err := readResults()
	if err != nil {
		return "", err
	}
	byUsers := func(kind string) []point {
		var points []point
		for _, n := range []int{100, 1000, 20000, 200000, 1000000} {
			points = append(points, point{short(n),
				r.median("growth", kind, fmt.Sprintf("%d users", n), micros)})
		}
		return measured(points...)
	}
	byRows := func(contender string) []point {
		return measured(
			point{short(r["standard"].N), r.median("standard", "drain", contender, micros)},
			point{short(r["large"].N), r.median("large", "drain", contender, micros)})
	}
	c := newCanvas(760, 280, "What a deleted notification takes, in microseconds: about the same"+
		" whatever the number of users over the limit, and of rows in the table.")
	left := []series{
		{"batches", byUsers("batches, by users over the limit"), "ours", "dot"},
		{"plan", byUsers("plan, by users over the limit"), "theirs", "theirdot"},
	}
	right := []series{
		{"one worker", byRows("program, 1 worker"), "ours", "dot"},
		{"two workers", byRows("program, 2 workers"), "theirs", "theirdot"},
		{"a bare UPDATE", byRows("limit"), "line", "bar"},
	}
	x := 20.0
	if len(left[0].points) > 0 {
		c.lines(x, "µs a notification, by users over the limit", left)
		x = 400
	}
	c.lines(x, "µs a notification, by rows of the table", right)
	return c.end()
}

// pause is the p99 of an application's operations beside a run, by pause_factor.
func pause() (string, error) {
	r, err := readResults()
	if err != nil {
		return "", err
	}
	of := func(contender string) float64 {
		return r.median("pace", "beside an application", contender, slowest)
	}
	points := measured(
		point{"no run", of("application alone")},
		point{"pause_factor 0", of("program, 1 worker")},
		point{"pause_factor 1", of("pause_factor 1")},
		point{"pause_factor 3", of("pause_factor 3")},
		point{"pause_factor 9", of("pause_factor 9")},
		point{"two workers, 0", of("program, 2 workers")},
		point{"one statement for all", r.median(
			"standard", "beside an application", "one statement", slowest)},
	)
	c := newCanvas(760, 60+28*len(points), "The 99th percentile of an"+
		" application's operations in the median second, beside a run with different pauses.")
	c.text(10, 22, "title",
		"The slowest hundredth of an application's operations takes at least, in ms")
	most := 0.0
	for _, p := range points {
		most = max(most, math.Log(1+p.value))
	}
	for i, p := range points {
		y := 40 + float64(i)*28
		c.text(170, y+14, "small end", p.label)
		class := "unread"
		if p.label == "no run" {
			class = "bar"
		}
		if p.label == "one statement for all" {
			class = "goes"
		}
		width := 480 * math.Log(1+p.value) / most
		c.box(180, y, width, 18, class)
		c.text(188+width, y+14, "small", number(p.value))
	}
	c.text(10, 52+float64(len(points))*28, "small muted", "The lengths are logarithms.")
	return c.end()
}

// series is a line of a chart.
type series struct {
	name   string
	points []point
	line   string // classes
	dot    string
}

// lines draws a chart of lines that begins at 0.
func (c *canvas) lines(x float64, title string, all []series) {
	const width, height, top = 330.0, 150.0, 70.0
	c.text(x, 24, "title", title)
	most, labels := 0.0, []point(nil)
	for _, s := range all {
		for _, p := range s.points {
			most = max(most, p.value)
		}
		if len(s.points) > len(labels) {
			labels = s.points
		}
	}
	step := math.Max(5, math.Ceil(most/4/5)*5)
	scale := height / (math.Ceil(most/step) * step)
	for v := 0.0; v <= math.Ceil(most/step)*step; v += step {
		y := top + height - v*scale
		c.add(`<path d="M%.1f %.1fh%.1f" class="line" stroke-opacity=".3"/>`, x+24, y, width-30)
		c.text(x+18, y+4, "small muted end", number(v))
	}
	at := func(i int, p point) (float64, float64) {
		gap := (width - 80) / float64(max(len(labels)-1, 1))
		return x + 50 + float64(i)*gap, top + height - p.value*scale
	}
	for i, p := range labels {
		px, _ := at(i, p)
		c.text(px, top+height+20, "small muted middle", p.label)
	}
	for i, s := range all {
		path := ""
		for j, p := range s.points {
			px, py := at(j, p)
			path += fmt.Sprintf("%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[j == 0], px, py)
			c.add(`<circle cx="%.1f" cy="%.1f" r="4" class="%s"/>`, px, py, s.dot)
			if i == 0 { // the others are read from the scale
				c.text(px, py-8, "small middle", number(p.value))
			}
		}
		c.add(`<path d="%s" class="%s"/>`, path, s.line)
		lx := x + 4 + float64(i)*112
		c.add(`<circle cx="%.1f" cy="40" r="4" class="%s"/>`, lx, s.dot)
		c.text(lx+9, 44, "small", s.name)
	}
}

// short is a number as people say it.
func short(n int) string {
	switch {
	case n >= 1000000:
		return fmt.Sprintf("%dM", n/1000000)
	case n >= 1000:
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprint(n)
}

func number(v float64) string {
	if v == math.Trunc(v) || v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}
