package wire

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// The proofs that a row names: a file, the tests in it, the next file …
var (
	conformanceRow = regexp.MustCompile(`(?m)^\| (\d+) \| [^|]+ \| (.+) \|$`)
	proof          = regexp.MustCompile("`([a-z0-9]+/[a-z0-9_]+\\.(?:go|cpp))`|`(Test[A-Za-z0-9]+)`|\"([^\"]+)\"")
)

// Without it the table would go on to name tests that were renamed or removed.
func TestTheConformanceTableIsCompleteAndNamesTestsThatExist(t *testing.T) {
	tests := filepath.Join(nomadkit.Root(), "tests")
	table, err := os.ReadFile(filepath.Join(tests, "CONFORMANCE.md"))
	must.NoError(t, err)
	next := 1
	for _, row := range conformanceRow.FindAllStringSubmatch(string(table), -1) {
		must.Eq(t, fmt.Sprint(next), row[1], must.Sprint("the rows are numbered"))
		next++
		source, proofs := "", 0
		for _, part := range proof.FindAllStringSubmatch(row[2], -1) {
			want := "func " + part[2] + "(t *testing.T)"
			switch {
			case part[1] != "":
				text, err := os.ReadFile(filepath.Join(tests, part[1]))
				must.NoError(t, err, must.Sprintf("row %s", row[1]))
				source = string(text)
				continue
			case part[3] != "":
				want = fmt.Sprintf("TEST_CASE(%q)", part[3])
			}
			proofs++
			must.True(t, strings.Contains(source, want), must.Sprintf("row %s: no %s", row[1], want))
		}
		must.Positive(t, proofs, must.Sprintf("proofs in row %s", row[1]))
	}
	must.Eq(t, 63, next, must.Sprint("62 rows, and the number after"))
}
