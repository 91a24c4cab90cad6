// Package client is the other end of the interop tests: kube-apiserver's place in front of a proxy server, taken by a
// dialer of the module that builds the program, and the endpoints behind the agent. Every subcommand prints one JSON
// object on stdout as its last line and exits with 1 if it failed.
package client

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

// A command runs with its parsed flags and returns what is to be printed; a non-nil error makes the process fail,
// and the result, if any, is printed beside the error.
type command struct {
	summary string
	setUp   func(flags *flag.FlagSet) func() (any, error)
}

// dialers is set once, before any command runs.
var dialers Dialers

var commands = map[string]command{
	"endpoint":      {"serve echo, transfer, banner, closing and unanswering endpoints until stdin ends", endpointCommand},
	"transfer":      {"move seeded bytes and compare SHA-256 digests at both ends", transferCommand},
	"hold":          {"keep many connections open at once, steered by lines on stdin", holdCommand},
	"churn":         {"dial, echo and close over and over, cancelling some dials", churnCommand},
	"first-speaker": {"read a banner that the endpoint sends unasked", firstSpeakerCommand},
	"echo":          {"measure request and response round trips", echoCommand},
	"http":          {"GET one URL through the tunnel", httpCommand},
	"dial":          {"dial one target and close it", dialCommand},
	"neighbours":    {"echo and dial over and over, measured in windows that stdin asks for", neighboursCommand},
	"flow":          {"send or read without end, counted by the second, until stdin ends", flowCommand},
	"load":          {"put downloads, uploads, echoes and dials on a tunnel at once and measure them", loadCommand},
	"calls":         {"GET one URL at a steady rate, on a new connection each time, until stdin ends", callsCommand},
	"delay":         {"pass on TCP connections with a delay each way, until stdin ends", delayCommand},
	"read-to-end":   {"read what an endpoint sends before it closes", readToEndCommand},
}

// Main is the program of a module that brings dialers of its own. It does not return.
func Main(own Dialers) {
	dialers = own
	if len(os.Args) < 2 {
		usage()
	}
	chosen, known := commands[os.Args[1]]
	if !known {
		usage()
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	limit := flags.Duration("timeout", 5*time.Minute, "give up after this time")
	run := chosen.setUp(flags)
	_ = flags.Parse(os.Args[2:])

	type outcome struct {
		result any
		err    error
	}
	finished := make(chan outcome, 1)
	go func() {
		result, err := run()
		finished <- outcome{result, err}
	}()
	select {
	case done := <-finished:
		printResult(done.result, done.err)
	case <-time.After(*limit):
		printResult(nil, fmt.Errorf("not finished after %v", *limit))
	}
}

// printResult ends the process.
func printResult(result any, err error) {
	report := map[string]any{"ok": err == nil}
	if result != nil {
		report["result"] = result
	}
	if err != nil {
		report["error"] = err.Error()
	}
	printLine(report)
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// printLine writes one JSON object and a newline to stdout in a single write.
func printLine(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.Write(append(line, '\n'))
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: "+os.Args[0]+" COMMAND [flags]")
	for name, known := range commands {
		fmt.Fprintf(os.Stderr, "  %-14s %s\n", name, known.summary)
	}
	os.Exit(2)
}
