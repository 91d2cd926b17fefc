package nomadkit

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Apple is the runtime of Macs, over the stand-in for its CLI. Where root runs the tests, its
// containers have the files of the test image and a network of their own.
type Apple struct {
	*Standin
	offers sync.Mutex
	known  map[string]any // what registry.json says
}

// PrivateImage is an image that the stand-in gives only to those who have logged in.
const PrivateImage = "private.test/ndc/app:1"

// Rootfs is the directory that scripts/test-rootfs makes.
func Rootfs() string { return os.Getenv("NDC_TEST_ROOTFS") }

func newApple(dir, version string) (*Apple, error) {
	standin, err := NewStandin(dir, version, "NDC_STANDIN_STATS_MS=200", "NDC_STANDIN_ROOTFS="+Rootfs(),
		"NDC_STANDIN_NETNS=1")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(standin.State, 0o700); err != nil {
		return nil, err
	}
	a := &Apple{Standin: standin, known: map[string]any{}}
	// "private." hosts want the user "user" with the password "secret".
	for _, image := range []string{Image(), PrivateImage} {
		if err := a.offer(image, map[string]any{"Env": []string{"PATH=/bin"}}); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Offer makes an image one that can be pulled, with these variables in its environment. What is there
// under this name already stays until it is pulled again.
func (a *Apple) Offer(t testing.TB, image string, env ...string) {
	t.Helper()
	a.OfferImage(t, image, map[string]any{"Env": append([]string{"PATH=/bin"}, env...)})
}

// OfferImage is Offer of an image with more in its OCI configuration.
func (a *Apple) OfferImage(t testing.TB, image string, config map[string]any) {
	t.Helper()
	if err := a.offer(image, config); err != nil {
		t.Fatal(err)
	}
}

func (a *Apple) offer(image string, config map[string]any) error {
	a.offers.Lock()
	defer a.offers.Unlock()
	a.known[image] = config
	text, err := json.Marshal(a.known)
	if err != nil {
		return err
	}
	// The CLI may read it at any time.
	path := filepath.Join(a.State, "registry.json")
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (*Apple) Name() string      { return "apple" }
func (a *Apple) Version() string { return a.version }

// Containers are found by the label that the driver puts on them.
func (a *Apple) Containers(t testing.TB, allocID string) []string {
	t.Helper()
	return a.containersOf(allocID)
}

func (a *Apple) containersOf(allocID string) []string {
	var ids []string
	for _, id := range a.Standin.Containers() {
		// One that is gone by now is not this allocation's.
		if record, err := a.Record(id); err == nil && record.Configuration.Labels["nomad.alloc_id"] == allocID {
			ids = append(ids, id)
		}
	}
	return ids
}

func (a *Apple) Look(t testing.TB, allocID string) Look {
	t.Helper()
	return Look{a.The(t, allocID).ID, a.Pid(a.The(t, allocID).ID), a.The(t, allocID).Configuration.Labels}
}

// The is the record of the one container of an allocation.
func (a *Apple) The(t testing.TB, allocID string) Made {
	t.Helper()
	ids := a.containersOf(allocID)
	if len(ids) != 1 {
		t.Fatalf("allocation %s has containers %v, want one", allocID, ids)
	}
	record, err := a.Record(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// Recorded is a part of the record of the one container of an allocation: the keys and indexes that
// lead to it, joined by dots.
func (a *Apple) Recorded(t testing.TB, allocID, path string) string {
	t.Helper()
	return a.RecordedOf(t, a.The(t, allocID).ID, path)
}

func (a *Apple) RemoveContainers(allocID string) {
	for _, id := range a.containersOf(allocID) {
		_, _ = a.Run("delete", "--force", id)
	}
}

func (a *Apple) Network(t testing.TB) string {
	t.Helper()
	name := Unique("ndc-net")
	if _, err := a.Run("network", "create", name); err != nil {
		t.Fatal(err)
	}
	return name
}

func (a *Apple) RemoveVolume(name string) { _, _ = a.Run("volume", "delete", name) }

// Left is what is left of the one agent that has this CLI, and what the CLI rejected.
func (a *Apple) Left(string) []string {
	var left []string
	for _, id := range a.Standin.Containers() {
		left = append(left, "container "+id)
	}
	if text := a.Rejected(); text != "" {
		left = append(left, "calls that the CLI rejected: "+text)
	}
	return left
}

// Close ends what outlives the containers as well.
func (a *Apple) Close(agentDir string) {
	a.Standin.Close()
	// Monitors that still wait for a log collector, and CLIs that a test made hang.
	for _, pid := range ProcessesWith(agentDir + "/") {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if text := strings.TrimSpace(a.Rejected()); text != "" {
		fmt.Fprintf(os.Stderr, "apple %s: the CLI rejected: %s\n", a.version, text)
	}
}
