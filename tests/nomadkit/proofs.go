package nomadkit

import (
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/plugins/shared/hclspec"
)

// SchemaKeys are the keys that a configuration block can have; those of blocks in it are like
// "gc.image_delay".
func SchemaKeys(spec *hclspec.Spec) []string {
	var keys []string
	for key, nested := range spec.GetObject().GetAttributes() {
		inside := nested.GetBlockValue().GetNested()
		if inside == nil {
			inside = nested.GetBlockList().GetNested()
		}
		if inside == nil {
			keys = append(keys, key)
			continue
		}
		for _, name := range SchemaKeys(inside) {
			keys = append(keys, key+"."+name)
		}
	}
	sort.Strings(keys)
	return keys
}

// NeedTest fails unless a file of the tests, "wire/start_test.go", has a test of this name: where a
// table says that a setting is tested elsewhere, it has to be true.
func NeedTest(t testing.TB, file, name string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(), "tests", file))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "func "+name+"(") && !strings.Contains(string(text), "TEST_CASE(\""+name+"\"") {
		t.Fatalf("%s has no test %q", file, name)
	}
}
