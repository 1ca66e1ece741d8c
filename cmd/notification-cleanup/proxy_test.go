package main

import (
	"bytes"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
)

// losingCommit is a proxy to the server that passes on each COMMIT, but drops the connection before
// the answer to every other one, the first included: when the answer is there, or at once. It
// returns the URL to use.
func losingCommit(t *testing.T, dsn string, atOnce bool) string {
	t.Helper()
	server, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	network, address := "tcp", server.Host
	if dir := server.Query().Get("host"); dir != "" {
		network, address = "unix", dir+"/.s.PGSQL.5432"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	var commits atomic.Int32
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial(network, address)
			if err != nil {
				client.Close()
				continue
			}
			var answering atomic.Bool
			answering.Store(true)
			go func() {
				defer client.Close()
				buffer := make([]byte, 1<<16)
				for {
					n, err := backend.Read(buffer)
					if err != nil || !answering.Load() {
						return // the commit is answered, so it is done, but nobody hears of it
					}
					if _, err := client.Write(buffer[:n]); err != nil {
						return
					}
				}
			}()
			go func() {
				defer backend.Close()
				buffer := make([]byte, 1<<16)
				for {
					n, err := client.Read(buffer)
					if err != nil {
						return
					}
					if bytes.HasPrefix(buffer[:n], []byte("\x00\x00\x00\x10\x04\xd2\x16\x2e")) {
						return // a CancelRequest, which pgx sends after a lost connection, is lost too
					}
					lost := bytes.Contains(buffer[:n], []byte("commit\x00")) && commits.Add(1)%2 == 1
					if lost {
						answering.Store(false)
					}
					if _, err := backend.Write(buffer[:n]); err != nil {
						return
					}
					if lost && atOnce {
						client.Close()
					}
				}
			}()
		}
	}()
	query := server.Query()
	query.Del("host")
	query.Set("sslmode", "disable")
	user := server.Query().Get("user")
	query.Del("user")
	if server.User == nil {
		server.User = url.User(user)
	}
	server.Host, server.RawQuery = listener.Addr().String(), query.Encode()
	return server.String()
}
