package crashpoints

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"nomad-driver-container/tests/nomadkit"
)

// table collects what became of each point and victim, and is written as Markdown.
type table struct {
	mu     sync.Mutex
	points []string
	seen   map[string]bool
	cells  map[string]map[victim][]cell // by point
}

type cell struct {
	row     row
	verdict string
}

const (
	kept     = "kept"
	violated = "violated"
	absent   = "absent" // the victim had gone by then, or the point was not come to
)

func newTable(points []string) *table {
	return &table{points: points, seen: map[string]bool{}, cells: map[string]map[victim][]cell{}}
}

func verdictOf(t *testing.T, w *world) string {
	switch {
	case t.Failed() || w == nil:
		return violated
	case w.killedVictim():
		return kept
	}
	return absent
}

// killedVictim: a process that the program killed itself at the point counts as well.
func (w *world) killedVictim() bool {
	w.stops.mu.Lock()
	defer w.stops.mu.Unlock()
	select {
	case <-w.stops.points:
		return w.stops.killed || w.kills()
	default:
		return false
	}
}

func (c *table) reached(point string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[point] = true
}

func (c *table) note(r row, verdict string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[r.point] = true
	if c.cells[r.point] == nil {
		c.cells[r.point] = map[victim][]cell{}
	}
	c.cells[r.point][r.victim] = append(c.cells[r.point][r.victim], cell{r, verdict})
}

func (c *table) missed() []string {
	var out []string
	for _, point := range c.points {
		if !c.seen[point] {
			out = append(out, point)
		}
	}
	return out
}

func podmanVersion() string {
	text, _ := nomadkit.Podman("--version")
	return strings.TrimPrefix(text, "podman version ")
}

// write prints the table and leaves it in build/crash-points.md.
func (c *table) write(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var out strings.Builder
	counts, points := map[string]int{}, map[string]bool{}
	var passing []string
	stamp := nomadkit.NewStamp()
	fmt.Fprintf(&out, "Podman %s, the stand-in for Apple's CLI %s; %s, commit %s\n\n", podmanVersion(), appleVersion,
		stamp.Date, stamp.Commit)
	fmt.Fprintf(&out, "| engine | life cycle | point | victim | |\n|---|---|---|---|---|\n")
	for _, point := range c.points {
		for _, v := range []victim{plugin, agent, cli, conmon, monitor, attached} {
			for _, each := range c.cells[point][v] {
				counts[each.verdict]++
				if each.verdict == absent {
					passing = append(passing, fmt.Sprintf("%s at %s", v, point))
					continue
				}
				points[point] = true
				fmt.Fprintf(&out, "| %s | %s | %s | %s | %s |\n", each.row.engine.name, each.row.scenario.name, point, v, each.verdict)
			}
		}
	}
	fmt.Fprintf(&out, "\n%d points, %d rows: %d kept, %d violated\n", len(points), counts[kept]+counts[violated],
		counts[kept], counts[violated])
	if len(passing) > 0 {
		fmt.Fprintf(&out, "\nNo rows, as they met once by chance and never again: %s\n", strings.Join(passing, ", "))
	}
	if everything {
		path := filepath.Join(nomadkit.Root(), "build", "crash-points.md")
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
	fmt.Print(out.String())
}
