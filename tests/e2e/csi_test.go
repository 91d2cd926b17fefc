package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// The volume's plugin is itself a task of this driver: Nomad mounts two directories into it, and what
// it makes there has to be seen on the node.
func TestACSIVolumeOfAPluginThatIsATaskIsMountedAsTheJobSaysOnPodman(t *testing.T) {
	t.Parallel()
	own := ownAgent(t, onPodman(t))
	own.Submit(t, BatchJob(`
config {
  image   = "${image}"
  command = "/plugin/csiplugin"
  volumes = ["`+CSIPlugin(t)+`:/plugin:ro"]
}
csi_plugin {
  id        = "directories"
  type      = "node"
  mount_dir = "/csi"
}`)).WaitStatus(t, "running")
	Eventually(t, 60*time.Second, "a healthy CSI plugin", func() error {
		plugin, _, err := own.API.CSIPlugins().Info("directories", nil)
		if err == nil && plugin.NodesHealthy != 1 {
			err = fmt.Errorf("%d healthy nodes", plugin.NodesHealthy)
		}
		return err
	})
	capability := &api.CSIVolumeCapability{AccessMode: api.CSIVolumeAccessModeSingleNodeWriter, AttachmentMode: api.CSIVolumeAttachmentModeFilesystem}
	_, err := own.API.CSIVolumes().Register(&api.CSIVolume{ID: "data", Name: "data", ExternalID: "number 7", PluginID: "directories",
		RequestedCapabilities: []*api.CSIVolumeCapability{capability}}, nil)
	must.NoError(t, err)

	const script = "cat /data/file; touch /data/mine 2>/dev/null && echo written || echo refused; echo END"
	for _, c := range []struct {
		readOnly bool
		want     string
	}{{false, "volume number 7\nwritten\nEND\n"}, {true, "volume number 7\nrefused\nEND\n"}} {
		mount := fmt.Sprintf("volume_mount {\n volume = \"data\"\n destination = \"/data\"\n read_only = %t\n}\n", c.readOnly)
		volume := "volume \"data\" {\n type = \"csi\"\n source = \"data\"\n access_mode = \"single-node-writer\"\n attachment_mode = \"file-system\"\n}\n"
		job := own.Submit(t, strings.Replace(BatchJob(mount+Shell(script)), `group "g" {`, "group \"g\" {\n"+volume, 1))
		alloc := job.WaitStatus(t, "complete")
		job.WaitLog(t, alloc, "stdout", "END\n")
		text, err := job.Log(alloc, "stdout")
		must.NoError(t, err)
		must.Eq(t, c.want, text)
		// There is one writer at a time.
		Eventually(t, 90*time.Second, "the volume is given back", func() error {
			data, _, err := own.API.CSIVolumes().Info("data", nil)
			if err == nil && len(data.WriteAllocs) > 0 {
				err = fmt.Errorf("%d writers", len(data.WriteAllocs))
			}
			return err
		})
	}
}
