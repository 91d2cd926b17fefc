package nomadkit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/nomad/helper/uuid"
)

// UDPEcho builds the UDP echo server, static, and returns the directory with it.
func UDPEcho(t testing.TB) string { return staticProgram(t, "udpecho") }

// CSIPlugin is the same for the CSI plugin.
func CSIPlugin(t testing.TB) string { return staticProgram(t, "csiplugin") }

func staticProgram(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), "./"+name)
	cmd.Dir = filepath.Join(Root(), "tests")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return dir
}

// FreePort is a port of the loopback interface that nobody uses, over TCP and UDP.
func FreePort(t testing.TB) int {
	t.Helper()
	for i := 0; i < 100; i++ {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			continue
		}
		port := tcp.Addr().(*net.TCPAddr).Port
		udp, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		tcp.Close()
		if err == nil {
			udp.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// DialTCP reads what a TCP server sends first.
func DialTCP(address string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	buffer := make([]byte, 4096)
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	n, err := conn.Read(buffer)
	return string(buffer[:n]), err
}

// EchoUDP sends a datagram and returns the answer.
func EchoUDP(address, text string) (string, error) {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(500 * time.Millisecond))
	if _, err := conn.Write([]byte(text)); err != nil {
		return "", err
	}
	buffer := make([]byte, 4096)
	n, err := conn.Read(buffer)
	return string(buffer[:n]), err
}

// Network makes a network of Podman's own for one test.
func Network(t testing.TB) string {
	t.Helper()
	name := Unique("ndc-net")
	if _, err := Podman("network", "create", name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = Podman("network", "rm", "-f", name) })
	return name
}

// Unique is a name that no other test run on this machine uses.
func Unique(prefix string) string { return prefix + "-" + uuid.Short() }
