package e2e

import (
	"fmt"
	"testing"

	"github.com/hashicorp/nomad/api"
	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// word is a variable that templates of a job show.
type word struct {
	on   *Agent
	path string
}

func newWord(t *testing.T, on *Agent, value string) word {
	t.Helper()
	w := word{on, "e2e/" + uuid.Short()}
	w.put(t, value)
	t.Cleanup(func() { _, _ = on.API.Variables().Delete(w.path, nil) })
	return w
}

func (w word) put(t *testing.T, value string) {
	t.Helper()
	_, _, err := w.on.API.Variables().Update(&api.Variable{Path: w.path, Items: map[string]string{"word": value}}, nil)
	must.NoError(t, err)
}

func (w word) template(change string) string {
	return fmt.Sprintf(`template {
        data        = "word={{ with nomadVar \"%s\" }}{{ .word }}{{ end }}\n"
        destination = "local/word"
        splay       = "0s"
        %s
      }
      `, w.path, change)
}

const showWord = "trap 'exit 0' TERM; cat /local/word; while true; do sleep 0.05; done"

func TestAChangedTemplateRestartsItsTask(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		w := newWord(t, agent, "first")
		job := agent.Submit(t, BatchJob(w.template(`change_mode = "restart"`)+Shell(showWord)))
		alloc := job.WaitStatus(t, "running")
		job.WaitLog(t, alloc, "stdout", "word=first\n")
		w.put(t, "second")
		job.WaitLog(t, alloc, "stdout", "word=first\nword=second\n")
		must.Len(t, 1, agent.Runtime.Containers(t, alloc.ID))
	})
}

func TestAChangedTemplateRunsItsScriptInTheTask(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		w := newWord(t, agent, "first")
		job := agent.Submit(t, BatchJob(w.template(`change_mode = "script"
        change_script {
          command       = "/bin/sh"
          args          = ["-c", "echo ran as $(id -u) > /local/ran; cat /local/word > /proc/1/fd/1"]
          timeout       = "60s"
          fail_on_error = true
        }`)+Shell(showWord)))
		alloc := job.WaitStatus(t, "running")
		job.WaitLog(t, alloc, "stdout", "word=first\n")
		w.put(t, "second")
		job.WaitLog(t, alloc, "stdout", "word=first\nword=second\n")
		stdout, _, _ := job.Exec(t, alloc, false, "", "cat", "/local/ran")
		must.Eq(t, "ran as 0\n", stdout)
		must.Eq(t, uint64(0), job.Alloc(t).TaskStates["main"].Restarts)
	})
}

// Everywhere that a job file may have a text: words, items of lists, values and names of maps.
func TestVariablesAreReplacedWhereverTheyStand(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(`config {
        image    = "${image}"
        command  = "/bin/sh"
        hostname = "h-${NOMAD_TASK_NAME}"
        args     = ["-c", "echo $(hostname) $0 $VALUE $NAME_main $KERNEL; trap 'exit 0' TERM; while true; do sleep 0.05; done", "item-${NOMAD_GROUP_NAME}"]
        env = {
          VALUE                     = "value-${NOMAD_TASK_NAME}"
          "NAME_${NOMAD_TASK_NAME}" = "named"
          KERNEL                    = "kernel-${attr.kernel.name}"
        }
        labels {
          group = "${NOMAD_GROUP_NAME}"
          node  = "${node.unique.name}"
        }
      }`))
		alloc := job.WaitStatus(t, "running")
		job.WaitLog(t, alloc, "stdout", "h-main item-g value-main named kernel-linux\n")
		labels := agent.Runtime.Look(t, alloc.ID).Labels
		must.Eq(t, "g", labels["group"])
		must.Eq(t, "e2e", labels["node"])
	})
}
