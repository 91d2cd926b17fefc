package nomadkit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
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
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return ports[0]
}

// Below those that the kernel gives to connections (32768 and up on Linux, 49152 on macOS) and those of
// Nomad's dynamic ports: between the look at a port and its use, any connection could take it.
const firstPort, portCount = 10000, 8192

var ports struct {
	sync.Mutex
	given map[int]bool
}

// freePorts are n such ports, each given once.
func freePorts(n int) ([]int, error) {
	ports.Lock()
	defer ports.Unlock()
	if ports.given == nil {
		ports.given = map[int]bool{}
	}
	var out []int
	// The order is random: other test programs look at the same time.
	for _, offset := range rand.Perm(portCount) {
		port := firstPort + offset
		if len(out) == n {
			break
		}
		if !ports.given[port] && isFree(port) {
			ports.given[port] = true
			out = append(out, port)
		}
	}
	if len(out) < n {
		return nil, fmt.Errorf("fewer than %d free ports from %d to %d", n, firstPort, firstPort+portCount-1)
	}
	return out, nil
}

// dynamicPorts is the range of an agent's dynamic ports: a part of Nomad's own, which no other agent of
// this program has while there are no more than `parts`.
func dynamicPorts() (low, high int) {
	const first, size, parts = 20000, 200, 60
	// Other test programs begin elsewhere.
	part := (os.Getpid() + int(agents.Add(1))) % parts
	low = first + part*size
	return low, low + size - 1
}

var agents atomic.Int64 // with a range so far

func isFree(port int) bool {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	return udp.Close() == nil
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
