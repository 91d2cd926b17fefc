package apple

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoenig/test/must"
)

// Apple's CLI is given paths: what one leads to is looked at again before and after the start.
func TestAPathThatIsLedElsewhereAfterItsCheckEndsTheStart(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		for name, c := range map[string]struct{ at, what string }{
			"before it is created":                {"create", `volumes = ["%s/data:/data"]`},
			"when it starts":                      {"start", `volumes = ["%s/data:/data"]`},
			"a directory on the way":              {"create", `volumes = ["%s/data/inner:/data"]`},
			"the directory of a published socket": {"create", `publish_sockets = ["%s/data/a.sock:/run/a.sock"]`},
			"the kernel":                          {"create", `kernel = "%s/data/file"`},
		} {
			t.Run(name, func(t *testing.T) {
				base, err := filepath.EvalSymlinks(t.TempDir())
				must.NoError(t, err)
				allowed, outside := filepath.Join(base, "allowed"), filepath.Join(base, "outside")
				for _, dir := range []string{allowed, outside} {
					must.NoError(t, os.MkdirAll(filepath.Join(dir, "data", "inner"), 0o755))
					must.NoError(t, os.WriteFile(filepath.Join(dir, "data", "file"), []byte(dir), 0o644))
				}
				cli := filepath.Join(base, "container")
				must.NoError(t, os.WriteFile(cli, []byte(fmt.Sprintf("#!/bin/sh\n[ \"$1\" = %s ] && [ ! -L %s/data ] && mv %s/data %s/data.old && ln -s %s/data %s/data\nexec %s \"$@\"\n",
					c.at, allowed, allowed, allowed, outside, allowed, n.CLI)), 0o755))
				n.configure(t, fmt.Sprintf("runtime = \"apple\"\ncontainer_path = %q\nvolumes {\n allowed_paths = [%q]\n}", cli, allowed))
				must.False(t, fails(t, n, of("demo:1", fmt.Sprintf(c.what, allowed)), "led elsewhere"))
				must.False(t, fails(t, n, of("demo:1", fmt.Sprintf(c.what, allowed)), "allowed_paths"), must.Sprint("what is a link by now is refused by the check"))
				n.nothingLeft(t)
			})
		}
	})
}
