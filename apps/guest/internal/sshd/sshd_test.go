package sshd

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func newKey(t *testing.T) (ssh.PublicKey, string) {
	t.Helper()
	raw, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	return key, "ssh-ed25519 " + base64.StdEncoding.EncodeToString(key.Marshal())
}

func TestAuthorizedKeysAreReadAnewAndOnlyWholeOnesCount(t *testing.T) {
	first, firstLine := newKey(t)
	second, secondLine := newKey(t)
	restricted, restrictedLine := newKey(t)
	path := filepath.Join(t.TempDir(), "authorized_keys")
	if err := checkAuthorized(path, first); err == nil {
		t.Error("a missing file let a key in")
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# comment\n\nnonsense\n" + firstLine + " with a comment\nrestrict,command=\"true\" " + restrictedLine + "\n")
	if err := checkAuthorized(path, first); err != nil {
		t.Error(err)
	}
	for _, key := range []ssh.PublicKey{second, restricted} {
		if err := checkAuthorized(path, key); !errors.Is(err, errKeyRefused) {
			t.Errorf("got %v", err)
		}
	}
	write(secondLine)
	if err := checkAuthorized(path, second); err != nil {
		t.Error(err)
	}
	if err := checkAuthorized(path, first); !errors.Is(err, errKeyRefused) {
		t.Errorf("a key that was taken away: %v", err)
	}
}

func TestAuthorizedKeysBeyondTheLimitDoNotCount(t *testing.T) {
	_, line := newKey(t)
	keys, err := parseAuthorizedKeys(strings.NewReader(strings.Repeat(line+"\n", maxAuthorizedKeys+10)))
	if err != nil || len(keys) != maxAuthorizedKeys {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

func TestShortRSAKeysAreWeak(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	for bits, weak := range map[int]bool{1024: true, 2048: false} {
		raw, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ssh.NewPublicKey(&raw.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if isWeak(key) != weak {
			t.Errorf("%d bits: weak is %v", bits, !weak)
		}
	}
}

func TestOnlyTheFarSideOfScpIsRecognized(t *testing.T) {
	for command, want := range map[string]bool{
		"scp -t .": true, "scp -v -r -p -f -- 'a b'": true, "scp -rpt x": true,
		"scp a b": false, "scp -r host:a b": false, "scp": false, "scpx -t": false, "echo scp -t": false, "scp -- -t": false,
		"scp 'open": false,
	} {
		if got := isSCPServer(command); got != want {
			t.Errorf("%q: %v", command, got)
		}
	}
}

func TestLogInsInProgressAreBounded(t *testing.T) {
	server := &Server{}
	for range startupsBegin {
		if !server.admit() {
			t.Fatal("refused below the limit")
		}
	}
	for range 10_000 {
		server.admit()
	}
	if waiting := server.startups.Load(); waiting > startupsFull || waiting <= startupsBegin {
		t.Errorf("%d log-ins wait", waiting)
	}
	server.startups.Store(0)
	server.connections.Store(maxConnections)
	if server.admit() {
		t.Error("admitted beyond the limit of connections")
	}
}

func TestAProcessThatIgnoresTheHangUpIsKnown(t *testing.T) {
	if ignoresHangUp(os.Getpid()) {
		t.Error("this one does not")
	}
	if ignoresHangUp(-1) {
		t.Error("there is no such process")
	}
}
