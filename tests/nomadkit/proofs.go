package nomadkit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
