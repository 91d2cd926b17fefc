package nomadkit

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Content is what an image made for a test has beside the machine's busybox.
type Content struct {
	Files        map[string]string // path without the leading slash, and text
	Programs     map[string]string // the same, of scripts
	Ballast      int               // bytes that do not compress
	Architecture string            // the machine's own unless given
	StopSignal   string
	Env          []string // beside PATH
	HealthCheck  string   // a command; makes it an image in Docker's format
}

const (
	indexType  = "application/vnd.oci.image.index.v1+json"
	imageLabel = "ndc.registry" // on all images of a registry of the tests
)

// mediaTypes are those of OCI images and (true) of Docker's, which alone know health checks.
var mediaTypes = map[bool]struct{ manifest, config, layer string }{
	false: {"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json",
		"application/vnd.oci.image.layer.v1.tar+gzip"},
	true: {"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.container.image.v1+json",
		"application/vnd.docker.image.rootfs.diff.tar.gzip"},
}

type descriptor struct {
	MediaType string            `json:"mediaType"`
	Digest    string            `json:"digest"`
	Size      int               `json:"size"`
	Platform  map[string]string `json:"platform,omitempty"`
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

type layer struct {
	blob   []byte // compressed
	diffID string
}

func makeLayer(entries func(*tar.Writer) error) (layer, error) {
	var plain, packed bytes.Buffer
	writer := tar.NewWriter(&plain)
	if err := entries(writer); err != nil {
		return layer{}, err
	}
	if err := writer.Close(); err != nil {
		return layer{}, err
	}
	zip, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	_, _ = zip.Write(plain.Bytes())
	if err := zip.Close(); err != nil {
		return layer{}, err
	}
	return layer{packed.Bytes(), digestOf(plain.Bytes())}, nil
}

// busyboxLayer is the same in all images of one owner, a registry or an archive. No two have one in
// common: podman does not fetch a layer that it has, and with the images of one test it would go from
// under another test's pull.
func busyboxLayer(owner string) (layer, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return layer{}, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return layer{}, err
	}
	return makeLayer(writeBusybox(data, owner))
}

func writeBusybox(data []byte, owner string) func(*tar.Writer) error {
	return func(out *tar.Writer) error {
		_ = out.WriteHeader(&tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755})
		_ = out.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(data))})
		_, _ = out.Write(data)
		for _, name := range []string{"sh", "cat", "sleep", "echo"} {
			_ = out.WriteHeader(&tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox"})
		}
		_ = out.WriteHeader(&tar.Header{Name: "owner", Mode: 0o644, Size: int64(len(owner))})
		_, _ = io.WriteString(out, owner)
		return out.Flush()
	}
}

// Archive is a file as "podman save" writes it, with an image of this name that the storage does
// not have.
func Archive(t testing.TB, name string) string {
	t.Helper()
	base, err := busyboxLayer(name)
	if err != nil {
		t.Fatalf("busybox: %v", err)
	}
	dir := t.TempDir()
	layer, archive := filepath.Join(dir, "layer.tar.gz"), filepath.Join(dir, "image.tar")
	if err := os.WriteFile(layer, base.blob, 0o600); err != nil {
		t.Fatal(err)
	}
	// Podman may fail over what another test removes from the storage at this moment.
	Eventually(t, 30*time.Second, "the image "+name+" is made", func() error {
		// The message makes it an image of its own.
		_, err := Podman("import", "--quiet", "--change=ENV PATH=/bin", "--message="+name, layer, name)
		return err
	})
	Eventually(t, 30*time.Second, "the image "+name+" is saved", func() error {
		_ = os.Remove(archive) // of a try that failed: podman adds to none
		_, err := Podman("save", "--quiet", "--output", archive, name)
		return err
	})
	Eventually(t, 30*time.Second, "the image "+name+" is removed", func() error {
		_, err := Podman("rmi", "--ignore", name)
		return err
	})
	return archive
}

// StandinArchive is a file as "docker save" writes it, as far as the stand-in for Apple's CLI reads one:
// it says that an image of this name is in it.
func StandinArchive(t testing.TB, name string) string {
	t.Helper()
	index, err := json.Marshal([]map[string]any{{"RepoTags": []string{name}}})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	out := tar.NewWriter(&file)
	_ = out.WriteHeader(&tar.Header{Name: "manifest.json", Mode: 0o644, Size: int64(len(index)), Format: tar.FormatUSTAR})
	_, _ = out.Write(index)
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	write(t, path, file.String())
	return path
}

// Push makes an image and puts it into the registry under "name:tag"; it returns its digest. No
// storage but the registry's has it.
func (r *Registry) Push(t testing.TB, name string, content Content) string {
	t.Helper()
	repository, tag, _ := strings.Cut(name, ":")
	manifest, kind := r.pushManifest(t, repository, content)
	r.put(t, repository, tag, kind, manifest)
	return digestOf(manifest)
}

// PushForPlatforms is Push of one image for several architectures.
func (r *Registry) PushForPlatforms(t testing.TB, name string, contents ...Content) {
	t.Helper()
	repository, tag, _ := strings.Cut(name, ":")
	var manifests []descriptor
	for _, content := range contents {
		manifest, kind := r.pushManifest(t, repository, content)
		r.put(t, repository, digestOf(manifest), kind, manifest)
		manifests = append(manifests, descriptor{kind, digestOf(manifest), len(manifest),
			map[string]string{"os": "linux", "architecture": content.Architecture}})
	}
	index, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": manifests})
	r.put(t, repository, tag, indexType, index)
}

func (r *Registry) put(t testing.TB, repository, reference, kind string, data []byte) {
	t.Helper()
	r.send(t, http.MethodPut, "/v2/"+repository+"/manifests/"+reference, kind, data)
}

func (r *Registry) pushManifest(t testing.TB, repository string, content Content) ([]byte, string) {
	kind := mediaTypes[content.HealthCheck != ""]
	t.Helper()
	base, err := r.busybox()
	if err != nil {
		t.Fatalf("busybox: %v", err)
	}
	own, err := makeLayer(func(out *tar.Writer) error {
		ballast := make([]byte, content.Ballast+16) // so that no two images are alike
		_, _ = rand.Read(ballast)
		files := map[string]string{"ballast": string(ballast)}
		maps.Copy(files, content.Files)
		for mode, texts := range map[int64]map[string]string{0o644: files, 0o755: content.Programs} {
			for name, text := range texts {
				_ = out.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(text))})
				_, _ = io.WriteString(out, text)
			}
		}
		return out.Flush()
	})
	if err != nil {
		t.Fatal(err)
	}
	architecture := content.Architecture
	if architecture == "" {
		architecture = runtime.GOARCH
	}
	settings := map[string]any{"Env": append([]string{"PATH=/bin"}, content.Env...), "Cmd": []string{"/bin/sh"},
		"StopSignal": content.StopSignal, "Labels": map[string]string{imageLabel: r.Address}}
	if content.HealthCheck != "" {
		settings["Healthcheck"] = map[string]any{"Test": []string{"CMD-SHELL", content.HealthCheck}}
	}
	config, _ := json.Marshal(map[string]any{
		"architecture": architecture, "os": "linux", "created": time.Now().UTC().Format(time.RFC3339),
		"config": settings,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{base.diffID, own.diffID}},
	})
	r.layer = digestOf(own.blob)
	for _, blob := range [][]byte{base.blob, own.blob, config} {
		location := r.send(t, http.MethodPost, "/v2/"+repository+"/blobs/uploads/", "", nil)
		separator := "?"
		if strings.Contains(location, "?") {
			separator = "&"
		}
		r.send(t, http.MethodPut, location+separator+"digest="+digestOf(blob), "application/octet-stream", blob)
	}
	manifest, _ := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": kind.manifest,
		"config": descriptor{kind.config, digestOf(config), len(config), nil},
		"layers": []descriptor{{kind.layer, digestOf(base.blob), len(base.blob), nil}, {kind.layer, digestOf(own.blob), len(own.blob), nil}},
	})
	return manifest, kind.manifest
}

// send talks to the registry itself, past its proxy, and returns the Location of the answer.
func (r *Registry) send(t testing.TB, method, path, kind string, data []byte) string {
	t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = "http://" + r.backend + path
	}
	request, err := http.NewRequest(method, path, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if r.user != "" {
		request.SetBasicAuth(r.user, r.secret)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("registry: %v", err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		text, _ := io.ReadAll(response.Body)
		t.Fatalf("registry: %s %s: %s: %s", method, path, response.Status, text)
	}
	return response.Header.Get("Location")
}

// Reference is the full reference of "name:tag" or "name@digest" on this registry.
func (r *Registry) Reference(name string) string { return r.Address + "/" + name }

// forget removes what Podman pulled from this registry, named or not. Podman's list fails while another
// test pulls or removes an image.
func (r *Registry) forget(t testing.TB) {
	Eventually(t, 30*time.Second, "the registry's images are removed", func() error {
		ids, err := Podman("images", "--quiet", "--no-trunc", "--filter", "label="+imageLabel+"="+r.Address)
		if err != nil || ids == "" {
			return err
		}
		_, err = Podman(append([]string{"rmi", "--force"}, strings.Fields(ids)...)...)
		return err
	})
}
