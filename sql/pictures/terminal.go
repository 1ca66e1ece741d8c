package main

import (
	"fmt"
	"html"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// columns is the width of the terminal.
const columns = 88

// commands are what somebody types, one after the other.
var commands = []string{
	"notification-cleanup preview --top 4",
	"notification-cleanup run --batch-size 2000",
	"notification-cleanup restore 1",
}

// session draws a terminal in which the commands were really executed.
func session() (string, error) {
	var lines []string
	for _, command := range commands {
		shown, err := execute(command)
		if err != nil {
			return "", err
		}
		lines = append(lines, "$ "+command)
		for _, line := range append(shown, "") {
			for runes := []rune(line); len(runes) > columns; runes = []rune(line) {
				lines, line = append(lines, string(runes[:columns])), string(runes[columns:])
			}
			lines = append(lines, line)
		}
	}
	c := newCanvas(760, 40+len(lines)*18, "A terminal: preview, run with its progress bar, and undo.")
	c.add(`<rect x="1" y="1" width="758" height="%d" rx="8" class="panel"/>`, 38+len(lines)*18)
	for i, line := range lines {
		class := "mono"
		if strings.HasPrefix(line, "$ ") {
			class = "mono title"
		}
		c.add(`<text x="16" y="%d" class="%s" xml:space="preserve">%s</text>`,
			30+i*18, class, html.EscapeString(line))
	}
	return c.end()
}

var (
	escape = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
	bar    = regexp.MustCompile(`[━█▓▒░#=]{3,}|\d+ ?%`)
)

// execute runs a command on a terminal of its own, and returns what was to be seen: of a progress
// bar, how it was half-way.
func execute(command string) (lines []string, err error) {
	inside := fmt.Sprintf("stty cols %d rows 40; exec %s", columns, command)
	cmd := exec.Command("script", "-qec", inside, "/dev/null")
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	text := escape.ReplaceAllString(strings.ReplaceAll(string(out), "\r\n", "\n"), "")
	for line := range strings.Lines(text) {
		frames := strings.Split(strings.TrimRight(line, "\n"), "\r")
		var bars []string
		last := ""
		for _, frame := range frames {
			frame = strings.TrimRight(frame, " ")
			if bar.MatchString(frame) {
				bars = append(bars, frame)
			} else if frame != "" {
				last = frame
			}
		}
		if len(bars) > 1 {
			lines = append(lines, bars[len(bars)/2])
		} else {
			lines = append(lines, bars...)
		}
		if last != "" || len(bars) == 0 {
			lines = append(lines, last)
		}
	}
	return lines, nil
}
