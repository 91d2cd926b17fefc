package crashpoints

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nomad-driver-container/tests/nomadkit"
)

// everything is set where all rows are wanted; else a few that stand for them are run.
var everything = os.Getenv("NDC_CRASH_ALL") != "" && !named

// only is a part of the names of the rows that are wanted, or the whole name of one.
var (
	only  = os.Getenv("NDC_CRASH_ONLY")
	named = strings.Count(only, "/") == 3
)

// trust lets Podman speak to the registry that the pulls come from.
var trust string

func TestMain(m *testing.M) {
	if os.Getenv("NDC_PLUGIN") == "" {
		os.Setenv("NDC_PLUGIN", filepath.Join(nomadkit.Root(), "build", "crash", "bin", "nomad-driver-container"))
	}
	if _, err := os.Stat(standin()); err != nil {
		fmt.Fprintf(os.Stderr, "not built (%v): build the preset crash\n", err)
		os.Exit(1)
	}
	version := exec.Command(standin()) // with nothing to parse
	version.Env = append(os.Environ(), "NDC_STANDIN_PARSE_ONLY=1", "NDC_STANDIN_VERSION="+appleVersion)
	if out, err := version.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "NDC_CRASH_APPLE_VERSION=%s: %v: %s", appleVersion, err, out)
		os.Exit(1)
	}
	nomadkit.Main(m)
}

// points asks the program for the list of its points.
func points(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command(nomadkit.Binary(), "crash-points").Output()
	if err != nil {
		t.Fatalf("%s is no build with crash points: %v", nomadkit.Binary(), err)
	}
	return strings.Fields(string(out))
}

// A row is one run with one death.
type row struct {
	engine   *engine
	scenario *scenario
	point    string
	victim   victim
	others   []*scenario // in which they met too
}

// tries is how often a row is tried in each life cycle until its victim is there and is killed: some
// live for milliseconds.
const tries = 3

func (r row) name() string {
	return fmt.Sprintf("%s/%s/%s/%s", r.engine.name, r.scenario.name, r.point, r.victim)
}

func (s *scenario) runsOn(e *engine) bool { return s.engines == "" || s.engines == e.name }

// TestCrashPoints first goes through each life cycle without harm, stopping at every point to see
// who is there; then once more for each point and each of those, who dies there.
func TestCrashPoints(t *testing.T) {
	registry = nomadkit.StartRegistry(t)
	trust = nomadkit.Insecure(t, registry)
	table := newTable(points(t))
	var rows []row
	switch {
	case named:
		rows = []row{parseRow(t, only)}
	case everything:
		rows = discover(t, table)
	default:
		for _, name := range representatives {
			rows = append(rows, parseRow(t, name))
		}
	}
	t.Run("rows", func(t *testing.T) {
		for _, r := range rows {
			t.Run(r.name(), func(t *testing.T) {
				t.Parallel()
				run(t, r, table)
			})
		}
	})
	table.write(t)
	for _, point := range table.missed() {
		if everything {
			t.Errorf("no life cycle comes to %s", point)
		}
	}
}

// run tries the row until its victim has died.
func run(t *testing.T, r row, table *table) {
	verdict := absent
	for _, s := range append([]*scenario{r.scenario}, r.others...) {
		r.scenario = s
		for try := 1; try <= tries && verdict == absent; try++ {
			t.Run(fmt.Sprintf("%s%d", s.name, try), func(t *testing.T) { once(t, r, &verdict) })
		}
		if verdict != absent {
			break
		}
	}
	table.note(r, verdict)
	if verdict == absent && !everything {
		t.Error("nobody died: the row has to be replaced by one that proves something")
	}
}

func once(t *testing.T, r row, verdict *string) {
	var w *world
	defer func() { *verdict = verdictOf(t, w) }() // also when the test ends here
	w = newWorld(t, r.engine, r.scenario, r.point, r.victim)
	r.scenario.run(w)
	w.finish()
}

// discover runs each life cycle undisturbed. A point and a victim belong to the first life cycle in
// which they meet, unless that was by chance.
func discover(t *testing.T, table *table) []row {
	type cycle struct {
		engine   *engine
		scenario *scenario
		seen     map[string]map[victim]bool
	}
	var cycles []*cycle
	for _, e := range []*engine{podmanEngine, appleEngine} {
		for _, s := range scenarios {
			if s.runsOn(e) {
				cycles = append(cycles, &cycle{engine: e, scenario: s})
			}
		}
	}
	t.Run("life", func(t *testing.T) {
		for _, c := range cycles {
			t.Run(c.engine.name+"/"+c.scenario.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, c.engine, c.scenario, "*", nobody)
				c.scenario.run(w)
				w.finish()
				c.seen = w.stops.met()
			})
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	known := map[string]int{}
	var rows []row
	for _, c := range cycles {
		for _, point := range sorted(c.seen) {
			table.reached(point)
			for _, v := range []victim{plugin, agent, cli, conmon, monitor, attached} {
				there := c.seen[point][v] || (v == agent && c.scenario.agents && c.seen[point][plugin])
				key := fmt.Sprintf("%s %s %s", c.engine.name, point, v)
				if v == monitor && afterTheRecord[point] && c.scenario.name == "spool" {
					key += " spool" // a row of its own: elsewhere nothing waits to be delivered
				}
				if !there {
					continue
				}
				if at, found := known[key]; found {
					rows[at].others = append(rows[at].others, c.scenario)
					continue
				}
				known[key] = len(rows)
				rows = append(rows, row{engine: c.engine, scenario: c.scenario, point: point, victim: v})
			}
		}
	}
	return slices.DeleteFunc(rows, func(r row) bool { return !strings.Contains(r.name(), only) })
}

func sorted(seen map[string]map[victim]bool) []string {
	var out []string
	for point := range seen {
		out = append(out, point)
	}
	slices.Sort(out)
	return out
}
