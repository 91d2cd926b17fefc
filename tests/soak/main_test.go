// Package soak restarts tasks thousands of times through one plugin and checks that it holds no more
// descriptors, threads, memory and children at the end than after its warm-up.
package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nomad-driver-container/tests/nomadkit"
)

// tasks is how many are started over each engine: $SOAK_TASKS.
var tasks = 3000

var report strings.Builder // the rows of a Markdown table

func TestMain(m *testing.M) {
	if os.Getenv("NDC_SOAK") == "" {
		fmt.Println("soak: set NDC_SOAK=1, or run make soak")
		os.Exit(0)
	}
	if text := os.Getenv("SOAK_TASKS"); text != "" {
		number, err := strconv.Atoi(text)
		if err != nil || number < shifts {
			fmt.Fprintf(os.Stderr, "SOAK_TASKS=%s: want a number of at least %d\n", text, shifts)
			os.Exit(1)
		}
		tasks = number
	}
	nomadkit.MainWith(m, func(m *testing.M) int {
		stamp, begun := nomadkit.NewStamp(), time.Now()
		status := m.Run()
		text := fmt.Sprintf("Measured %s, with SOAK_TASKS=%d in %s:\n\n", stamp, tasks, time.Since(begun).Round(time.Second)) +
			"| runtime | of the idle plugin | after warm-up | at the end | bound | |\n|---|---|---|---|---|---|\n" +
			report.String()
		fmt.Print(text)
		path := filepath.Join(nomadkit.Root(), "build", "soak.md")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return status
	})
}
