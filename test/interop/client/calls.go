package client

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// callLimit is what kube-apiserver gives a webhook unless told otherwise.
const callLimit = 10 * time.Second

type callsResult struct {
	Calls         int      `json:"calls"`
	Failed        int      `json:"failed"`
	Failures      []string `json:"failures"`
	P50Millis     float64  `json:"p50Millis"`
	P99Millis     float64  `json:"p99Millis"`
	LongestMillis float64  `json:"longestMillis"`
	// BehindMillis is how late the latest call began.
	BehindMillis float64 `json:"behindMillis"`
}

// callsCommand prints {"event":"calling"} after the first call was answered. A call begins at its time, whether the
// ones before have ended or not.
func callsCommand(flags *flag.FlagSet) func() (any, error) {
	reach := frontendFlags(flags)
	url := flags.String("url", "", "what to GET; the answer has to be 200")
	endpointCA := flags.String("endpoint-ca", "", "CA bundle that the endpoint's certificate is verified with")
	every := flags.Duration("every", 20*time.Millisecond, "a call begins")
	return func() (any, error) {
		through, err := reach.dialer()
		if err != nil {
			return nil, err
		}
		var open sync.WaitGroup
		defer open.Wait()
		transport, err := freshTransport(through, *endpointCA, &open)
		if err != nil {
			return nil, err
		}
		caller := &calls{client: &http.Client{Transport: transport, Timeout: callLimit}, url: *url}
		if err := caller.get(); err != nil {
			return nil, err
		}
		printLine(map[string]any{"event": "calling", "everyMillis": every.Milliseconds()})
		ended := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			close(ended)
		}()
		return caller.until(ended, *every), nil
	}
}

type calls struct {
	client *http.Client
	url    string

	lock   sync.Mutex
	millis []float64
	result callsResult
}

func (c *calls) until(ended <-chan struct{}, every time.Duration) callsResult {
	var running sync.WaitGroup
	began := time.Now()
	for count := 0; ; count++ {
		due := began.Add(time.Duration(count) * every)
		select {
		case <-ended:
			running.Wait()
			return c.summary()
		case <-time.After(time.Until(due)):
		}
		c.result.BehindMillis = max(c.result.BehindMillis, millisSince(due))
		running.Go(c.one)
	}
}

func (c *calls) one() {
	began := time.Now()
	err := c.get()
	c.lock.Lock()
	defer c.lock.Unlock()
	c.millis = append(c.millis, millisSince(began))
	if err == nil {
		return
	}
	c.result.Failed++
	if len(c.result.Failures) < 5 {
		c.result.Failures = append(c.result.Failures, err.Error())
	}
}

func (c *calls) get() error {
	response, err := c.client.Get(c.url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", response.Status)
	}
	return nil
}

func (c *calls) summary() callsResult {
	slices.Sort(c.millis)
	count := len(c.millis)
	result := c.result
	result.Calls = count
	if count > 0 {
		result.P50Millis, result.P99Millis = c.millis[count/2], c.millis[count*99/100]
		result.LongestMillis = c.millis[count-1]
	}
	return result
}
