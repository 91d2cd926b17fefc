// benchtable prints build/bench.json as a table; with -readme it also puts the figures between the
// markers in README.md.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"nomad-driver-container/tests/bench"
	"nomad-driver-container/tests/nomadkit"
)

const (
	begin = "<!-- bench: written by scripts/bench --readme -->"
	end   = "<!-- bench: end -->"
)

func main() {
	readme := flag.Bool("readme", false, "update README.md")
	flag.Parse()
	if err := run(*readme); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(readme bool) error {
	results, err := bench.Read(filepath.Join(nomadkit.Root(), "build", "bench.json"))
	if err != nil {
		return fmt.Errorf("%w; run scripts/bench", err)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	missed := 0
	fmt.Fprintln(table, "what\tvalue\tgoal\t\thow")
	for _, row := range results.Rows {
		verdict := ""
		if row.OK != nil {
			verdict = "ok"
			if !*row.OK {
				verdict = "MISSED"
				missed++
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", row.Name, value(row), row.Goal, verdict, row.How)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Printf("%d figures, %d goals missed; measured %s\n", len(results.Rows), missed, results.Measured)
	if !readme {
		return nil
	}
	return update(filepath.Join(nomadkit.Root(), "README.md"), markdown(results))
}

func value(row bench.Row) string {
	digits := 0
	switch {
	case row.Value == float64(int64(row.Value)):
	case row.Value < 10:
		digits = 2
	case row.Value < 100:
		digits = 1
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f %s", digits, row.Value, row.Unit))
}

func markdown(results bench.Results) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Measured %s:\n\n", results.Measured)
	out.WriteString("| what | measured | goal | how |\n|---|---|---|---|\n")
	for _, row := range results.Rows {
		goal := row.Goal
		if row.OK != nil && !*row.OK {
			goal += " (missed)"
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", row.Name, value(row), goal, row.How)
	}
	return out.String()
}

func update(path, text string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(data), begin)
	_, tail, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s has no markers %q and %q", path, begin, end)
	}
	return os.WriteFile(path, []byte(head+begin+"\n\n"+text+"\n"+end+tail), 0o644)
}
