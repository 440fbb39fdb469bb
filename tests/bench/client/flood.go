package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// flooded is what a flood of wrong passwords was answered while it lasted. One that is due while no
// connection is free, because the registry has not answered what was sent before, is not sent.
type flooded struct {
	Sent          int         `json:"sent"`
	Seconds       float64     `json:"seconds"`
	Statuses      map[int]int `json:"statuses"`
	ClientCPUSecs float64     `json:"client_cpu_secs"`
}

// deluge is what the connections of a flood share.
type deluge struct {
	turns chan int
	guard sync.Mutex
	over  bool
	found flooded
}

// flood sends wrong passwords at a rate until standard input ends: half of the connections come from
// one address and name one user, the others each have an address of their own and many users. Before
// it begins it says so in a line on standard output. What is unanswered at the end is given up.
func flood(o options, rate int) flooded {
	d := deluge{turns: make(chan int, rate/10), found: flooded{Statuses: map[int]int{}}}
	connections := make([]*connection, o.clients)
	for number := range connections {
		source := &net.TCPAddr{IP: sourceOf(number)}
		connections[number] = dialBy(&net.Dialer{LocalAddr: source}, o)
	}
	fmt.Println("flooding")
	var ended atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		ended.Store(true)
	}()
	var all sync.WaitGroup
	before, started := clientCPU(), time.Now()
	for number, c := range connections {
		all.Add(1)
		go func() {
			defer all.Done()
			d.work(c, number)
		}()
	}
	for turn := 0; !ended.Load(); turn++ {
		due := started.Add(time.Duration(turn) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		select {
		case d.turns <- turn:
		default:
		}
	}
	d.guard.Lock()
	d.over = true
	d.found.Seconds = time.Since(started).Seconds()
	d.found.ClientCPUSecs = clientCPU() - before
	d.guard.Unlock()
	close(d.turns)
	for _, c := range connections {
		_ = c.socket.Close()
	}
	all.Wait()
	return d.found
}

// work sends what is due over one connection, one after the other.
func (d *deluge) work(c *connection, number int) {
	for turn := range d.turns {
		d.guard.Lock()
		isOver := d.over
		if !isOver {
			d.found.Sent++
		}
		d.guard.Unlock()
		if isOver {
			return
		}
		status, err := c.guess(number, turn)
		d.guard.Lock()
		isOver = d.over
		if !isOver {
			check(err, "guess")
			d.found.Statuses[status]++
		}
		d.guard.Unlock()
	}
}

func sourceOf(number int) net.IP {
	if number%2 == 0 {
		return net.IPv4(127, 0, 0, 2)
	}
	return net.IPv4(127, 0, byte(1+number/250), byte(1+number%250))
}

// guess shows a wrong password, and returns the status of the answer.
func (c *connection) guess(number, turn int) (int, error) {
	user := "alice"
	if number%2 == 1 {
		user = fmt.Sprintf("user%d", turn)
	}
	pair := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s:wrong%d", user, turn))
	head := c.head("GET", "/v2/", "Authorization: Basic "+pair+"\r\n\r\n")
	if _, err := c.socket.Write(head.Bytes()); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(c.reader, &http.Request{Method: "GET"})
	if err != nil {
		return 0, err
	}
	_, err = c.discard(response.Body, response.ContentLength)
	return response.StatusCode, err
}
