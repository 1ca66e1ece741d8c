package main

import (
	"os"
	"testing"
)

// Whoever changes the drawing, or the figures, draws again. The terminal is of a real run, and
// different each time.
func TestThePicturesAreDrawnAgain(t *testing.T) {
	resultsFile = "../bench/results.json"
	drawn := t.TempDir()
	if err := drawAll(drawn, false); err != nil {
		t.Fatal(err)
	}
	pictures, err := os.ReadDir(drawn)
	if err != nil {
		t.Fatal(err)
	}
	for _, picture := range pictures {
		want, _ := os.ReadFile(drawn + "/" + picture.Name())
		got, err := os.ReadFile(picture.Name())
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is not what is drawn now (%v): make pictures", picture.Name(), err)
		}
	}
}
