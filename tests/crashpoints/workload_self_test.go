package crashpoints

import "testing"

// The checker itself must be able to find something.
func TestCheckLogFindsWhatIsWrong(t *testing.T) {
	const a, b = "aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-0000-0000-0000-000000000000"
	const whole = a + " 1\n" + a + " 2\n" + a + " last 2\n"
	const taken = "Error: creating container storage: the container name is already in use\n"
	const init = "time=\"2026-11-29T00:00:00Z\" level=error msg=\"container_linux.go: init ended\"\n"
	tests := []struct {
		name   string
		log    string
		cut    bool
		engine *engine
		stream string
		tty    bool
		right  bool
	}{
		{"whole", whole, false, podmanEngine, "stdout", false, true},
		{"two runs", a + " 1\n" + b + " 1\n" + b + " last 1\n", false, podmanEngine, "stdout", false, true},
		{"a terminal's", a + " 1\r\n" + a + " last 1\r\n", false, podmanEngine, "stdout", true, true},
		{"without its end", a + " 1\n", false, podmanEngine, "stdout", false, false},
		{"cut", a + " 1\n" + a + " 2", true, podmanEngine, "stdout", false, true},
		{"a hole", a + " 1\n" + a + " 3\n" + a + " last 3\n", false, podmanEngine, "stdout", false, false},
		{"two at a time", a + " 1\n" + b + " 1\n" + a + " 2\n", true, podmanEngine, "stdout", false, false},
		{"a torn line before the next run", a + " 1\naaaaaaaa-0000-00\n" + b + " 1\n" + b + " last 1\n", false, podmanEngine, "stdout", false, false},
		{"a torn line where it may be cut", a + " 1\naaaaaaaa-0000-00\n", true, appleEngine, "stdout", false, false},
		{"an empty line", "\n" + whole, false, appleEngine, "stdout", false, false},

		{"podman's words on stderr", taken + init + whole, false, podmanEngine, "stderr", false, true},
		{"podman's words on stdout", taken + whole, false, podmanEngine, "stdout", false, false},
		{"podman's words on a terminal", taken + whole, false, podmanEngine, "stdout", true, false},
		{"the CLI's error on stderr", taken + whole, false, appleEngine, "stderr", false, true},
		{"the CLI's error on a terminal", taken + whole, false, appleEngine, "stdout", true, true},
		{"the CLI's error on stdout", taken + whole, false, appleEngine, "stdout", false, false},
		{"others' words over Apple's CLI", init + whole, false, appleEngine, "stderr", false, false},
	}
	for _, test := range tests {
		err := checkLog(test.log, test.cut, func(line string) bool { return test.engine.says(test.stream, test.tty, line) })
		if (err == nil) != test.right {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
