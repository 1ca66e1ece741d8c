package main

import (
	"fmt"
	"html"
	"strings"
)

// style are the colours, by what they mean. A class has the same meaning in each picture.
const style = `
text { font: 14px system-ui, sans-serif; fill: #1f2328 }
.small { font-size: 12px }
.title { font-weight: 600 }
.muted { fill: #59636e }
.middle { text-anchor: middle }
.end { text-anchor: end }
.mono, .mono * { font-family: ui-monospace, Menlo, Consolas, monospace;` +
	` font-size: 13px; white-space: pre }
.panel { fill: #f6f8fa; stroke: #d1d9e0 }
.unread { fill: #0969da }
.kept { fill: #1a7f37 }
.goes { fill: #bc4c00 }
.gone { fill: none; stroke: #818b98; stroke-dasharray: 2 2 }
.bar { fill: #818b98 }
.line { stroke: #818b98; fill: none }
.head { fill: #818b98 }
.ours { stroke: #0969da; fill: none; stroke-width: 2 }
.dot { fill: #0969da }
.theirs { stroke: #bc4c00; fill: none; stroke-width: 2 }
.theirdot { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.muted { fill: #9198a1 }
.panel { fill: #151b23; stroke: #3d444d }
.unread, .dot { fill: #4493f8 }
.kept { fill: #3fb950 }
.goes, .theirdot { fill: #db6d28 }
.ours { stroke: #4493f8 }
.theirs { stroke: #db6d28 }
.gone, .line { stroke: #9198a1 }
.bar, .head { fill: #9198a1 }
}`

// canvas is a picture under way.
type canvas struct {
	strings.Builder
}

// newCanvas begins a picture of this size. The description is for whoever cannot see it.
func newCanvas(width, height int, description string) *canvas {
	c := &canvas{}
	c.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d"`+
		` width="%d" height="%d" role="img">`,
		width, height, width, height)
	c.add(`<title>%s</title>`, html.EscapeString(description))
	c.add("<style>%s\n</style>", style)
	c.add(`<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"` +
		` markerHeight="8" orient="auto-start-reverse">` +
		`<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>`)
	return c
}

func (c *canvas) add(format string, values ...any) {
	fmt.Fprintf(c, format+"\n", values...)
}

func (c *canvas) text(x, y float64, class, words string) {
	c.add(`<text x="%.1f" y="%.1f" class="%s">%s</text>`, x, y, class, html.EscapeString(words))
}

func (c *canvas) box(x, y, width, height float64, class string) {
	c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2" class="%s"/>`,
		x, y, width, height, class)
}

// panel is a box with a title and lines of text in it.
func (c *canvas) panel(x, y, width, height float64, title string, lines ...string) {
	c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="6" class="panel"/>`,
		x, y, width, height)
	c.text(x+12, y+22, "title", title)
	for i, line := range lines {
		c.text(x+12, y+42+float64(i)*17, "small muted", line)
	}
}

// arrow leads along a path.
func (c *canvas) arrow(path string) {
	c.add(`<path d="%s" class="line" marker-end="url(#head)"/>`, path)
}

func (c *canvas) end() (string, error) {
	c.add("</svg>")
	return c.String(), nil
}
