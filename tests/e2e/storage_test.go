package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// withVolumes is a job whose group asks for host volumes and whose task mounts each at /<name>.
func withVolumes(inside string, readOnly bool, sources ...string) string {
	group, mounts := "", ""
	for _, source := range sources {
		group += fmt.Sprintf("volume %q {\n type = \"host\"\n source = %q\n read_only = %t\n}\n", source, source, readOnly)
		mounts += fmt.Sprintf("volume_mount {\n volume = %q\n destination = \"/%s\"\n}\n", source, source)
	}
	return strings.Replace(BatchJob(mounts+inside), `group "g" {`, "group \"g\" {\n"+group, 1)
}

func TestHostVolumesOfTheAgentAreMountedAsTheySay(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		must.NoError(t, os.WriteFile(filepath.Join(agent.Dir, "volume", "file"), []byte("of the agent\n"), 0o644))
		script := "cat /e2e/file; for d in /e2e /e2e-ro; do [ -d $d ] || continue; touch $d/$NOMAD_ALLOC_ID 2>/dev/null && echo written || echo refused; done; echo END"
		for name, c := range map[string]struct {
			text, want string
			written    bool
		}{
			"for writing":        {withVolumes(Shell(script), false, "e2e"), "of the agent\nwritten\nEND\n", true},
			"the job reads only": {withVolumes(Shell(script), true, "e2e"), "of the agent\nrefused\nEND\n", false},
			"the agent says so":  {withVolumes(Shell(script), true, "e2e", "e2e-ro"), "of the agent\nrefused\nrefused\nEND\n", false},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				job := agent.Submit(t, c.text)
				alloc := job.WaitStatus(t, "complete")
				job.WaitLog(t, alloc, "stdout", "END\n")
				text, err := job.Log(alloc, "stdout")
				must.NoError(t, err)
				must.Eq(t, c.want, text)
				_, err = os.Stat(filepath.Join(agent.Dir, "volume", alloc.ID))
				must.Eq(t, c.written, err == nil)
			})
		}
	})
}

func TestAHostVolumesPropagationIsTheJobsOnPodman(t *testing.T) {
	t.Parallel()
	agent := onPodman(t)
	for mode, want := range map[string]string{"private": "rprivate", "host-to-task": "rslave", "bidirectional": "rshared"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(withVolumes(Shell(untilSignalled), false, "e2e"), "destination = \"/e2e\"",
				"destination = \"/e2e\"\n propagation_mode = \""+mode+"\"", 1)
			job := agent.Submit(t, text)
			alloc := job.WaitStatus(t, "running")
			got, err := Podman("inspect", "--format", "{{range .Mounts}}{{.Destination}} {{.Propagation}},{{end}}", ContainersOf(t, alloc.ID)[0])
			must.NoError(t, err)
			must.StrContains(t, got, "/e2e "+want+",")
		})
	}
}

func TestJobsForNomadsDockerDriverMeanTheSameStorageOnPodman(t *testing.T) {
	t.Parallel()
	agent := onPodman(t)
	rendered := "template {\n data = \"rendered\\n\"\n destination = \"local/etc/app.conf\"\n}\n" +
		"template {\n data = \"secret\\n\"\n destination = \"secrets/key\"\n}\n"
	for name, config := range map[string]string{
		"volumes": `volumes = ["local/etc/app.conf:/etc/app.conf:ro", "secrets:/keys:ro"]`,
		"mount blocks": "mount {\n type = \"bind\"\n source = \"local/etc/app.conf\"\n target = \"/etc/app.conf\"\n readonly = true\n}\n" +
			"mount {\n type = \"bind\"\n source = \"secrets\"\n target = \"/keys\"\n readonly = true\n bind_options {\n propagation = \"rprivate\"\n }\n}\n",
		"mount list": `mount = [{ type = "bind", source = "local/etc/app.conf", target = "/etc/app.conf", readonly = true },
			{ type = "bind", source = "secrets", target = "/keys" }]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			must.Eq(t, "rendered\nsecret\n", output(t, agent, "cat /etc/app.conf /keys/key\necho END", config, rendered))
		})
	}
}
