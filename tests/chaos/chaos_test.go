package chaos

import (
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/hashicorp/nomad/jobspec2"

	"nomad-driver-container/tests/nomadkit"
)

func parse(t *testing.T, text, id string) *api.Job {
	job, err := jobspec2.ParseWithConfig(&jobspec2.ParseConfig{Path: "job.hcl", Body: []byte(text), AllowFS: false})
	if err != nil {
		t.Fatalf("job file: %v", err)
	}
	job.ID, job.Name = &id, &id
	return job
}

func TestNothingIsLostInChaos(t *testing.T) {
	seed := seed(t)
	fmt.Printf("chaos: seed %d (CHAOS_SEED=%d repeats it)\n", seed, seed)
	for _, kind := range nomadkit.RuntimeKinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			chaos(t, kind, seed)
		})
	}
}

// chaos runs tasks and makes faults side by side, each of them from a random sequence of its own.
func chaos(t *testing.T, kind nomadkit.RuntimeKind, seed int64) {
	limit := time.Duration(setting(t, "CHAOS_SECONDS", 60)) * time.Second
	most := setting(t, "CHAOS_FAULTS", 1<<30)
	// A call of podman takes a second on a busy machine: of too many faults no task would ever run.
	usual := int64(1000)
	if kind == nomadkit.PodmanKind {
		usual = 4000
	}
	pause := time.Duration(setting(t, "CHAOS_PAUSE_MS", usual)) * time.Millisecond
	tasks := setting(t, "CHAOS_TASKS", 20)

	w := newWorld(t, kind)
	fmt.Printf("chaos: %s: %d tasks at a time, faults for %s\n", kind, tasks, limit)
	done := make(chan struct{})
	var running sync.WaitGroup
	for n := range tasks {
		rng := rand.New(rand.NewSource(seed*1000 + n))
		running.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
					w.job(fmt.Sprintf("chaos-%d-%d", n, i), newPlan(rng))
				}
			}
		})
	}
	end := time.Now().Add(limit)
	watched := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-watched:
				return
			case <-time.After(time.Second):
			}
			w.oneEach()
			patience := time.Minute
			if time.Now().After(end) {
				patience = 30 * time.Second
			}
			w.engine.endHung(w, patience)
			w.feelMachine()
			w.lookForStrikes()
			w.judgeStarts(false)
		}
	})

	var made atomic.Int64
	var makers sync.WaitGroup
	for n, faults := range [][]fault{append(w.engine.small(), small...), append(w.engine.large(), large...)} {
		master := rand.New(rand.NewSource(seed + int64(n)))
		longest := pause
		if n > 0 {
			longest = 3 * time.Second // large faults last for a while themselves
		}
		makers.Go(func() {
			for time.Now().Before(end) && made.Load() < most {
				next := nextAttempt(master, faults, longest)
				time.Sleep(next.pause)
				if !w.make(next.fault, n > 0, next.rng) {
					continue
				}
				if sum := made.Add(1); sum%100 == 0 {
					fmt.Printf("chaos: %s: %d faults, %s left\n", kind, sum, time.Until(end).Round(time.Second))
				}
			}
		})
	}
	makers.Wait()
	w.engine.heal()
	close(done)
	running.Wait()
	close(watched)
	watching.Wait()
	w.lookForStrikes()
	w.judgeStarts(true)
	w.nothingLeft()
	w.report(made.Load())
}
