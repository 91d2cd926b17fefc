// A device plugin of Nomad with one device, for the tests: files of the directory in its
// configuration, a variable, and, where that asks for it, a device file.
package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/plugins"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/device"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"
)

type plugin struct {
	Dir  string `codec:"dir"`
	Node bool   `codec:"node"`
}

func main() { plugins.Serve(func(hclog.Logger) any { return &plugin{} }) }

func (*plugin) PluginInfo() (*base.PluginInfoResponse, error) {
	return &base.PluginInfoResponse{Type: base.PluginTypeDevice, PluginApiVersions: []string{device.ApiVersion010},
		PluginVersion: "v0.1.0", Name: "test-device"}, nil
}

func (*plugin) ConfigSchema() (*hclspec.Spec, error) {
	return hclspec.NewObject(map[string]*hclspec.Spec{
		"dir":  hclspec.NewAttr("dir", "string", true),
		"node": hclspec.NewAttr("node", "bool", false),
	}), nil
}

func (p *plugin) SetConfig(config *base.Config) error {
	return base.MsgPackDecode(config.PluginConfig, p)
}

func (*plugin) Fingerprint(ctx context.Context) (<-chan *device.FingerprintResponse, error) {
	found := make(chan *device.FingerprintResponse, 1)
	found <- device.NewFingerprint(&device.DeviceGroup{Vendor: "ndc", Type: "file", Name: "test",
		Devices: []*device.Device{{ID: "one", Healthy: true}}})
	go func() {
		<-ctx.Done()
		close(found)
	}()
	return found, nil
}

func (p *plugin) Reserve(ids []string) (*device.ContainerReservation, error) {
	out := &device.ContainerReservation{
		Envs: map[string]string{"TEST_DEVICE": ids[0]},
		Mounts: []*device.Mount{
			{TaskPath: "/plugged/rw", HostPath: filepath.Join(p.Dir, "rw")},
			{TaskPath: "/plugged/ro", HostPath: filepath.Join(p.Dir, "ro"), ReadOnly: true},
		},
	}
	if p.Node {
		out.Devices = []*device.DeviceSpec{{TaskPath: "/dev/plugged", HostPath: "/dev/kmsg", CgroupPerms: "r"}}
	}
	return out, nil
}

func (*plugin) Stats(ctx context.Context, _ time.Duration) (<-chan *device.StatsResponse, error) {
	stats := make(chan *device.StatsResponse)
	go func() {
		<-ctx.Done()
		close(stats)
	}()
	return stats, nil
}
