package crashpoints

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"nomad-driver-container/tests/nomadkit"
)

// scenario is one life cycle.
type scenario struct {
	name        string
	run         func(w *world)
	engines     string            // all where empty
	task        map[string]string // more of the task's configuration, by engine; ${dir} is the world's directory
	config      string            // more of the plugin's
	command     string            // instead of the workload
	pulls       bool
	tty         bool
	armedLater  bool // not the first plugin: the one that takes over
	killsPlugin bool // the scenario itself kills one
	unknown     bool // the exit status cannot be known, and output may be lost
	newFIFOs    bool // the log collector makes new ones under way
	agents      bool // the death of Nomad's agent makes a difference
}

var scenarios = []*scenario{
	{name: "run", run: runsToItsEnd, agents: true},
	{name: "stop", run: isStopped},
	{name: "kill", run: isDeaf},
	{name: "pull", run: runsToItsEnd, pulls: true, task: map[string]string{
		"apple": "auth {\n username = \"user\"\n password = \"secret\"\n}\n"}},
	{name: "fail", run: cannotStart, command: "/no-such-program"},
	{name: "refused", engines: "podman", run: cannotStart, task: map[string]string{
		"podman": "network_mode = \"no-such-network\"\n"}}, // podman makes no container at all
	{name: "recover", run: isRecovered, armedLater: true, killsPlugin: true},
	{name: "missed", run: endsUnseen, armedLater: true, killsPlugin: true},
	{name: "gone", run: isGone, armedLater: true, killsPlugin: true},
	{name: "again", run: startsAgain, armedLater: true, killsPlugin: true},
	{name: "orphan", run: isForgotten, armedLater: true, killsPlugin: true},
	{name: "collector", run: losesItsCollector, newFIFOs: true},
	{name: "watcher", engines: "podman", run: losesItsWatcher, unknown: true},
	{name: "spool", engines: "apple", run: isReadLate},
	{name: "deliver", engines: "apple", run: losesItsMonitor, unknown: true},
	{name: "sockets", engines: "apple", run: runsToItsEnd, task: map[string]string{
		"apple": "publish_sockets = [\"${dir}/app.sock:/run/app.sock\"]\n"}}, // the container listens there itself
	{name: "terminal", run: runsToItsEnd, tty: true, task: map[string]string{
		"podman": "tty = true\n", "apple": "tty = true\n"}},
}

// some lines of the workload have reached the log collector.
func (w *world) talks() {
	w.t.Helper()
	nomadkit.Eventually(w.t, 15*time.Second, "the workload talks", func() error {
		if w.task.Handle != nil && !pluginAlive(w.plugin) {
			w.revive() // whoever waits for the exit notices it at once
		}
		if w.mayBeUnknown() && w.killedVictim() || strings.Contains(w.task.Log("stdout"), " 3") {
			return nil
		}
		return fmt.Errorf("log %q", w.task.Log("stdout"))
	})
}

func (w *world) checkLog(stream string, cut bool) error {
	return checkLog(w.task.Log(stream), cut, func(line string) bool { return w.engine.says(stream, w.scenario.tty, line) })
}

func (w *world) logs() {
	w.t.Helper()
	streams := []string{"stdout", "stderr"}
	if w.scenario.tty {
		streams = streams[:1]
	}
	for _, stream := range streams {
		cut := w.mayBeUnknown() || w.mayBeCut()
		if cut {
			if err := w.checkLog(stream, true); err != nil {
				w.t.Errorf("%s: %v", stream, err)
			}
			continue
		}
		// The collector writes a moment after it has read.
		nomadkit.Eventually(w.t, 5*time.Second, stream, func() error { return w.checkLog(stream, false) })
	}
}

func (w *world) end() {
	w.t.Helper()
	w.expectExit(w.code)
	w.destroy()
	w.logs()
}

func (w *world) begin() {
	w.t.Helper()
	w.write("code", fmt.Sprint(w.code))
	w.start()
	w.talks()
}

func runsToItsEnd(w *world) {
	w.begin()
	w.release()
	w.end()
}

func isStopped(w *world) {
	w.begin()
	w.stop(20 * time.Second)
	w.end()
}

// The workload is stopped by a signal that it does not get in time.
func isDeaf(w *world) {
	w.write("code", fmt.Sprint(w.code))
	w.task.SetConfig(w.t, strings.Replace(w.taskConfig(), "trap 'told=1' TERM", "trap : TERM", 1))
	w.start()
	w.talks()
	w.stop(300 * time.Millisecond)
	w.expectExit(137)
	w.destroy()
	for _, stream := range []string{"stdout", "stderr"} {
		if err := w.checkLog(stream, true); err != nil {
			w.t.Errorf("%s: %v", stream, err)
		}
	}
}

func cannotStart(w *world) {
	for try := 1; try <= startTries; try++ {
		_, _, err := w.plugin.StartTask(w.task.TaskConfig)
		if err == nil {
			w.t.Fatal("a task without what it needs was started")
		}
		if w.dead(err) {
			w.relaunch()
		} else if try > 1 || w.victim == nobody || strings.Contains(err.Error(), "no-such-") {
			return
		}
	}
}

// takeOver is the death of a plugin while nothing else happens.
func (w *world) takeOver(meanwhile func()) {
	w.t.Helper()
	w.plugin.Kill9(w.t)
	if meanwhile != nil {
		meanwhile()
	}
	w.armed = true
	w.launch()
}

func isRecovered(w *world) {
	w.begin()
	w.takeOver(nil)
	w.recover()
	w.release()
	w.end()
}

func endsUnseen(w *world) {
	w.begin()
	w.takeOver(func() {
		w.release()
		nomadkit.Eventually(w.t, 20*time.Second, "the workload has ended", func() error {
			return w.checkLog("stdout", false)
		})
		nomadkit.Eventually(w.t, 20*time.Second, "nobody is left of it", func() error {
			if there := w.engine.victims(w); len(there) != 0 {
				return fmt.Errorf("%v", there)
			}
			return nil
		})
	})
	w.recover()
	w.end()
}

// The container is removed while there is no plugin.
func isGone(w *world) {
	w.begin()
	w.takeOver(func() {
		removeContainer(w)
		nomadkit.Eventually(w.t, 20*time.Second, "nobody is left of it", func() error {
			if there := w.engine.victims(w); len(there) != 0 {
				return fmt.Errorf("%v", there)
			}
			return nil
		})
	})
	for {
		err := w.plugin.RecoverTask(w.task.RecoveredHandle())
		if err == nil {
			// The monitor may have seen how it was killed; else the exit has to be unknown.
			if result := w.wait(); result.Err == nil && result.ExitCode != 137 {
				w.t.Errorf("an exit was made up: %+v", result)
			}
			w.destroy()
			return
		}
		if !w.dead(err) {
			return
		}
		w.relaunch()
	}
}

// A client that lost its state starts the task again, under a new id, while the old one runs.
func startsAgain(w *world) {
	w.begin()
	w.takeOver(nil)
	w.newInvocation()
	w.start()
	w.release()
	w.end()
}

// A client that lost its state never asks for the task again.
func isForgotten(w *world) {
	w.begin()
	w.takeOver(nil)
	w.neighbour()
	w.destroyed = true
	if w.victim == plugin {
		w.stops.reached()
	}
	if !pluginAlive(w.plugin) {
		w.relaunch()
	}
}

// The log collector dies and comes back with new FIFOs.
func losesItsCollector(w *world) {
	w.begin()
	w.task.StopLogs(w.t)
	_ = os.Remove(w.task.StdoutPath)
	_ = os.Remove(w.task.StderrPath)
	before := w.task.Log("stdout")
	w.task.StartLogs(w.t)
	nomadkit.Eventually(w.t, 20*time.Second, "the new collector gets lines", func() error {
		if w.mayBeUnknown() || len(w.task.Log("stdout")) > len(before) {
			return nil
		}
		if !pluginAlive(w.plugin) {
			return nil
		}
		return fmt.Errorf("nothing new")
	})
	w.release()
	w.end()
}

// conmon is killed while the workload runs.
func losesItsWatcher(w *world) {
	w.begin()
	w.killAll(conmon)
	w.release()
	w.end()
}

func (w *world) killAll(v victim) {
	for _, pid := range w.engine.victims(w)[v] {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// While there is no log collector the workload writes more than its FIFO holds.
func (w *world) flood() {
	w.t.Helper()
	w.begin()
	w.task.StopLogs(w.t)
	w.write("flood", "")
	w.release()
	nomadkit.Eventually(w.t, 20*time.Second, "the monitor spools", func() error {
		info, err := os.Stat(filepath.Join(w.stateDir, w.container(), "spool.out"))
		if w.victim == nobody || err == nil && info.Size() > 1000 || len(w.engine.victims(w)[monitor]) == 0 {
			return err
		}
		return fmt.Errorf("%v, %v", info, err)
	})
}

func isReadLate(w *world) {
	w.flood()
	w.task.StartLogs(w.t)
	w.end()
}

func losesItsMonitor(w *world) {
	w.flood()
	w.killAll(monitor)
	w.task.StartLogs(w.t)
	w.end()
}

func removeContainer(w *world) {
	if w.engine == podmanEngine {
		nomadkit.RemoveContainersOf(w.task.AllocID)
		return
	}
	command := exec.Command(filepath.Join(w.dir, "container"), "delete", "--force", w.container())
	if out, err := command.CombinedOutput(); err != nil {
		w.t.Fatalf("delete: %v: %s", err, out)
	}
}
