package main

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// flooded is what a flood of wrong passwords was answered.
type flooded struct {
	Sent          int         `json:"sent"`
	Seconds       float64     `json:"seconds"`
	Statuses      map[int]int `json:"statuses"`
	ClientCPUSecs float64     `json:"client_cpu_secs"`
}

// flood sends wrong passwords at a rate for some seconds: half of the connections come from one
// address and name one user, the others each have an address of their own and many users.
func flood(o options, rate int, length time.Duration) flooded {
	turns := make(chan int, rate)
	found := flooded{Statuses: map[int]int{}}
	var guard sync.Mutex
	var all sync.WaitGroup
	for number := range o.clients {
		c := dialFrom(o, number)
		all.Add(1)
		go func() {
			defer all.Done()
			for turn := range turns {
				status := c.guess(number, turn)
				guard.Lock()
				found.Statuses[status]++
				found.Sent++
				guard.Unlock()
			}
		}()
	}
	before, started := clientCPU(), time.Now()
	for turn := 0; time.Since(started) < length; turn++ {
		due := started.Add(time.Duration(turn) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		select {
		case turns <- turn:
		default: // more wait already than are sent in a second
		}
	}
	close(turns)
	all.Wait()
	found.Seconds = time.Since(started).Seconds()
	found.ClientCPUSecs = clientCPU() - before
	return found
}

func dialFrom(o options, number int) *connection {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: sourceOf(number)}}
	socket, err := dialer.Dial("tcp", o.address)
	check(err, "dial")
	secure := tls.Client(socket, o.trust)
	check(secure.Handshake(), "handshake")
	return newConnection(secure, o.address, "")
}

func sourceOf(number int) net.IP {
	if number%2 == 0 {
		return net.IPv4(127, 0, 0, 2)
	}
	return net.IPv4(127, 0, byte(1+number/250), byte(1+number%250))
}

// guess shows a wrong password, and returns the status of the answer.
func (c *connection) guess(number, turn int) int {
	user := "alice"
	if number%2 == 1 {
		user = fmt.Sprintf("user%d", turn)
	}
	pair := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s:wrong%d", user, turn))
	head := c.head("GET", "/v2/", "Authorization: Basic "+pair+"\r\n\r\n")
	_, err := c.socket.Write(head.Bytes())
	check(err, "guess")
	response, err := http.ReadResponse(c.reader, &http.Request{Method: "GET"})
	check(err, "guess")
	_, err = c.discard(response.Body, response.ContentLength)
	check(err, "guess")
	return response.StatusCode
}
