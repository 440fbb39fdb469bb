// Command bench is the load client of `make bench`: one scenario against one registry, one line of
// JSON on standard output.
//
// Content is made and hashed before the clock starts, each client has one connection that it opened
// before that, and requests are written without a pool or a goroutine between client and socket, so
// that little of the machine goes into the client. Any answer other than the expected one ends it.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ticksPerSecond is the unit of the times in /proc/PID/stat: USER_HZ, 100 on every Linux.
const ticksPerSecond = 100

type options struct {
	address  string
	pid      int
	scenario string
	prefix   string
	size     int
	clients  int
	count    int
	entries  int
	pause    time.Duration
	// What is shown with each request; how a registry with TLS is trusted, nil for a plain one.
	authorization string
	trust         *tls.Config
}

// result is what one run measured; CPU times are those of the measured span only.
type result struct {
	Operations    int       `json:"operations"`
	Seconds       float64   `json:"seconds"`
	LatenciesMs   []float64 `json:"latencies_ms"`
	ClientCPUSecs float64   `json:"client_cpu_secs"`
	ServerCPUSecs float64   `json:"server_cpu_secs"`
}

// operation is what is timed: number counts from 0, and c is the connection of the client.
type operation func(c *connection, number int)

func main() {
	log.SetFlags(0)
	debug.SetGCPercent(400)
	o := parse()
	var found any
	if o.scenario == "flood" {
		found = flood(o, o.count)
	} else {
		found = measure(o, scenario(o))
	}
	printed, err := json.Marshal(found)
	check(err, "result")
	fmt.Println(string(printed))
}

func parse() options {
	var o options
	flag.StringVar(&o.address, "address", "", "HOST:PORT of the registry")
	flag.IntVar(&o.pid, "pid", 0, "process id of the registry")
	flag.StringVar(&o.scenario, "scenario", "", "what to do")
	flag.StringVar(&o.prefix, "prefix", "bench", "first segments of the repositories")
	flag.IntVar(&o.size, "size", 0, "bytes of a layer")
	flag.IntVar(&o.clients, "clients", 1, "how many at once")
	flag.IntVar(&o.count, "count", 1, "operations in all; of a flood, in a second")
	flag.IntVar(&o.entries, "entries", 1, "images, tags or repositories that are there")
	flag.StringVar(&o.authorization, "authorization", "", "credentials to show with each request")
	flag.DurationVar(&o.pause, "pause", 0, "between two operations of a client")
	ca := flag.String("ca", "", "file of certificates to trust; with it the registry speaks TLS")
	certificate := flag.String("cert", "", "file of the certificate to show")
	key := flag.String("key", "", "file of its key")
	flag.Parse()
	o.trust = trust(*ca, *certificate, *key)
	return o
}

func scenario(o options) operation {
	switch o.scenario {
	case "push":
		return push(o, putBlob)
	case "push-patch":
		return push(o, patchBlob)
	case "pull":
		return pull(o)
	case "manifest-get":
		return manifest(o, "GET")
	case "manifest-head":
		return manifest(o, "HEAD")
	case "blob-get":
		return blobs(o)
	case "tags":
		return listTags(o)
	case "catalog":
		return listCatalog(o)
	case "make-tags":
		return makeTags(o)
	case "make-repositories":
		return makeRepositories(o)
	}
	log.Fatalf("no scenario %q", o.scenario)
	return nil
}

func measure(o options, run operation) result {
	connections := make([]*connection, o.clients)
	for i := range connections {
		connections[i] = dial(o)
		connections[i].expect(200, "GET", "/v2/", "", nil)
	}
	latencies := make([]float64, o.count)
	var next atomic.Int64
	var all sync.WaitGroup
	clientBefore, serverBefore, started := clientCPU(), serverCPU(o.pid), time.Now()
	for _, c := range connections {
		all.Add(1)
		go func() {
			defer all.Done()
			for number := int(next.Add(1)) - 1; number < o.count; number = int(next.Add(1)) - 1 {
				begun := time.Now()
				run(c, number)
				latencies[number] = float64(time.Since(begun).Nanoseconds()) / 1e6
				time.Sleep(o.pause)
			}
		}()
	}
	all.Wait()
	return result{
		Operations:    o.count,
		Seconds:       time.Since(started).Seconds(),
		LatenciesMs:   latencies,
		ClientCPUSecs: clientCPU() - clientBefore,
		ServerCPUSecs: serverCPU(o.pid) - serverBefore,
	}
}

func clientCPU() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage), "getrusage")
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

// serverCPU is the user and system time of a process and of its children; without a process, 0.
func serverCPU(pid int) float64 {
	if pid == 0 {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	check(err, "server")
	// The name, which may hold anything, ends at the last parenthesis; then the state is field 3.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err := strconv.Atoi(fields[14-3])
	check(err, "server")
	system, err := strconv.Atoi(fields[15-3])
	check(err, "server")
	total := float64(user+system) / ticksPerSecond
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return total
	}
	for _, child := range strings.Fields(string(children)) {
		number, err := strconv.Atoi(child)
		check(err, "child")
		total += serverCPU(number)
	}
	return total
}

func check(err error, what string) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}
