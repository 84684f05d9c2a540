package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// serveEcho answers each connection with "echo " and what came until the peer's end.
func serveEcho(t *testing.T, network, address string) net.Listener {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				text, _ := io.ReadAll(conn)
				_, _ = conn.Write(append([]byte("echo "), text...))
			}()
		}
	}()
	return listener
}

// ask sends a text, ends its half, and returns the answer.
func ask(conn net.Conn, text string) (string, error) {
	defer conn.Close()
	if _, err := conn.Write([]byte(text)); err != nil {
		return "", err
	}
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return "", errors.New("this connection has no halves")
	}
	if err := half.CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// echoInInstance runs an echo server (TCP port 7777 and a socket) inside the instance.
const echoInInstance = `
import os, socket, threading
def serve(s):
    while True:
        c, _ = s.accept()
        data = b''
        while part := c.recv(4096): data += part
        c.sendall(b'echo ' + data); c.close()
tcp = socket.create_server(('127.0.0.1', 7777))
if os.path.exists('/tmp/echo.sock'): os.unlink('/tmp/echo.sock')
unix = socket.socket(socket.AF_UNIX); unix.bind('/tmp/echo.sock'); unix.listen()
threading.Thread(target=serve, args=(unix,), daemon=True).start()
print('serving', flush=True)
serve(tcp)
`

func (i *instance) serveEcho(t *testing.T) {
	t.Helper()
	server := i.sshCommand(nil, "python3 -")
	server.Stdin = strings.NewReader(echoInInstance)
	output, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	startProgram(t, server)
	if line, err := bufio.NewReader(output).ReadString('\n'); err != nil || line != "serving\n" {
		t.Fatalf("the echo server did not start: %q, %v", line, err)
	}
}

// hold keeps a client with forwards until the test ends.
func (i *instance) hold(t *testing.T, flags ...string) {
	t.Helper()
	startProgram(t, i.sshCommand(append(flags, "-N", "-o", "ExitOnForwardFailure=yes")))
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// mustEcho asks until the forward is up.
func mustEcho(t *testing.T, network, address string) {
	t.Helper()
	eventually(t, "an echo through "+address, func() bool {
		conn, err := net.Dial(network, address)
		if err != nil {
			return false
		}
		answer, err := ask(conn, "hello")
		return err == nil && answer == "echo hello"
	})
}

func TestLocalForwardsReachPortsAndSocketsOfTheInstance(t *testing.T) {
	i := sharedInstance(t)
	i.serveEcho(t)
	port, socket := freePort(t), filepath.Join(workDir, "local.sock")
	i.hold(t, "-L", port+":127.0.0.1:7777", "-L", socket+":/tmp/echo.sock")
	mustEcho(t, "tcp", "127.0.0.1:"+port)
	mustEcho(t, "unix", socket)
}

func TestRemoteForwardsReachPortsAndSocketsOfTheClient(t *testing.T) {
	i := sharedInstance(t)
	_, port, _ := net.SplitHostPort(serveEcho(t, "tcp", "127.0.0.1:0").Addr().String())
	socket := filepath.Join(workDir, "client.sock")
	serveEcho(t, "unix", socket)
	i.hold(t, "-R", "8888:127.0.0.1:"+port, "-R", "/tmp/remote.sock:"+socket)
	askInside := func(make string) func() bool {
		script := fmt.Sprintf("python3 -c 'import socket; s=%s; s.sendall(b\"hello\"); s.shutdown(1); "+
			"print(b\"\".join(iter(lambda: s.recv(4096), b\"\")).decode())'", make)
		return func() bool { return i.ssh(script).stdout == "echo hello\n" }
	}
	eventually(t, "an echo through the port", askInside(`socket.create_connection(("127.0.0.1", 8888))`))
	eventually(t, "an echo through the socket",
		askInside(`socket.socket(socket.AF_UNIX); s.connect("/tmp/remote.sock")`))
	equal(t, "access to the socket", i.mustSSH("stat -c '%a %U' /tmp/remote.sock"), "600 root\n")
}

func TestARemoteForwardEndsWithItsConnection(t *testing.T) {
	i := sharedInstance(t)
	client := i.sshCommand([]string{"-N", "-R", "8889:127.0.0.1:1", "-R", "/tmp/gone.sock:/nowhere"})
	startProgram(t, client)
	listening := func() bool { return strings.Contains(i.mustSSH("ss -ltn"), ":8889 ") }
	eventually(t, "the listener", listening)
	if err := client.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its end", func() bool { return !listening() })
	equal(t, "socket", i.ssh("test -e /tmp/gone.sock").code, 1)
}

func TestARemoteForwardMayAskForAnyFreePort(t *testing.T) {
	client := connectDirectly(t, sharedInstance(t))
	listener, err := client.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	if port == "0" {
		t.Error("the server named no port")
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
}

func TestADynamicForwardReachesPortsOfTheInstance(t *testing.T) {
	i := sharedInstance(t)
	i.serveEcho(t)
	port := freePort(t)
	i.hold(t, "-D", port)
	eventually(t, "an echo through SOCKS", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return false
		}
		answer, err := askBySocks(conn, "localhost", 7777, "hello")
		return err == nil && answer == "echo hello"
	})
}

// askBySocks is ask through a SOCKS 5 proxy (RFC 1928) to a host by name.
func askBySocks(conn net.Conn, host string, port uint16, text string) (string, error) {
	request := append([]byte{5, 1, 0, 5, 1, 0, 3, byte(len(host))}, host...)
	if _, err := conn.Write(append(request, byte(port>>8), byte(port))); err != nil {
		return "", err
	}
	// Two bytes for the method, ten for the answer with an IPv4 address.
	if _, err := io.ReadFull(conn, make([]byte, 12)); err != nil {
		return "", err
	}
	return ask(conn, text)
}

func TestAForwardToAClosedPortIsRefused(t *testing.T) {
	result := finish(t, sharedInstance(t).sshCommand([]string{"-W", "127.0.0.1:9"}))
	if result.code == 0 {
		t.Error("the forward was accepted")
	}
}

func TestTheClientsAgentIsReachedFromTheInstance(t *testing.T) {
	i := sharedInstance(t)
	socket := filepath.Join(workDir, "agent.sock")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	startProgram(t, agent)
	environment := append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	eventually(t, "the agent", func() bool {
		add := exec.Command("ssh-add", "-q", i.path("key"))
		add.Env = environment
		return add.Run() == nil
	})
	listKeys := i.sshCommand([]string{"-A"}, "ssh-add -L; stat -c %a $SSH_AUTH_SOCK; echo $SSH_AUTH_SOCK")
	listKeys.Env = environment
	output := finish(t, listKeys).mustSucceed(t)
	contains(t, "keys", output, strings.Fields(string(readFile(t, i.path("key.pub"))))[1])
	contains(t, "mode", output, "\n600\n")
	lines := strings.Fields(output)
	eventually(t, "the removal of the socket", func() bool { return i.ssh("test -e "+lines[len(lines)-1]).code == 1 })
	equal(t, "a session that asked for no agent", i.mustSSH("echo "+strconv.Quote("$SSH_AUTH_SOCK")), "\n")
}
