package chaos

import (
	"fmt"
	"math/rand"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/hashicorp/nomad/jobspec2"
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
	limit := time.Duration(setting(t, "CHAOS_SECONDS", 60)) * time.Second
	most := setting(t, "CHAOS_FAULTS", 1<<30)
	tasks := setting(t, "CHAOS_TASKS", 12)
	fmt.Printf("chaos: seed %d (CHAOS_SEED=%d repeats it), %s, %d tasks at a time\n", seed, seed, limit, tasks)

	w := newWorld(t)
	done := make(chan struct{})
	var running sync.WaitGroup
	for n := range tasks {
		running.Add(1)
		go func() {
			defer running.Done()
			rng := rand.New(rand.NewSource(seed*1000 + n))
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
					w.job(fmt.Sprintf("chaos-%d-%d", n, i), newPlan(rng))
				}
			}
		}()
	}
	running.Add(1)
	go func() {
		defer running.Done()
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Second):
				w.oneEach()
			}
		}
	}()

	rng := rand.New(rand.NewSource(seed))
	end := time.Now().Add(limit)
	for made := int64(0); time.Now().Before(end) && made < most; made++ {
		time.Sleep(atMost(rng, 1500*time.Millisecond))
		f := pick(rng)
		if f.disturbs {
			w.disturb()
		}
		if err := f.do(w, rng); err != nil {
			w.violation("making the fault %q: %v", f.name, err)
		}
		if f.disturbs {
			w.disturb()
		}
		w.count("fault: " + f.name)
		if progress := int(made+1) % 50; progress == 0 {
			fmt.Printf("chaos: %d faults, %s left\n", made+1, time.Until(end).Round(time.Second))
		}
	}
	close(done)
	running.Wait()
	w.nothingLeft()
	w.report()
}
