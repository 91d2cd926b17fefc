// Package wire drives the real binary with Nomad's own client packages.
package wire

import (
	"testing"

	"nomad-driver-container/tests/nomadkit"
)

func TestMain(m *testing.M) { nomadkit.Main(m) }
