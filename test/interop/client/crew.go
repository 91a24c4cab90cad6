package client

import (
	"slices"
	"sync"
	"time"
)

// A worker does one operation after the other and keeps how long each took.
type worker struct {
	lock   sync.Mutex
	began  time.Time // zero between two operations
	took   []time.Duration
	failed int
	why    error
}

func (w *worker) begin() {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.began = time.Now()
}

func (w *worker) end(err error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if err != nil {
		w.failed++
		w.why = err
	} else {
		w.took = append(w.took, time.Since(w.began))
	}
	w.began = time.Time{}
}

// A crew are workers that do the same.
type crew []*worker

func newCrew(count int) crew {
	workers := make(crew, count)
	for index := range workers {
		workers[index] = &worker{}
	}
	return workers
}

// forget leaves what is under way.
func (c crew) forget() {
	for _, worker := range c {
		worker.lock.Lock()
		worker.took, worker.failed, worker.why = nil, 0, nil
		worker.lock.Unlock()
	}
}

// operations are what a crew has done. One that has not ended and has been under way for longer than any that did counts
// in the times, with its age: else a tunnel that stops answering would look quick.
type operations struct {
	Count     int     `json:"count"`
	Failed    int     `json:"failed"`
	Failure   string  `json:"failure,omitempty"`
	P50Millis float64 `json:"p50Millis"`
	P99Millis float64 `json:"p99Millis"`
	MaxMillis float64 `json:"maxMillis"`
}

// summary is nil for a crew of nobody.
func (c crew) summary() *operations {
	if len(c) == 0 {
		return nil
	}
	var sum operations
	var times, ages []time.Duration
	now := time.Now()
	for _, worker := range c {
		worker.lock.Lock()
		times = append(times, worker.took...)
		sum.Failed += worker.failed
		if worker.why != nil {
			sum.Failure = worker.why.Error()
		}
		if !worker.began.IsZero() {
			ages = append(ages, now.Sub(worker.began))
		}
		worker.lock.Unlock()
	}
	sum.Count = len(times)
	slices.Sort(times)
	slices.Sort(ages)
	for _, age := range ages {
		if len(times) == 0 || age > times[len(times)-1] {
			times = append(times, age)
		}
	}
	if count := len(times); count > 0 {
		millis := func(index int) float64 { return float64(times[index].Microseconds()) / 1000 }
		sum.P50Millis, sum.P99Millis, sum.MaxMillis = millis(count/2), millis(count*99/100), millis(count-1)
	}
	return &sum
}
