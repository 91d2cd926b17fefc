package crashpoints

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stops follows the log of reached points. Where a process stands still there it kills the victim,
// and lets the process go on.
type stops struct {
	w      *world
	quit   chan struct{}
	done   chan struct{}
	points chan struct{} // closed when the armed point is reached
	mu     sync.Mutex    // of what follows
	seen   map[string]map[victim]bool
	killed bool
}

// met is who was there at each point so far.
func (s *stops) met() map[string]map[victim]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.seen)
}

func watchStops(w *world) *stops {
	s := &stops{w: w, quit: make(chan struct{}), done: make(chan struct{}), points: make(chan struct{}),
		seen: map[string]map[victim]bool{}}
	go s.run()
	return s
}

// close comes after the end of all processes: one that nobody lets go on would stand still for good.
func (s *stops) close() {
	close(s.quit)
	<-s.done
}

func (s *stops) run() {
	defer close(s.done)
	offset := 0
	reached := false
	for {
		data, _ := os.ReadFile(s.w.log)
		for offset < len(data) {
			end := strings.IndexByte(string(data[offset:]), '\n')
			if end < 0 {
				break
			}
			var pid int
			var point string
			_, err := fmt.Sscanf(string(data[offset:offset+end]), "%d %s", &pid, &point)
			offset += end + 1
			if err == nil {
				s.at(pid, point)
				if !reached && s.w.victim != nobody {
					reached = true
					close(s.points)
				}
			}
		}
		select {
		case <-s.quit:
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// at is called with a process that is about to stand still at a point, or to be killed there.
func (s *stops) at(pid int, point string) {
	if err := awaitStop(pid); err != nil {
		return // killed
	}
	there := s.w.engine.victims(s.w)
	there[plugin] = []int{s.w.plugin.Cmd.Process.Pid}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.w.victim {
	case nobody:
		if s.seen[point] == nil {
			s.seen[point] = map[victim]bool{}
		}
		for v := range there {
			s.seen[point][v] = true
		}
		if startsCLI[point] != "" {
			s.seen[point][cli] = true
		}
	case agent:
		there[agent] = there[plugin]
		fallthrough
	default:
		for _, each := range there[s.w.victim] {
			s.killed = true
			_ = syscall.Kill(each, syscall.SIGKILL)
		}
	}
	_ = syscall.Kill(pid, syscall.SIGCONT)
	if verb := startsCLI[point]; s.w.victim == cli && verb != "" {
		s.killCLI(verb)
	}
}

// startsCLI: the plugin's event loop spawns the CLI, with this subcommand, as its next step after
// the point.
var startsCLI = map[string]string{
	"podman.start.spawned": "run", "podman.remove.spawned": "rm", "podman.pull.spawned": "pull",
	"apple.start.create_spawned": "create", "apple.stop.spawned": "stop", "apple.remove.spawned": "delete", "apple.pull.spawned": "pull",
}

// patience is `long` where a row that is not met is a failure; where all rows are wanted it is none of the
// table then, and is not waited for.
func patience(short, long time.Duration) time.Duration {
	if everything {
		return short
	}
	return long
}

// killCLI kills the CLI as soon as it is there: it is at work for milliseconds, so that there is no
// time for a look at all processes of the machine.
func (s *stops) killCLI(verb string) {
	known := map[string]bool{}
	for deadline := time.Now().Add(patience(time.Second, 10*time.Second)); !s.killed && time.Now().Before(deadline); {
		for _, p := range children(s.w.plugin.Cmd.Process.Pid, known) {
			if p.has(verb) && s.w.engine.isCLI(s.w, p) {
				s.killed = syscall.Kill(p.pid, syscall.SIGKILL) == nil
			}
		}
	}
}

var errEnded = errors.New("the process has ended")

func awaitStop(pid int) error {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		switch state, _ := stat(pid); state {
		case 'T', 't':
			return nil
		case 0, 'Z', 'X':
			return errEnded
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("process %d did not stop", pid)
}

// reached waits for the armed point, which may come a moment after the last call. A run in which it
// does not come proves nothing, and is counted as such.
func (s *stops) reached() bool {
	select {
	case <-s.points:
		return true
	case <-time.After(patience(5*time.Second, 30*time.Second)):
		return false
	}
}
