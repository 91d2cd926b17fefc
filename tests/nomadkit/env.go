// Package nomadkit is what the Go tests share: it starts the plugin as Nomad does, makes tasks with
// Nomad's own conversions, starts real agents, and removes whatever a test leaves.
package nomadkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Root is the repository's directory.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Binary is the plugin under test: $NDC_PLUGIN, else the release build.
func Binary() string {
	if path := os.Getenv("NDC_PLUGIN"); path != "" {
		return path
	}
	return filepath.Join(Root(), "build", "release", "bin", "nomad-driver-container")
}

// Image is the image that scripts/test-image makes.
func Image() string { return os.Getenv("NDC_TEST_IMAGE") }

// Main is the body of TestMain: it checks that the plugin is built, prepares Podman and runs.
func Main(m *testing.M) { MainWith(m, func(m *testing.M) int { return m.Run() }) }

// MainWith is Main with something around the tests.
func MainWith(m *testing.M, run func(*testing.M) int) {
	if _, err := os.Stat(Binary()); err != nil {
		fmt.Fprintf(os.Stderr, "the plugin is not built (%v): run 'make build'\n", err)
		os.Exit(1)
	}
	out, err := exec.Command(filepath.Join(Root(), "scripts", "test-image")).Output()
	if err != nil {
		fmt.Fprintf(os.Stderr, "scripts/test-image: %v\n", err)
		os.Exit(1)
	}
	for _, line := range strings.Fields(string(out)) {
		name, value, _ := strings.Cut(line, "=")
		os.Setenv(name, value)
	}
	readRootfs()
	os.Exit(run(m))
}

// StandinMain is MainWith without Podman: for tests over the stand-in for Apple's CLI.
func StandinMain(m *testing.M, run func(*testing.M) int) {
	for _, program := range []string{Binary(), StandinBinary()} {
		if _, err := os.Stat(program); err != nil {
			fmt.Fprintf(os.Stderr, "not built (%v): run 'make build' and build the target container-standin\n", err)
			os.Exit(1)
		}
	}
	os.Setenv("NDC_TEST_IMAGE", "localhost/ndc-busybox:1")
	readRootfs()
	os.Exit(run(m))
}

func readRootfs() {
	out, err := exec.Command(filepath.Join(Root(), "scripts", "test-rootfs")).Output()
	if err != nil {
		fmt.Fprintf(os.Stderr, "scripts/test-rootfs: %v\n", err)
		os.Exit(1)
	}
	os.Setenv("NDC_TEST_ROOTFS", strings.TrimSpace(string(out)))
}
