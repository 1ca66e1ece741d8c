package main

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// token is a part of a source text that white space cannot stand in.
type token struct {
	text       string
	start, end int
}

// grammars tell, by the ending of a file's name, what is a token of it. The first group of each is
// what stands between tokens. A body in dollar quotes is taken apart like any other text.
var grammars = map[string]*regexp.Regexp{
	".sql": regexp.MustCompile(`(?s)(\s+|--[^\n]*|/\*.*?\*/)` +
		`|[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"[^"]*"|\$\w*\$|\$\d+` +
		`|\d+\.\d+|[\pL\pN_]+|[-+*/<>=~!@#%^&|?:]+|.`),
	".go": regexp.MustCompile("(?s)(\\s+|//[^\n]*|/\\*.*?\\*/)" +
		"|\"(?:[^\"\\\\]|\\\\.)*\"|'(?:[^'\\\\]|\\\\.)+'|`[^`]*`" +
		`|\d+\.\d+|[\pL\pN_]+|[-+*/<>=~!%^&|:]+|.`),
}

// tokens takes a text apart.
func tokens(grammar *regexp.Regexp, text string) []token {
	var found []token
	for _, at := range grammar.FindAllStringSubmatchIndex(text, -1) {
		if between := at[2] >= 0; !between {
			found = append(found, token{text[at[0]:at[1]], at[0], at[1]})
		}
	}
	return found
}

// apply makes the change in a source text.
func (c change) apply(source string) (string, error) {
	grammar := grammars[path.Ext(c.file)]
	if grammar == nil {
		return "", fmt.Errorf("%s: only .sql and .go can be changed", c.file)
	}
	have, want := tokens(grammar, source), tokens(grammar, c.before)
	var changed strings.Builder
	var lines []int
	var copied int // of source
	for i := 0; i+len(want) <= len(have); {
		if !begins(have[i:], want) {
			i++
			continue
		}
		lines = append(lines, 1+strings.Count(source[:have[i].start], "\n"))
		changed.WriteString(source[copied:have[i].start] + c.after)
		i += len(want)
		copied = have[i-1].end
	}
	changed.WriteString(source[copied:])
	switch text := strings.Join(strings.Fields(c.before), " "); {
	case lines == nil:
		return "", fmt.Errorf("%s has no such text: %s", c.file, text)
	case len(lines) > 1 && !c.everywhere:
		return "", fmt.Errorf("%s has this text in the lines %d, write more, or everywhere: %s",
			c.file, lines, text)
	case sameTokens(have, tokens(grammar, changed.String())):
		return "", fmt.Errorf("%s stays as it is: %s", c.file, text)
	}
	return changed.String(), nil
}

// begins tells whether the first tokens of a text are those that are wanted.
func begins(have, want []token) bool {
	return len(have) >= len(want) && sameTokens(have[:len(want)], want)
}

// sameTokens tells whether two texts differ in layout and comments only.
func sameTokens(a, b []token) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].text != b[i].text {
			return false
		}
	}
	return true
}
