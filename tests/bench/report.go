// Package bench measures the plugin against bare podman and writes build/bench.json. Its tests
// never fail for a figure: what was measured is reported, whatever it is.
package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"

	"nomad-driver-container/tests/nomadkit"
)

// Row is one figure. Goal is empty and OK is nil where nothing is promised.
type Row struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Goal  string  `json:"goal"`
	OK    *bool   `json:"ok"`
	How   string  `json:"how"`
}

// Results is what build/bench.json holds.
type Results struct {
	Measured nomadkit.Stamp `json:"measured"`
	Rows     []Row          `json:"rows"`
}

// Report collects rows in the order in which they are measured.
type Report struct {
	mu   sync.Mutex
	rows []Row
}

// Note adds a figure without a goal.
func (r *Report) Note(name string, value float64, unit, how string) {
	r.add(Row{Name: name, Value: value, Unit: unit, How: how})
}

// Goal adds a figure and whether its goal is met.
func (r *Report) Goal(name string, value float64, unit, goal string, ok bool, how string) {
	r.add(Row{Name: name, Value: value, Unit: unit, Goal: goal, OK: &ok, How: how})
}

func (r *Report) add(row Row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, row)
}

// Write replaces the file at `path`.
func (r *Report) Write(path string, measured nomadkit.Stamp) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	data, err := json.MarshalIndent(Results{measured, r.rows}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// Read reads a file that Write made. Figures without a date, a commit and a machine are refused.
func Read(path string) (results Results, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return results, err
	}
	if err := json.Unmarshal(data, &results); err != nil {
		return results, fmt.Errorf("%s is of an earlier version or damaged: %w", path, err)
	}
	if m := results.Measured; m.Date == "" || m.Commit == "" || m.Machine == "" {
		return results, fmt.Errorf("%s does not say when, of what commit and where it was measured", path)
	}
	return results, nil
}

// ---------------------------------------------------------------------------------------------

// Quantile is the value below which the fraction `q` of the sample lies (nearest rank).
func Quantile(sample []float64, q float64) float64 {
	if len(sample) == 0 {
		return 0
	}
	sorted := append([]float64(nil), sample...)
	sort.Float64s(sorted)
	rank := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// Median of a sample.
func Median(sample []float64) float64 {
	if len(sample) == 0 {
		return 0
	}
	sorted := append([]float64(nil), sample...)
	sort.Float64s(sorted)
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// medianRatio is the median of a[i]/b[i]: what the machine did during a pair hit both.
func medianRatio(a, b []float64) float64 {
	var ratios []float64
	for i := range min(len(a), len(b)) {
		ratios = append(ratios, a[i]/b[i])
	}
	return Median(ratios)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
