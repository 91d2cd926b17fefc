package nomadkit

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Stamp says of what, when and where something was measured.
type Stamp struct {
	Date    string `json:"date"`
	Commit  string `json:"commit"`
	Machine string `json:"machine"`
}

// NewStamp is that of a measurement that is made now.
func NewStamp() Stamp { return Stamp{time.Now().Format(time.DateOnly), commit(), machine()} }

func (s Stamp) String() string { return fmt.Sprintf("%s, commit %s, %s", s.Date, s.Commit, s.Machine) }

// commit is the one that the source is of, "-dirty" with changes since; the program under test is
// built from it by all scripts.
func commit() string {
	out, err := exec.Command("git", "-C", Root(), "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// machine is the processor's model and the number of cores.
func machine() string {
	model := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo")
	for _, line := range strings.Split(string(text), "\n") {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%s, %d cores", model, runtime.NumCPU())
}
