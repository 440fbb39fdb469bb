package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"syscall"
)

const (
	bufferBytes = 1 << 16
	// The Go standard library, and so docker, writes a body of unknown length in such chunks.
	chunkBytes = 32 << 10
)

// connection is one kept-alive HTTP/1.1 connection, used for one request at a time.
type connection struct {
	socket  net.Conn
	reader  *bufio.Reader
	address string
	headers string
	scratch []byte
}

// answer is a response whose body was read to its end; body is nil when it was not to be kept.
type answer struct {
	*http.Response
	body []byte
	size int64
}

func dial(o options) *connection {
	c := dialBy(&net.Dialer{}, o)
	if o.authorization != "" {
		c.headers = "Authorization: " + o.authorization + "\r\n"
	}
	return c
}

// dialBy makes a connection that shows no credentials.
func dialBy(dialer *net.Dialer, o options) *connection {
	socket, err := dialer.Dial("tcp", o.address)
	check(err, "dial")
	if o.trust != nil {
		secure := tls.Client(socket, o.trust)
		check(secure.Handshake(), "handshake")
		socket = secure
	}
	return &connection{
		socket:  socket,
		reader:  bufio.NewReaderSize(socket, bufferBytes),
		address: o.address,
		scratch: make([]byte, 1<<20),
	}
}

// trust is what a client of a registry with TLS trusts, and the certificate that it shows if any.
func trust(ca, certificate, key string) *tls.Config {
	if ca == "" {
		return nil
	}
	text, err := os.ReadFile(ca)
	check(err, "ca")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	config := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		check(err, "certificate")
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}

func (c *connection) head(method, target, headers string) *bytes.Buffer {
	return bytes.NewBufferString(
		method + " " + target + " HTTP/1.1\r\nHost: " + c.address + "\r\nUser-Agent: bench\r\n" + c.headers + headers)
}

// expect sends a request and returns the answer, with its body, if that has the status.
func (c *connection) expect(status int, method, target, headers string, body []byte) answer {
	head := c.head(method, target, headers)
	if body != nil || method == "POST" || method == "PUT" {
		fmt.Fprintf(head, "Content-Length: %d\r\n", len(body))
	}
	head.WriteString("\r\n")
	buffers := net.Buffers{head.Bytes(), body}
	_, err := buffers.WriteTo(c.socket)
	check(err, method+" "+target)
	return c.receive(status, method, target, true)
}

// download is expect for a GET whose body is counted and thrown away.
func (c *connection) download(target string) int64 {
	head := c.head("GET", target, "\r\n")
	_, err := c.socket.Write(head.Bytes())
	check(err, target)
	return c.receive(200, "GET", target, false).size
}

// stream is expect for a PATCH with a chunked body, as docker pushes a layer.
func (c *connection) stream(target string, body []byte) answer {
	writer := bufio.NewWriterSize(c.socket, bufferBytes)
	head := c.head("PATCH", target,
		"Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
	_, err := writer.Write(head.Bytes())
	check(err, target)
	chunked := httputil.NewChunkedWriter(writer)
	for len(body) > 0 {
		size := min(chunkBytes, len(body))
		_, err = chunked.Write(body[:size])
		check(err, target)
		body = body[size:]
	}
	check(chunked.Close(), target)
	_, err = writer.WriteString("\r\n")
	check(err, target)
	check(writer.Flush(), target)
	return c.receive(202, "PATCH", target, true)
}

func (c *connection) receive(status int, method, target string, keep bool) answer {
	response, err := http.ReadResponse(c.reader, &http.Request{Method: method})
	check(err, method+" "+target)
	found := answer{Response: response}
	if keep || response.StatusCode != status {
		found.body, err = io.ReadAll(response.Body)
		found.size = int64(len(found.body))
	} else {
		found.size, err = c.discard(response.Body, response.ContentLength)
	}
	check(err, method+" "+target)
	if response.StatusCode != status {
		log.Fatalf("%s %s: %s instead of %d: %.300s",
			method, target, response.Status, status, found.body)
	}
	if response.Close {
		log.Fatalf("%s %s: the registry closes the connection", method, target)
	}
	return found
}

// discard takes a body off the connection. Linux drops what it holds of a TCP stream without copying
// it when it is asked with MSG_TRUNC, so that a download costs the client next to nothing.
func (c *connection) discard(body io.Reader, length int64) (int64, error) {
	if length < 0 {
		return io.Copy(io.Discard, body)
	}
	here, err := c.reader.Discard(int(min(length, int64(c.reader.Buffered()))))
	if err != nil {
		return int64(here), err
	}
	plain, isPlain := c.socket.(*net.TCPConn)
	if !isPlain {
		rest, err := io.CopyN(io.Discard, c.reader, length-int64(here))
		return int64(here) + rest, err
	}
	raw, err := plain.SyscallConn()
	if err != nil {
		return int64(here), err
	}
	total := int64(here)
	for total < length {
		wanted, size := c.scratch[:min(length-total, int64(len(c.scratch)))], 0
		var failed error
		err = raw.Read(func(descriptor uintptr) bool {
			size, _, failed = syscall.Recvfrom(int(descriptor), wanted, syscall.MSG_TRUNC)
			return failed != syscall.EAGAIN
		})
		if err = errors.Join(err, failed); err != nil {
			return total, err
		}
		if size == 0 {
			return total, io.ErrUnexpectedEOF
		}
		total += int64(size)
	}
	return total, nil
}

// location is where an upload goes on, as a request target, with more of a query at its end.
func (a answer) location(query string) string {
	found, err := url.Parse(a.Header.Get("Location"))
	check(err, "Location")
	target := found.RequestURI()
	if query == "" {
		return target
	}
	if strings.Contains(target, "?") {
		return target + "&" + query
	}
	return target + "?" + query
}
