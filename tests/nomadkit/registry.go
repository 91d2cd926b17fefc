package nomadkit

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Registry is a real registry on loopback, over plain HTTP or TLS, behind a proxy that counts its requests
// and can fail in the registry's place.
type Registry struct {
	Address string // what an image reference begins with
	server  *httptest.Server
	backend string
	user    string
	secret  string
	mu      sync.Mutex
	seen    []string
	layer   string
	busybox func() (layer, error) // the layer that all its images have
	fault   func(http.ResponseWriter, *http.Request) bool
}

// noRegistries is a registries.conf that sends no short name to the Internet.
const noRegistries = "unqualified-search-registries = []\nshort-name-mode = \"disabled\"\n" +
	"[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\nblocked = true\n"

// StartRegistry starts one that lets everybody in, or only user and password where they are given.
// It ends with the test, and its images with it.
func StartRegistry(t testing.TB, credentials ...string) *Registry {
	t.Helper()
	return startRegistry(t, (*httptest.Server).Start, credentials)
}

// StartTLSRegistry is StartRegistry over HTTPS, with a certificate that nobody trusts by himself.
func StartTLSRegistry(t testing.TB, credentials ...string) *Registry {
	t.Helper()
	return startRegistry(t, (*httptest.Server).StartTLS, credentials)
}

// TrustCertificate makes the node's Podman trust a TLS registry as its users do: by a file in
// certs.d for its host and port. It goes with the test.
func (r *Registry) TrustCertificate(t testing.TB) {
	t.Helper()
	dir := filepath.Join("/etc/containers/certs.d", r.Address)
	_, err := os.Stat(filepath.Dir(dir))
	ours := os.IsNotExist(err)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.RemoveAll(dir)
		if ours {
			_ = os.Remove(filepath.Dir(dir)) // unless somebody else uses it by now
		}
	})
	write(t, filepath.Join(dir, "ca.crt"), string(pem.EncodeToMemory(
		&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw})))
}

func startRegistry(t testing.TB, start func(*httptest.Server), credentials []string) *Registry {
	t.Helper()
	dir := t.TempDir()
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	r := &Registry{backend: fmt.Sprintf("127.0.0.1:%d", ports[0])}
	r.busybox = sync.OnceValues(func() (layer, error) { return busyboxLayer(r.backend) })
	env := append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	config := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n",
		dir, r.backend)
	if len(credentials) == 2 {
		r.user, r.secret = credentials[0], credentials[1]
		hash, err := bcrypt.GenerateFromPassword([]byte(r.secret), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "htpasswd"), r.user+":"+string(hash)+"\n")
		config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %s/htpasswd}}\n", dir)
	}
	write(t, filepath.Join(dir, "config.yml"), config)
	cmd := exec.Command("docker-registry", "serve", filepath.Join(dir, "config.yml"))
	output := &SyncBuffer{}
	cmd.Env, cmd.Stdout, cmd.Stderr = env, output, output
	if err := cmd.Start(); err != nil {
		t.Fatalf("docker-registry: %v (scripts/setup installs it)", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	target := &url.URL{Scheme: "http", Host: r.backend}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		r.seen = append(r.seen, request.Method+" "+request.URL.Path)
		fault := r.fault
		r.mu.Unlock()
		if fault == nil || !fault(w, request) {
			proxy.ServeHTTP(w, request)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not trust it
	start(server)
	r.server = server
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	r.Address = server.Listener.Addr().String()
	t.Cleanup(func() { r.forget(t) })
	Eventually(t, 60*time.Second, "the registry answers", func() error {
		response, err := http.Get(target.String() + "/v2/")
		if err != nil {
			return fmt.Errorf("%w: %s", err, tail(output.String(), 500))
		}
		response.Body.Close()
		return nil
	})
	return r
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Requests lists the requests so far whose path contains `part`, as "GET /v2/…".
func (r *Registry) Requests(part string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, request := range r.seen {
		if strings.Contains(request, part) {
			out = append(out, request)
		}
	}
	return out
}

// Fail lets `fault` answer from now on, where it says that it has.
func (r *Registry) Fail(fault func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fault
}

// Layer is the digest of the layer that only the image pushed last has.
func (r *Registry) Layer() string { return r.layer }

// FailOn answers requests whose path contains `part` by `handler`.
func (r *Registry) FailOn(part string, handler http.HandlerFunc) {
	r.Fail(func(w http.ResponseWriter, request *http.Request) bool {
		if !strings.Contains(request.URL.Path, part) {
			return false
		}
		handler(w, request)
		return true
	})
}

// trusted is what a registries.conf has to say of it.
func (r *Registry) trusted() string {
	return fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", r.Address)
}

// Trust lets an agent's Podman speak plain HTTP to a registry.
func (a *Agent) Trust(t testing.TB, r *Registry) {
	t.Helper()
	a.trust.Lock()
	defer a.trust.Unlock()
	data, err := os.ReadFile(a.registries())
	if err != nil {
		t.Fatal(err)
	}
	// Podman may read it at any time.
	write(t, a.registries()+".new", string(data)+r.trusted())
	if err := os.Rename(a.registries()+".new", a.registries()); err != nil {
		t.Fatal(err)
	}
}

// AsDockerIO is the environment in which Podman takes a registry for docker.io.
func (r *Registry) AsDockerIO(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "registries.conf")
	write(t, path, fmt.Sprintf("unqualified-search-registries = []\n[[registry]]\nprefix = \"docker.io\"\nlocation = %q\ninsecure = true\n", r.Address))
	return "CONTAINERS_REGISTRIES_CONF=" + path
}

// Insecure is the environment in which Podman speaks plain HTTP to these registries. It knows no
// other registry, so that a wrong test asks nobody on the Internet.
func Insecure(t testing.TB, registries ...*Registry) string {
	t.Helper()
	text := noRegistries
	for _, r := range registries {
		text += r.trusted()
	}
	path := filepath.Join(t.TempDir(), "registries.conf")
	write(t, path, text)
	return "CONTAINERS_REGISTRIES_CONF=" + path
}
