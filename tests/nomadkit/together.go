package nomadkit

import "sync"

// Together calls `do` for all tasks at once and returns the errors.
func Together(tasks []*Task, do func(*Task) error) (failures []error) {
	var wait sync.WaitGroup
	var mu sync.Mutex
	for _, task := range tasks {
		wait.Add(1)
		go func() {
			defer wait.Done()
			if err := do(task); err != nil {
				mu.Lock()
				failures = append(failures, err)
				mu.Unlock()
			}
		}()
	}
	wait.Wait()
	return failures
}
