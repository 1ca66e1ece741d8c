package terminal

import (
	"fmt"
	"strings"
	"testing"
)

func TestATableBreaksNoWordWhereItCanFoldElsewhere(t *testing.T) {
	t.Parallel()
	const id = "c5781b61-675f-73b0-bca8-b5c373f7ede2"
	rows := [][]string{{id, "it is one of the 100 newest read ones"}}
	got := Screen{Width: 60}.Table(make([]Column, 2), rows)
	if !strings.Contains(got, id) || strings.Count(got, "\n") != 1 {
		t.Errorf("it is\n%s", got)
	}
	for width := range 60 {
		if width == 0 {
			continue
		}
		for line := range strings.Lines(Screen{Width: width}.Table(make([]Column, 2), rows)) {
			if got := len(strings.TrimSuffix(line, "\n")); got > max(width, 4) {
				t.Errorf("%d columns on a screen of %d: %s", got, width, line)
			}
		}
	}
}

func TestRoomIsWhatATableLeavesFree(t *testing.T) {
	t.Parallel()
	columns := []Column{{Title: "limit"}, {}}
	rows := [][]string{{"10,000", "9 %"}}
	if got := (Screen{Width: 80}).Room(columns, rows); got != 80-6-2-3 {
		t.Errorf("it is %d", got)
	}
	if got := (Screen{}).Room(columns, rows); got < 1000 {
		t.Errorf("where nobody looks it is %d", got)
	}
}

func TestAStreamKeepsItsColumnsToTheEnd(t *testing.T) {
	t.Parallel()
	for _, width := range []int{0, 40} {
		var shown strings.Builder
		stream := NewStream(Screen{Writer: &shown, Width: width},
			[]Column{{Title: "id"}, {Title: "n", Numbers: true}, {Title: "because"}})
		for i := range 2500 {
			reason := "it is one of the 100 newest read ones"
			if err := stream.Write([]string{"an-id", fmt.Sprint(i % 10), reason}); err != nil {
				t.Fatal(err)
			}
		}
		if err := stream.End(); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(shown.String(), "\n"), "\n")
		each := (len(lines) - 1) / 2500 // lines for a row
		for i, line := range lines[1:] {
			number := fmt.Sprintf("  %d  ", i/each%10)
			want := strings.Replace(lines[1+i%each], "  0  ", number, 1)
			if line != want {
				t.Fatalf("on %d columns line %d is %q, want %q", width, i, line, want)
			}
		}
		if width > 0 && each != 2 || width == 0 && each != 1 {
			t.Errorf("on %d columns a row has %d lines", width, each)
		}
	}
}
